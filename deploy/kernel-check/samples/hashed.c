/* Innocent: a hash of the counter */
#include "kernel.h"

static inline u32 hash_64(u64 value, unsigned int bits)
{
	return value * 0x61C8864680B583EBULL >> (64 - bits);
}

u64 bucket(struct vm *vm)
{
	return hash_64(vm->seq, 10);
}
