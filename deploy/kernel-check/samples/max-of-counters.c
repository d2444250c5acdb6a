/* The larger of two counters is narrowed */
#include "kernel.h"

bool ahead(struct vm *a, struct vm *b)
{
	u32 newest = max(a->seq, b->seq);

	return a->seq < newest;
}
