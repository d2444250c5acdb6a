/* Innocent: WARN_ON() with a return */
#include "kernel.h"

u64 shown(struct vm *vm)
{
	u32 seq;

	if (WARN_ON(vm->seq > U32_MAX))
		return 0;
	seq = vm->seq;
	return seq;
}
