/* Innocent: the right operand of && is only reached where it fits */
#include "kernel.h"

static bool check(u32 seq)
{
	record(seq);
	return seq;
}

bool usable(struct vm *vm)
{
	return vm->seq <= U32_MAX && check(vm->seq);
}
