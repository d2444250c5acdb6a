/* Innocent: a packet sequence number of 24 bits, masked by a macro */
#include "kernel.h"

#define PSN(x) ((x) & 0xffffff)

struct qp {
	u64 sent;
	u32 psn;
};

void post(struct qp *qp)
{
	qp->psn = PSN(qp->sent);
	qp->sent++;
}

bool expected(struct qp *qp, u64 psn)
{
	return psn == qp->psn;
}
