/* Innocent: asked whether it is zero */
#include "kernel.h"

u64 any(struct vm *vm)
{
	bool any = vm->seq;

	return any;
}
