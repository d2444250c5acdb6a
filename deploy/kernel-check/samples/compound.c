/* A 64-bit counter is added to an unsigned int, whose sum is used at 64 bits */
#include "kernel.h"

u64 all_events(struct vm *a, struct vm *b)
{
	u32 total = 0;

	total += a->generation;
	total += b->generation;
	return total;
}
