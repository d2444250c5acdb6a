/* Through an int that a pointer parameter fills */
#include "kernel.h"

static void snapshot(struct vm *vm, int *seq)
{
	*seq = vm->seq;
}

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	int seq;

	snapshot(vm, &seq);
	work(vm);
	return vm->seq != seq;
}
