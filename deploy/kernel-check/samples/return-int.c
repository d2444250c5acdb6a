/* Through a function's result */
#include "kernel.h"

static int vm_seq(struct vm *vm)
{
	return vm->seq;
}

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	unsigned long before = vm_seq(vm);

	work(vm);
	return vm->seq != before;
}
