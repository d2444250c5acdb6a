/* The snapshot is taken at the end of a loop's body and compared at the start of the next */
#include "kernel.h"

void watch(struct vm *vm, bool (*work)(struct vm *))
{
	int seq = 0;

	do {
		if (vm->seq == seq)
			continue;
		seq = vm->seq;
	} while (work(vm));
}
