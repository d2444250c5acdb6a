/* Through a local variable that is declared first and assigned later */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	u32 before;

	before = READ_ONCE(vm->generation);
	work(vm);
	if (READ_ONCE(vm->generation) == before)
		return 0;
	return 1;
}
