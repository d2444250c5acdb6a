/* Innocent: written out byte by byte */
#include "kernel.h"

void put(struct vm *vm, u8 *out)
{
	out[0] = vm->generation;
	out[1] = vm->generation >> 8;
	out[2] = vm->generation >> 16;
	out[3] = vm->generation >> 24;
}

u64 first(u8 *out)
{
	return out[0];
}
