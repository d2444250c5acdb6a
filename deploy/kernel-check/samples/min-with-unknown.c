/* min() with a number of 64 bits that may be anything */
#include "kernel.h"

bool behind(struct vm *vm, unsigned long most)
{
	int seq = min(vm->seq, most);

	return seq != vm->seq;
}
