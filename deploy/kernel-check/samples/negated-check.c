/* Innocent: the check is negated and leaves by goto */
#include "kernel.h"

int set(struct vm *vm, u64 generation)
{
	int value, error = -EINVAL;

	if (!(generation <= INT_MAX))
		goto out;
	value = generation;
	record(value);
	error = 0;
out:
	return error;
}
