/* Innocent: a field called count that nothing counts up, a number of bytes, is passed on */
#include "kernel.h"

struct iterator {
	size_t count;
};

void copy(struct iterator *iterator)
{
	int count = iterator->count;

	record(count);
}
