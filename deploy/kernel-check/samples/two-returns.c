/* Through the results of two functions */
#include "kernel.h"

static u16 inner(struct vm *vm)
{
	return vm->seq;
}

static u32 outer(struct vm *vm)
{
	return inner(vm);
}

bool stale(struct vm *vm, unsigned long before)
{
	return outer(vm) != vm->seq;
}
