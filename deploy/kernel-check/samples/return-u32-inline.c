/* Through the result of an inline function around READ_ONCE */
#include "kernel.h"

static inline u32 vm_generation(const struct vm *vm)
{
	return READ_ONCE(vm->generation);
}

bool stale(struct vm *vm)
{
	return vm_generation(vm) != vm->generation;
}
