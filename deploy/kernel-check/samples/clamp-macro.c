/* Innocent: clamp() with bounds that fit */
#include "kernel.h"

#define clamp(value, low, high) min((typeof(value))max(value, low), high)

u64 shown(struct vm *vm)
{
	u32 seq = clamp(vm->seq, 1UL, 1000UL);

	return seq;
}
