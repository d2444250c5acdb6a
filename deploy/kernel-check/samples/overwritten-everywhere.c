/* Innocent: both branches overwrite it before it is widened */
#include "kernel.h"

u64 shown(struct vm *vm, bool fast)
{
	int seq = vm->seq;

	printk("%d\n", seq);
	if (fast)
		seq = 1;
	else
		seq = 2;
	return seq;
}
