/* The counter less one is narrowed: it is a counter still */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int seq = vm->seq - 1;

	work(vm);
	return vm->seq - 1 != seq;
}
