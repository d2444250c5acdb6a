/* Through an element of a local array */
#include "kernel.h"

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	int seqs[2];

	seqs[0] = vm->seq;
	work(vm);
	return seqs[0] != vm->seq;
}
