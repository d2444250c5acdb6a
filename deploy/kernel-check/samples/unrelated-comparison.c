/* Innocent: a comparison of something else */
#include "kernel.h"

bool busy(struct vm *vm, u64 load, u64 limit)
{
	int seq = vm->seq;

	printk("seq %d\n", seq);
	return load > limit;
}
