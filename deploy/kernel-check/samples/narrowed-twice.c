/* Narrowed to an int, then to a short */
#include "kernel.h"

static bool stale(struct vm *vm, short seq)
{
	return vm->seq != seq;
}

bool fault(struct vm *vm)
{
	int seq = vm->seq;

	return stale(vm, seq);
}
