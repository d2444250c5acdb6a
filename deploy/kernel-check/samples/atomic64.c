/* The counter is an atomic64_t */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	int version = atomic64_read(&vm->version);

	work(vm);
	return version != atomic64_read(&vm->version);
}
