/* A chained assignment widens what its inner one narrowed */
#include "kernel.h"

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	unsigned long before;
	int shown;

	before = shown = vm->seq;
	work(vm);
	printk("seq %d\n", shown);
	return before != vm->seq;
}
