/* Innocent: what was narrowed is overwritten before it is widened */
#include "kernel.h"

u64 shown(struct vm *vm)
{
	int seq = vm->seq;

	printk("seq %d\n", seq);
	seq = 7;
	return seq;
}
