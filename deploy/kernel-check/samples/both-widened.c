/* Innocent: two snapshots, narrowed alike, are compared at 64 bits */
#include "kernel.h"

static bool same(long a, long b)
{
	return a == b;
}

bool unchanged(struct vm *vm, void (*work)(struct vm *))
{
	u32 before = (u32)vm->seq, after;

	work(vm);
	after = (u32)vm->seq;
	return same(before, after);
}
