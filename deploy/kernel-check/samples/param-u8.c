/* The same with an unsigned char */
#include "kernel.h"

static bool stale(struct vm *vm, u8 seq)
{
	return vm->seq != seq;
}

bool fault(struct vm *vm)
{
	return stale(vm, vm->seq);
}
