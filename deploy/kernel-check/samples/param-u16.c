/* The same with a u16 */
#include "kernel.h"

static bool stale(struct vm *vm, u16 seq)
{
	return vm->generation != seq;
}

bool fault(struct vm *vm)
{
	return stale(vm, vm->generation);
}
