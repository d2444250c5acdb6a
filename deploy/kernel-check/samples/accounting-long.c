/* The same code with the unsigned long that it had: 32 bits wide on a 32-bit kernel, where the sum has 64 */
#include "kernel.h"

struct pages {
	unsigned long used;
	struct percpu_counter total;
};

static void mod_used_pages(struct pages *pages, unsigned long nr)
{
	pages->used += nr;
	percpu_counter_add(&pages->total, nr);
}

void page_freed(struct pages *pages)
{
	mod_used_pages(pages, -1);
}
