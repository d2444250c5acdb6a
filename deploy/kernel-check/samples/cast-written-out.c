/* Innocent: the narrowing is written out */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int seq = (int)vm->seq;

	work(vm);
	return seq != (int)vm->seq;
}
