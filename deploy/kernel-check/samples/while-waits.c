/* Compared in the condition of a loop */
#include "kernel.h"

void wait(struct vm *vm, void (*relax)(void))
{
	u32 seq = READ_ONCE(vm->seq);

	while (READ_ONCE(vm->seq) == seq)
		relax();
}
