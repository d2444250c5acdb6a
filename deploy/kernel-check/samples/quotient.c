/* Innocent: a quotient is not the counter */
#include "kernel.h"

u64 thousands(struct vm *vm)
{
	u32 thousands = vm->seq / 1000;

	return thousands;
}
