/* Innocent: a size, rounded up to a power of two */
#include "kernel.h"

unsigned long __roundup_pow_of_two(unsigned long n);

struct queue {
	int wqe_cnt;
};

void set_size(struct queue *queue, unsigned int wanted)
{
	queue->wqe_cnt = __roundup_pow_of_two(wanted);
	queue->wqe_cnt++;
	record(queue->wqe_cnt);
}
