/* Innocent: 64 bits on the whole way, as 6.1's stable fix has it */
#include "kernel.h"

static bool stale(struct vm *vm, unsigned long seq)
{
	return vm->seq != seq;
}

bool fault(struct vm *vm)
{
	unsigned long seq = vm->seq;

	return stale(vm, seq);
}
