/* jiffies kept in an unsigned int, compared by time_after() */
#include "kernel.h"

extern unsigned long volatile jiffies;

#define time_after(a, b) ((long)((b) - (a)) < 0)

bool expired(void (*work)(void))
{
	unsigned int start = jiffies;

	work();
	return time_after(jiffies, start + 100UL);
}
