/* The accounting of d5aaad6f8342, as a 32-bit kernel has it: -1 as an unsigned number of 32 bits, added up at 64 */
#include "kernel.h"

struct pages {
	u32 used;
	struct percpu_counter total;
};

static void mod_used_pages(struct pages *pages, u32 nr)
{
	pages->used += nr;
	percpu_counter_add(&pages->total, nr);
}

void page_freed(struct pages *pages)
{
	mod_used_pages(pages, -1);
}
