/* Innocent: a byte to fill memory with */
#include "kernel.h"

void *memset(void *to, int byte, size_t size);

void fill(struct vm *vm, void *to)
{
	memset(to, vm->seq, 16);
}
