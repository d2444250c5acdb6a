/* Innocent: sizes and error codes are no counters */
#include "kernel.h"

long copy_from(void *to, const void *from, size_t size);

static int fetch(void *to, const void *from, size_t size)
{
	long error = copy_from(to, from, size);

	return error;
}

long read_all(void *to, const void *from, size_t size)
{
	int length = size;
	long error = fetch(to, from, length);

	return error;
}
