/* Through a conditional expression */
#include "kernel.h"

bool stale(struct vm *vm, bool fast, void (*work)(struct vm *))
{
	u32 snapshot = fast ? 0 : vm->seq;

	work(vm);
	return vm->seq != snapshot;
}
