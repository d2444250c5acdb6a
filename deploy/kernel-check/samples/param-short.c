/* The same with a short */
#include "kernel.h"

static bool stale(struct vm *vm, short seq)
{
	return vm->seq != seq;
}

bool fault(struct vm *vm)
{
	return stale(vm, READ_ONCE(vm->seq));
}
