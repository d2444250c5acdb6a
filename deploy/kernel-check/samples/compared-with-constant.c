/* Innocent: compared with a constant only */
#include "kernel.h"

bool many(struct vm *vm)
{
	int seq = vm->seq;

	return seq > 5UL;
}
