/* Innocent: a const variable is a constant */
#include "kernel.h"

static const unsigned long magic = 0x1002;

struct state {
	unsigned int magic;
};

bool is_ours(struct state *state)
{
	state->magic = magic;
	return state->magic == magic;
}
