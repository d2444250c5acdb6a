/* Both sides come in by parameters */
#include "kernel.h"

bool same(u64 seq, u64 now)
{
	int snapshot = seq;

	return snapshot == now;
}
