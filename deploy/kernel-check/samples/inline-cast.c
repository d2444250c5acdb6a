/* Innocent: an inline function writes the cast out */
#include "kernel.h"

static inline u32 low(u64 value)
{
	return (u32)value;
}

bool stale(struct vm *vm, u32 seq)
{
	return low(vm->seq) != seq;
}

bool fault(struct vm *vm)
{
	return stale(vm, low(vm->seq));
}
