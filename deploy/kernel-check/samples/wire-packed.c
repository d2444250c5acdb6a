/* Innocent: a packed record of a device */
#include "kernel.h"

struct descriptor {
	u16 flags;
	u32 seq;
} __packed;

void post(struct vm *vm, struct descriptor *descriptor)
{
	descriptor->seq = vm->seq;
}

u64 completed(struct descriptor *descriptor)
{
	return descriptor->seq;
}
