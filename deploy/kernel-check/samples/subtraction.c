/* Met again in a subtraction */
#include "kernel.h"

bool far_behind(struct vm *vm, void (*work)(struct vm *))
{
	u32 before = vm->seq;

	work(vm);
	return vm->seq - before > 64;
}
