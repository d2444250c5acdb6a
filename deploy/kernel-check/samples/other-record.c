/* Innocent: a field of the same name in another record is narrow all along */
#include "kernel.h"

struct ring {
	u32 seq;
};

void push(struct ring *ring)
{
	ring->seq++;
}

u64 pushed(struct ring *ring)
{
	return ring->seq;
}
