/* Innocent: narrowed and compared in order to see whether it fits */
#include "kernel.h"

int set(struct vm *vm, u64 generation)
{
	u32 value = generation;

	if (value != generation)
		return -EOVERFLOW;
	record(value);
	return 0;
}
