/* A check of another counter */
#include "kernel.h"

bool changed(struct vm *vm, struct vm *other, void (*work)(struct vm *))
{
	int seq;

	if (other->seq > INT_MAX)
		return 0;
	seq = vm->seq;
	work(vm);
	return vm->seq != seq;
}
