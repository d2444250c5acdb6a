/* Innocent: refused where a cast changes it */
#include "kernel.h"

int set(struct vm *vm, u64 generation)
{
	u32 value;

	if (generation != (u32)generation)
		return -ERANGE;
	value = generation;
	record(value);
	return 0;
}
