/* The narrowed counter is stored in a 64-bit field */
#include "kernel.h"

struct checkpoint {
	u64 generation;
};

void save(struct vm *vm, struct checkpoint *checkpoint)
{
	u32 generation = vm->generation;

	checkpoint->generation = generation;
}
