/* The counter is an atomic_long_t in a global variable */
#include "kernel.h"

static atomic_long_t epoch;

static bool moved_since(int since)
{
	return atomic_long_read(&epoch) != since;
}

bool wait(void (*work)(void))
{
	long before = atomic_long_read(&epoch);

	work();
	return moved_since(before);
}
