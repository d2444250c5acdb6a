/* The counter is a size_t */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	u16 count = vm->count;

	work(vm);
	return vm->count - count > 16;
}
