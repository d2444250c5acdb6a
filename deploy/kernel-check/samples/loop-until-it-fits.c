/* Innocent: halved until it fits */
#include "kernel.h"

u64 scaled(struct vm *vm)
{
	u64 value = vm->generation;
	u32 small;

	while (value > U32_MAX)
		value /= 2;
	small = value;
	return small;
}
