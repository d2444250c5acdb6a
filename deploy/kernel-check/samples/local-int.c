/* Through a local variable, within one function */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int seq = vm->seq;

	work(vm);
	return vm->seq != seq;
}
