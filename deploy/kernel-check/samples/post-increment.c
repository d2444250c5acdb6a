/* A ticket is drawn with ++ */
#include "kernel.h"

bool mine(struct vm *vm, void (*work)(struct vm *))
{
	int ticket = vm->generation++;

	work(vm);
	return ticket == vm->generation;
}
