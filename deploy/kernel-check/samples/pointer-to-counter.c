/* The counter is read through a pointer to it */
#include "kernel.h"

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	u64 *generation = &vm->generation;
	u32 before = *generation;

	work(vm);
	return before != *generation;
}
