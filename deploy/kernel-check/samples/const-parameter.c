/* The parameter is a const int */
#include "kernel.h"

static bool stale(const struct vm *vm, const int seq)
{
	return vm->seq != seq;
}

bool fault(const struct vm *vm)
{
	const unsigned long seq = vm->seq;

	return stale(vm, seq);
}
