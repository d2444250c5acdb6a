/* The same driver before it had interval notifiers: the counter itself is an int, its copy an unsigned long */
#include "kernel.h"

struct umem_odp {
	int notifiers_seq;
	int notifiers_count;
};

void invalidate_end(struct umem_odp *odp)
{
	odp->notifiers_seq++;
	odp->notifiers_count--;
}

static bool retry(struct umem_odp *odp, unsigned long mmu_seq)
{
	if (unlikely(odp->notifiers_count))
		return 1;
	return odp->notifiers_seq != mmu_seq;
}

bool pagefault(struct umem_odp *odp)
{
	int current_seq = READ_ONCE(odp->notifiers_seq);

	return retry(odp, current_seq);
}
