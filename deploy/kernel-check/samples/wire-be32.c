/* Innocent: a 32-bit protocol of the wire */
#include "kernel.h"

struct header {
	__be32 seq;
	__be32 length;
} __packed;

void send(struct vm *vm, struct header *header)
{
	header->seq = cpu_to_be32(vm->seq);
}

bool expected(struct vm *vm, struct header *header)
{
	return be32_to_cpu(header->seq) == (u32)vm->seq;
}
