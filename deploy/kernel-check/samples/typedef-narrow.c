/* The narrow type hides behind a typedef */
#include "kernel.h"

typedef int seq_t;

static bool stale(struct vm *vm, seq_t seq)
{
	return vm->seq != seq;
}

bool fault(struct vm *vm)
{
	return stale(vm, vm->seq);
}
