/* Innocent: an error code, returned by a function that has to do with events */
#include "kernel.h"

long PTR_ERR(const void *pointer);

int map_event_page(const void *page)
{
	return PTR_ERR(page);
}

void restore_event(const void *page)
{
	int result = map_event_page(page);

	record(result);
}
