/* Stored with WRITE_ONCE(), read with READ_ONCE() */
#include "kernel.h"

struct slot {
	u8 gen;
};

void publish(struct vm *vm, struct slot *slot)
{
	WRITE_ONCE(slot->gen, vm->generation);
}

bool usable(struct vm *vm, struct slot *slot)
{
	return READ_ONCE(slot->gen) == READ_ONCE(vm->generation);
}
