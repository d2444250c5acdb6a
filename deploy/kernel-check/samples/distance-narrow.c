/* Innocent: the distance from a narrow snapshot is kept as narrow, and is right modulo its width */
#include "kernel.h"

u32 passed(struct vm *vm, void (*work)(struct vm *))
{
	u32 before = vm->generation, passed;

	work(vm);
	passed = vm->generation - before;
	return passed;
}
