/* Innocent: refused where the upper half is not zero */
#include "kernel.h"

int set(struct vm *vm, u64 generation)
{
	u32 value;

	if (generation >> 32)
		return -EINVAL;
	value = generation;
	record(value);
	return 0;
}
