/* Through a field of a compound literal */
#include "kernel.h"

struct fault {
	u64 address;
	int seq;
};

static bool stale(struct vm *vm, const struct fault *fault)
{
	return vm->seq != fault->seq;
}

bool handle(struct vm *vm)
{
	return stale(vm, &(struct fault){ .seq = vm->seq });
}
