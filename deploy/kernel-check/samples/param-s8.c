/* The same with a signed char */
#include "kernel.h"

static bool stale(struct vm *vm, s8 seq)
{
	return vm->seq != seq;
}

bool fault(struct vm *vm)
{
	return stale(vm, vm->seq);
}
