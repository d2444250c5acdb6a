/* Innocent: a switch admits a few values */
#include "kernel.h"

u64 early(struct vm *vm)
{
	u32 seq;

	switch (vm->seq) {
	case 0 ... 7:
		seq = vm->seq;
		return seq;
	default:
		return 8;
	}
}
