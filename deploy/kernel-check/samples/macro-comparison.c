/* The comparison is within a macro */
#include "kernel.h"

#define IS_STALE(vm, snapshot) unlikely((vm)->seq != (snapshot))

bool stale(struct vm *vm, void (*work)(struct vm *))
{
	unsigned int snapshot = vm->seq;

	work(vm);
	return IS_STALE(vm, snapshot);
}
