/* A check that bounds nothing stands before: only a count is made in it */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int seq;

	if (vm->seq > INT_MAX)
		vm->in_progress++;
	seq = vm->seq;
	work(vm);
	return vm->seq != seq;
}
