/* Innocent: narrowed for a message, and never widened */
#include "kernel.h"

void show(struct vm *vm)
{
	int seq = vm->seq;

	printk("seq %d\n", seq);
}
