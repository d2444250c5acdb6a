/* The smaller of two counters is narrowed: min() bounds nothing here */
#include "kernel.h"

bool behind(struct vm *a, struct vm *b)
{
	int oldest = min(a->seq, b->seq);

	return a->seq > oldest;
}
