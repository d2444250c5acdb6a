/* Innocent: min_t() writes the cast out */
#include "kernel.h"

u64 shown(struct vm *vm)
{
	u32 events = min_t(u32, vm->seq, 1000);

	return events;
}
