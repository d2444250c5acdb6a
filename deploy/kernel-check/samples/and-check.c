/* Innocent: a range with two ends */
#include "kernel.h"

void set(struct vm *vm)
{
	if (vm->seq > 0 && vm->seq < 1000) {
		u16 seq = vm->seq;

		record(seq);
	}
}
