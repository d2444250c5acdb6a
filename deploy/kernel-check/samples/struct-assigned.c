/* Through a field of a structure that is assigned as a whole */
#include "kernel.h"

struct key {
	u16 gen;
};

struct entry {
	struct key key;
};

void fill(struct vm *vm, struct entry *entry)
{
	entry->key = (struct key){ .gen = vm->generation };
}

bool current_entry(struct vm *vm, struct entry *entry)
{
	return entry->key.gen == vm->generation;
}
