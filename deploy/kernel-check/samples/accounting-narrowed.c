/* A 64-bit number of pages is passed as an int and added to a 64-bit sum */
#include "kernel.h"

static s64 total;

static void mod_used_pages(int nr)
{
	total += nr;
}

void zap(struct vm *vm)
{
	unsigned long zapped = vm->count;

	mod_used_pages(zapped);
}
