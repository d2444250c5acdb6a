/* An RDMA driver's shape: the notifier's sequence number is kept in an int notifiers_seq */
#include "kernel.h"

struct interval_notifier {
	unsigned long invalidate_seq;
};

struct umem_odp {
	struct interval_notifier notifier;
	int notifiers_seq;
};

unsigned long mmu_interval_read_begin(struct interval_notifier *notifier);
bool mmu_interval_read_retry(struct interval_notifier *notifier, unsigned long seq);

bool pagefault(struct umem_odp *odp)
{
	odp->notifiers_seq = mmu_interval_read_begin(&odp->notifier);
	return mmu_interval_read_retry(&odp->notifier, odp->notifiers_seq);
}
