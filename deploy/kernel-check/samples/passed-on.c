/* The narrowed counter is passed to a function elsewhere that takes 64 bits */
#include "kernel.h"

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	int seq = vm->seq;

	work(vm);
	record(seq);
	return 0;
}
