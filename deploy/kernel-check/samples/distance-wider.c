/* The distance from a narrow snapshot is kept wider than the snapshot */
#include "kernel.h"

u32 passed(struct vm *vm, void (*work)(struct vm *))
{
	u16 before = vm->generation;
	u32 passed;

	work(vm);
	passed = vm->generation - before;
	return passed;
}
