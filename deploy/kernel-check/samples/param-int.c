/* Linux 6.1's shape: the check takes the snapshot as an int */
#include "kernel.h"

static bool retry(struct vm *vm, unsigned long seq)
{
	return vm->in_progress || vm->seq != seq;
}

static bool is_page_fault_stale(struct vm *vm, int mmu_seq)
{
	return retry(vm, mmu_seq);
}

bool fault(struct vm *vm)
{
	unsigned long mmu_seq = vm->seq;

	return is_page_fault_stale(vm, mmu_seq);
}
