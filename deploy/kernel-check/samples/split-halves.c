/* Innocent: split into halves and put together again */
#include "kernel.h"

u64 through_registers(struct vm *vm)
{
	u32 low = vm->generation;
	u32 high = vm->generation >> 32;

	return (u64)high << 32 | low;
}
