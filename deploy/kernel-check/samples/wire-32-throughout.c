/* Innocent: a 32-bit sequence number of the protocol, 32 bits everywhere */
#include "kernel.h"

struct connection {
	u32 snd_nxt, snd_una;
};

bool acked(struct connection *c, u32 ack)
{
	return (s32)(ack - c->snd_una) > 0 && (s32)(c->snd_nxt - ack) >= 0;
}

void send(struct connection *c)
{
	c->snd_nxt++;
}
