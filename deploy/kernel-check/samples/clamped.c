/* Innocent: clamped first */
#include "kernel.h"

u64 shown(struct vm *vm)
{
	u64 seq = vm->seq;
	u32 value;

	if (seq > U32_MAX)
		seq = U32_MAX;
	value = seq;
	return value;
}
