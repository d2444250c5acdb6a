/* The counter is read into a 64-bit local first, and the comparison is with another one */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	unsigned long before = vm->seq, after;
	int snapshot = before;

	work(vm);
	after = vm->seq;
	return after > snapshot;
}
