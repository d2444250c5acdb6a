/* Through a field of a structure, between two functions */
#include "kernel.h"

struct fault {
	u64 address;
	int seq;
};

void begin(struct vm *vm, struct fault *fault)
{
	fault->seq = vm->seq;
}

bool stale(struct vm *vm, struct fault *fault)
{
	return vm->seq != fault->seq;
}
