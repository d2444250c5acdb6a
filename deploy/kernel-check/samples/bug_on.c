/* Innocent: BUG_ON() refuses what does not fit */
#include "kernel.h"

u64 shown(struct vm *vm)
{
	u32 seq;

	BUG_ON(vm->seq > U32_MAX);
	seq = vm->seq;
	return seq;
}
