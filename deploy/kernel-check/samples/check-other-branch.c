/* Narrowed in the branch where it does not fit */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	if (vm->seq <= U32_MAX) {
		return 0;
	} else {
		u32 seq = vm->seq;

		work(vm);
		return vm->seq != seq;
	}
}
