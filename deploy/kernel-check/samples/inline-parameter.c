/* Through an inline function that returns its parameter */
#include "kernel.h"

static inline int untagged(int seq)
{
	return seq;
}

bool stale(struct vm *vm, unsigned long before)
{
	return vm->seq != untagged(vm->seq);
}
