/* The counter comes in by a parameter whose callers are elsewhere */
#include "kernel.h"

bool stale(struct vm *vm, unsigned long mmu_seq)
{
	int seq = mmu_seq;

	return vm->seq != seq;
}
