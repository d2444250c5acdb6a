/* The counter is a signed long */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int events = vm->events;

	work(vm);
	return events != vm->events;
}
