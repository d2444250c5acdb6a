/* The same copies, in a record that is the kernel's own */
#include "kernel.h"

struct saved {
	s32 ticks;
};

struct clock {
	s64 ticks;
};

void tick(struct clock *clock)
{
	clock->ticks++;
}

void save(struct saved *saved, const struct clock *clock)
{
	saved->ticks = clock->ticks;
}

void restore(struct clock *clock, const struct saved *saved)
{
	clock->ticks = saved->ticks;
}
