/* A check that bounds the counter below, not above */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int seq;

	if (vm->seq < 100)
		return 0;
	seq = vm->seq;
	work(vm);
	return vm->seq != seq;
}
