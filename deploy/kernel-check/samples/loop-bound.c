/* Innocent: for bounds its index */
#include "kernel.h"

void each(struct vm *vm)
{
	unsigned long i;

	for (i = 0; i < 100; i++) {
		int n = i;

		record(n);
	}
}
