/* The counter plus one is expected later */
#include "kernel.h"

bool mine(struct vm *vm, void (*work)(struct vm *))
{
	int next = vm->seq + 1;

	work(vm);
	return vm->seq == next;
}
