/* Innocent: min() with a constant that fits */
#include "kernel.h"

u64 shown(struct vm *vm)
{
	int events = min(vm->seq, 1000UL);

	return events;
}
