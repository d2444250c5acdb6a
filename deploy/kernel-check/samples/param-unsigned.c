/* The same with an unsigned int */
#include "kernel.h"

static bool stale(struct vm *vm, unsigned int seq)
{
	return vm->seq != seq;
}

bool fault(struct vm *vm)
{
	return stale(vm, vm->seq);
}
