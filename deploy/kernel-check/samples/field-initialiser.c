/* Through a field that a designated initialiser sets */
#include "kernel.h"

struct fault {
	u64 address;
	u32 snapshot;
};

bool handle(struct vm *vm, u64 address, void (*work)(struct fault *))
{
	struct fault fault = { .address = address, .snapshot = vm->seq };

	work(&fault);
	return fault.snapshot == vm->seq;
}
