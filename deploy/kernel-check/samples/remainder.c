/* Innocent: a remainder that fits */
#include "kernel.h"

u64 bucket(struct vm *vm)
{
	u32 bucket = vm->seq % 1024;

	return bucket;
}
