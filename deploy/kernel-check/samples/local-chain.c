/* Through a chain of locals, where only the first is narrowed */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int first = vm->seq;
	int second = first;
	long third = second;

	work(vm);
	return third != vm->seq;
}
