/* Checked, then read again into the same variable */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	unsigned long now = vm->seq;
	int seq;

	if (now > INT_MAX)
		return 0;
	work(vm);
	now = vm->seq;
	seq = now;
	work(vm);
	return vm->seq != seq;
}
