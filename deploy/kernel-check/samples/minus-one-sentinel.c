/* Innocent: -1 as all ones */
#include "kernel.h"

static u64 widen(u32 mask)
{
	u64 wide = mask;

	return wide;
}

u64 all_ones(void)
{
	return widen(-1);
}
