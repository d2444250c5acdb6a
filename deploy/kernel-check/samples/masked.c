/* Innocent: masked before it is narrowed */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int seq = vm->seq & 0xffff;

	work(vm);
	return (vm->seq & 0xffff) != seq;
}
