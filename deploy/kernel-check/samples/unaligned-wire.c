/* Innocent: put on the wire by put_unaligned_be32() */
#include "kernel.h"

static inline void put_unaligned_be32(u32 value, u8 *to)
{
	to[0] = value >> 24;
	to[1] = value >> 16;
	to[2] = value >> 8;
	to[3] = value;
}

void send(struct vm *vm, u8 *packet)
{
	put_unaligned_be32(vm->seq, packet);
}
