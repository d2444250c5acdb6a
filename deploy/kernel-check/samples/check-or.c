/* The check is one of two, and both must fail */
#include "kernel.h"

bool changed(struct vm *vm, bool strict, void (*work)(struct vm *))
{
	u32 seq;

	if (strict && vm->seq > U32_MAX)
		return 0;
	seq = vm->seq;
	work(vm);
	return vm->seq != seq;
}
