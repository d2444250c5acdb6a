/* A 64-bit number of events goes through a u32 into a 64-bit sum */
#include "kernel.h"

struct stats {
	u64 events;
	u64 total_events;
};

static void add_events(struct stats *stats, u32 events)
{
	stats->total_events += events;
}

void flush(struct stats *stats, struct vm *vm)
{
	add_events(stats, vm->generation);
}
