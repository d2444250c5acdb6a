/* Innocent: a clock is a frequency here, not a counter */
#include "kernel.h"

struct device {
	u32 soft_max_clk;
};

bool changed(struct device *device, unsigned long clock)
{
	device->soft_max_clk = clock;
	return device->soft_max_clk != clock;
}
