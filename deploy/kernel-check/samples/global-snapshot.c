/* Through a global variable */
#include "kernel.h"

static int last_seen;

void note_seen(struct vm *vm)
{
	last_seen = atomic64_read(&vm->version);
}

bool moved(struct vm *vm)
{
	return atomic64_read(&vm->version) != last_seen;
}
