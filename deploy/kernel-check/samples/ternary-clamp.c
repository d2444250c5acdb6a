/* Innocent: clamped by a conditional expression */
#include "kernel.h"

u64 shown(struct vm *vm)
{
	u32 seq = vm->seq > U32_MAX ? U32_MAX : vm->seq;

	return seq;
}
