/* A ticket is drawn with atomic64_inc_return() and kept in a u32 */
#include "kernel.h"

bool newest(struct vm *vm, void (*work)(struct vm *))
{
	u32 ticket = atomic64_inc_return(&vm->version);

	work(vm);
	return atomic64_read(&vm->version) == ticket;
}
