/* Through an element of an array */
#include "kernel.h"

struct table {
	u32 seqs[4];
};

void begin(struct table *t, struct vm *vm, int slot)
{
	t->seqs[slot] = vm->seq;
}

bool stale(struct table *t, struct vm *vm, int slot)
{
	return t->seqs[slot] != vm->seq;
}
