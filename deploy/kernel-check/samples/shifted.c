/* Innocent: shifted until it fits */
#include "kernel.h"

u64 high(struct vm *vm)
{
	u32 high = vm->generation >> 32;

	return high;
}
