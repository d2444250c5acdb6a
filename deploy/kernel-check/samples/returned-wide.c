/* Widened by the result of a function */
#include "kernel.h"

static unsigned long snapshot(struct vm *vm)
{
	int seq = vm->seq;

	return seq;
}

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	unsigned long before = snapshot(vm);

	work(vm);
	return vm->seq != before;
}
