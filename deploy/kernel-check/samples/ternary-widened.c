/* The conditional expression is where it is widened */
#include "kernel.h"

bool stale(struct vm *vm, bool fast, void (*work)(struct vm *))
{
	int snapshot = vm->seq;

	work(vm);
	return vm->seq != (fast ? 0 : snapshot);
}
