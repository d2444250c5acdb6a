/* The widening is written out; the narrowing, where the value is lost, is not */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int seq = vm->seq;

	work(vm);
	return vm->seq != (unsigned long)seq;
}
