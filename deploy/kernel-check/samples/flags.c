/* Innocent: flags, tested with & */
#include "kernel.h"

struct features {
	u64 flags;
};

bool all_set(struct features *features, u64 wanted)
{
	u32 flags = features->flags;

	return (flags & wanted) == wanted;
}
