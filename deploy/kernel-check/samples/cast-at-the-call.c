/* Innocent: the narrowing is written out at the call */
#include "kernel.h"

static bool stale(struct vm *vm, u32 seq)
{
	return (u32)vm->seq != seq;
}

bool fault(struct vm *vm)
{
	return stale(vm, (u32)READ_ONCE(vm->seq));
}
