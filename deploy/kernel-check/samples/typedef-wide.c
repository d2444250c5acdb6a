/* The wide type hides behind a typedef */
#include "kernel.h"

typedef unsigned long gen_t;

struct cache {
	gen_t gen;
};

void bump(struct cache *cache)
{
	cache->gen++;
}

bool valid(struct cache *cache, void (*work)(void))
{
	unsigned int gen = cache->gen;

	work();
	return cache->gen == gen;
}
