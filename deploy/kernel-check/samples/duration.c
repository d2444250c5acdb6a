/* Innocent: a duration, converted to jiffies */
#include "kernel.h"

unsigned long msecs_to_jiffies(unsigned int ms);

extern unsigned long volatile jiffies;

struct timer {
	unsigned long expires;
};

void arm(struct timer *timer)
{
	unsigned int timeout = msecs_to_jiffies(3);

	timer->expires = jiffies + timeout;
}
