/* Through the conditional with an omitted operand */
#include "kernel.h"

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	int before = vm->seq ?: 1;

	work(vm);
	return before != vm->seq;
}
