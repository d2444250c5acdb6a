/* A pointer parameter is filled by one function and read by another */
#include "kernel.h"

static void take(struct vm *vm, u32 *snapshot)
{
	*snapshot = vm->seq;
}

static bool current_one(struct vm *vm, const u32 *snapshot)
{
	return *snapshot == vm->seq;
}

bool handle(struct vm *vm, void (*work)(struct vm *))
{
	u32 snapshot;

	take(vm, &snapshot);
	work(vm);
	return current_one(vm, &snapshot);
}
