/* Innocent: only used in the branch where it fits */
#include "kernel.h"

void set(struct vm *vm)
{
	if (vm->seq <= U32_MAX) {
		u32 seq = vm->seq;

		record(seq);
	}
}
