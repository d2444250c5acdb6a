/* A number of events that nothing here counts, passed on at 64 bits */
#include "kernel.h"

struct device {
	u64 nr_events;
};

void report(struct device *device)
{
	int events = device->nr_events;

	record(events);
}
