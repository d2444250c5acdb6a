/* Innocent: elapsed jiffies, a distance */
#include "kernel.h"

extern unsigned long volatile jiffies;

static u64 total;

void measure(void (*work)(void))
{
	unsigned long start = jiffies;
	unsigned int elapsed;

	work();
	elapsed = jiffies - start;
	total += elapsed;
}
