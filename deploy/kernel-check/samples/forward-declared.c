/* The function that takes an int is only declared before its call */
#include "kernel.h"

static bool stale(struct vm *vm, int);

bool fault(struct vm *vm)
{
	return stale(vm, vm->seq);
}

static bool stale(struct vm *vm, int seq)
{
	return vm->seq != seq;
}
