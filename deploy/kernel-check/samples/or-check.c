/* Innocent: leaves when either test fails */
#include "kernel.h"

int set(struct vm *vm, u64 generation)
{
	u16 value;

	if (!vm || generation > U16_MAX)
		return -EINVAL;
	value = generation;
	record(value);
	return 0;
}
