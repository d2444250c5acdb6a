/* Checked against 32 bits, narrowed to 31 */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int seq;

	if (vm->seq > U32_MAX)
		return 0;
	seq = vm->seq;
	work(vm);
	return vm->seq != seq;
}
