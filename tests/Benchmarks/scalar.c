/*
 * The yardstick: the protocol of linux-6.1.y with its ground truth, written plainly in scalar C, one VM after another. It draws the
 * same choices in the same way as the soak (4 vCPUs, 1 invalidator, 32 pages, ranges of up to 16) and prints operations a second.
 *
 *   gcc -O3 -march=native -o /tmp/soakhost-scalar tests/Benchmarks/scalar.c && /tmp/soakhost-scalar [seconds]
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { VMS = 64, VCPUS = 4, PAGES = 32, RANGE_PAGES = 16, SLICE_TICKS = 4096 };
enum vcpu_phase { ACCESS, RESOLVE, CHECK };
enum invalidator_phase { BEGIN, CHANGE, END };

struct vcpu {
	enum vcpu_phase phase;
	unsigned page;
	uint64_t snapshot;
	bool raced, outdated, any_unjustified;
	uint32_t consecutive_retries;
};

struct vm {
	uint32_t random[4];
	uint64_t seq;
	uint32_t in_progress;
	unsigned range_start, range_end;
	uint64_t mapped;
	uint64_t mapped_total;
	struct vcpu vcpus[VCPUS];
	enum invalidator_phase invalidator;
	unsigned own_start, own_end;
	bool active;
};

struct totals {
	uint64_t invalidations, accesses, fixed, retried, unjustified, unsafe, accounting;
};

static uint32_t rotl(uint32_t x, int k) { return (x << k) | (x >> (32 - k)); }

static uint32_t next_random(uint32_t *s)
{
	uint32_t result = rotl(s[0] + s[3], 7) + s[0], t = s[1] << 9;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 11);
	return result;
}

static void step_vcpu(struct vm *vm, struct vcpu *vcpu, unsigned next_page, struct totals *totals)
{
	switch (vcpu->phase) {
	case ACCESS:
		if (vm->mapped >> vcpu->page & 1) {
			totals->accesses++;
			vcpu->page = next_page;
			vcpu->consecutive_retries = 0;
			vcpu->any_unjustified = false;
			return;
		}
		vcpu->snapshot = vm->seq;
		vcpu->raced = false;
		vcpu->phase = RESOLVE;
		return;
	case RESOLVE:
		vcpu->outdated = false;
		vcpu->phase = CHECK;
		return;
	case CHECK: {
		bool in_range = vcpu->page >= vm->range_start && vcpu->page < vm->range_end;
		bool stale = (vm->in_progress && in_range) || vcpu->snapshot != vm->seq;

		vcpu->phase = ACCESS;
		if (stale) {
			bool warranted = vcpu->raced || (vm->active && in_range);

			totals->retried++;
			vcpu->consecutive_retries++;
			if (!warranted) {
				totals->unjustified++;
				vcpu->any_unjustified = true;
			}
			return;
		}
		if (vcpu->outdated || (vm->active && vcpu->page >= vm->own_start && vcpu->page < vm->own_end))
			totals->unsafe++;
		if (!(vm->mapped >> vcpu->page & 1))
			vm->mapped_total++;
		vm->mapped |= 1ull << vcpu->page;
		totals->fixed++;
		vcpu->consecutive_retries = 0;
		vcpu->any_unjustified = false;
		return;
	}
	}
}

static void step_invalidator(struct vm *vm, unsigned start, unsigned end, struct totals *totals)
{
	switch (vm->invalidator) {
	case BEGIN: {
		uint64_t own = ((1ull << (end - start)) - 1) << start;

		if (++vm->in_progress == 1) {
			vm->range_start = start;
			vm->range_end = end;
		} else {
			vm->range_start = start < vm->range_start ? start : vm->range_start;
			vm->range_end = end > vm->range_end ? end : vm->range_end;
		}
		vm->own_start = start;
		vm->own_end = end;
		vm->active = true;
		vm->mapped_total -= __builtin_popcountll(vm->mapped & own);
		vm->mapped &= ~own;
		if (vm->mapped_total != (uint64_t)__builtin_popcountll(vm->mapped))
			totals->accounting++;
		vm->invalidator = CHANGE;
		return;
	}
	case CHANGE:
		for (int v = 0; v < VCPUS; v++)
			if (vm->vcpus[v].page >= vm->own_start && vm->vcpus[v].page < vm->own_end)
				vm->vcpus[v].outdated = true;
		vm->invalidator = END;
		return;
	case END:
		vm->seq++;
		vm->in_progress--;
		vm->active = false;
		for (int v = 0; v < VCPUS; v++)
			vm->vcpus[v].raced = true;
		totals->invalidations++;
		vm->invalidator = BEGIN;
		return;
	}
}

static void tick(struct vm *vm, struct totals *totals)
{
	uint32_t bits = next_random(vm->random);

	for (int v = 0; v < VCPUS; v++, bits >>= 8)
		if (bits & 7)
			step_vcpu(vm, &vm->vcpus[v], bits >> 3 & 31, totals);

	bits = next_random(vm->random);
	if (bits & 7) {
		unsigned start = bits >> 3 & 31;
		unsigned end = start + 1 + ((bits >> 8 & 31) * RANGE_PAGES >> 5);

		step_invalidator(vm, start, end < PAGES ? end : PAGES, totals);
	}
}

int main(int argc, char **argv)
{
	static struct vm vms[VMS];
	struct totals totals = {0};
	double seconds = argc > 1 ? atof(argv[1]) : 3, elapsed;
	struct timespec start, now;

	for (int i = 0; i < VMS; i++) {
		vms[i].seq = (1ull << 31) - 1000000;
		for (int w = 0; w < 4; w++)
			vms[i].random[w] = 0x9e3779b9u * (4 * i + w + 1);
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (int i = 0; i < VMS; i++)
			for (int t = 0; t < SLICE_TICKS; t++)
				tick(&vms[i], &totals);
		clock_gettime(CLOCK_MONOTONIC, &now);
		elapsed = now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9;
	} while (elapsed < seconds);
	uint64_t operations = totals.invalidations + totals.fixed + totals.retried;
	printf("%.1f million operations a second (%llu operations, %llu fixed, %llu retried, %llu unjustified, %llu unsafe, %llu accounting)\n",
	       operations / elapsed / 1e6, (unsigned long long)operations, (unsigned long long)totals.fixed,
	       (unsigned long long)totals.retried, (unsigned long long)totals.unjustified, (unsigned long long)totals.unsafe,
	       (unsigned long long)totals.accounting);
	return 0;
}
