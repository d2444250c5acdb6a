/* Innocent: a constant */
#include "kernel.h"

static bool stale(struct vm *vm, int seq)
{
	return vm->seq != seq;
}

bool fresh(struct vm *vm)
{
	return stale(vm, 0UL) || stale(vm, sizeof(*vm)) || stale(vm, 1ULL << 20);
}
