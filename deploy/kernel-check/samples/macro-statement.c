/* Within a macro: its temporary variable is an int */
#include "kernel.h"

#define SNAPSHOT(vm) ({ int __seq = READ_ONCE((vm)->seq); __seq; })

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	unsigned long before = SNAPSHOT(vm);

	work(vm);
	return READ_ONCE(vm->seq) != before;
}
