/* Innocent: a narrowed number that only indexes */
#include "kernel.h"

int pick(const int *table, struct vm *vm)
{
	int slot = vm->seq;

	return table[slot & 7];
}
