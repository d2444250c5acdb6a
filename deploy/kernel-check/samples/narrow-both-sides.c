/* Innocent: both sides are narrowed alike and compared at 32 bits */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int before = vm->seq, after;

	work(vm);
	after = vm->seq;
	return before != after;
}
