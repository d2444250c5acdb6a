/* atomic64_read() is the argument itself */
#include "kernel.h"

static bool stale(struct vm *vm, int version)
{
	return atomic64_read(&vm->version) != version;
}

bool fault(struct vm *vm)
{
	return stale(vm, atomic64_read(&vm->version));
}
