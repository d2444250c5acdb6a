/* Innocent: refused where bits of the upper half are set */
#include "kernel.h"

int set(struct vm *vm, u64 generation)
{
	u32 value;

	if (generation & ~0xffffffffULL)
		return -EINVAL;
	value = generation;
	record(value);
	return 0;
}
