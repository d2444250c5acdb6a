/* Assigned within a condition */
#include "kernel.h"

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	u32 seq;

	if ((seq = vm->seq) == 0)
		return 1;
	work(vm);
	return seq != vm->seq;
}
