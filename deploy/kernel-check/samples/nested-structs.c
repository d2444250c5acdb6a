/* Through a parameter, then a field, then a comparison elsewhere */
#include "kernel.h"

struct request {
	struct {
		int seq;
	} snapshot;
};

static void prepare(struct request *request, int seq)
{
	request->snapshot.seq = seq;
}

void start(struct vm *vm, struct request *request)
{
	prepare(request, vm->seq);
}

bool finished(struct vm *vm, struct request *request)
{
	return request->snapshot.seq == vm->seq;
}
