/* WARN_ON() about something else */
#include "kernel.h"

bool changed(struct vm *vm, void (*work)(struct vm *))
{
	u32 seq;

	WARN_ON(vm->in_progress > 100);
	seq = vm->seq;
	work(vm);
	return vm->seq != seq;
}
