/* Innocent: the distance of two counters, not a counter */
#include "kernel.h"

u64 age(struct vm *vm, unsigned long since)
{
	u32 age = vm->seq - since;

	return age;
}
