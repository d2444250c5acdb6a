/* Through a bit-field of 24 bits */
#include "kernel.h"

struct fault {
	u32 valid : 1;
	u32 seq : 24;
};

void begin(struct vm *vm, struct fault *fault)
{
	fault->seq = vm->seq;
}

bool stale(struct vm *vm, struct fault *fault)
{
	return vm->seq != fault->seq;
}
