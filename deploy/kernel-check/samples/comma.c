/* Through the comma operator */
#include "kernel.h"

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	int before = (work(vm), vm->seq);

	work(vm);
	return before != vm->seq;
}
