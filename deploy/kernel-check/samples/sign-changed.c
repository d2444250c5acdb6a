/* Narrowed to an int, and unsigned before it is widened */
#include "kernel.h"

static bool stale(struct vm *vm, unsigned int seq)
{
	return vm->seq != seq;
}

bool fault(struct vm *vm)
{
	int seq = vm->seq;

	return stale(vm, seq);
}
