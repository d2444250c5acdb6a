/* Innocent: refused where it does not fit */
#include "kernel.h"

int set(struct vm *vm, u64 generation)
{
	int value;

	if (generation > INT_MAX)
		return -EINVAL;
	value = generation;
	vm->generation = value;
	return 0;
}
