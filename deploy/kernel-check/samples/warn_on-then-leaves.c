/* Innocent: WARN_ON() in a branch that leaves */
#include "kernel.h"

u64 shown(struct vm *vm)
{
	u32 seq;

	if (WARN_ON(vm->seq > U32_MAX)) {
		printk("too many\n");
		return 0;
	}
	seq = vm->seq;
	return seq;
}
