/*
 * How many mmu_notifier invalidations a second can this machine provoke through /dev/kvm? The plain C answer, against which
 * the rate of SoakHost.HostKernel is measured (docs: src/SoakHost.HostKernel/README.md).
 *
 *   cc -O2 -Wall -Wextra -pthread -o host-invalidations host-invalidations.c
 *   ./host-invalidations [seconds=5] [vmas=512] [threads=1]
 *
 * One VM, no vCPU. Each thread owns a region of `vmas` pages inside a memslot, every other page with another protection, so
 * that each page is a VMA of its own and one madvise(MADV_DONTNEED) over the region makes `vmas` notifier ranges, hence
 * `vmas` increments of mmu_invalidate_seq. No page is ever touched. Prints one line: invalidations a second.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, THREADS_MAX = 64, CALLS_PER_LOOK_AT_THE_CLOCK = 64 };

struct invalidator {
    pthread_t thread;
    char *region;
    size_t bytes;
    double seconds;
    uint64_t calls;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void *invalidate(void *argument) {
    struct invalidator *self = argument;
    const double end = now() + self->seconds;
    do {
        for (int i = 0; i < CALLS_PER_LOOK_AT_THE_CLOCK; i++)
            if (madvise(self->region, self->bytes, MADV_DONTNEED) != 0)
                die("madvise");
        self->calls += CALLS_PER_LOOK_AT_THE_CLOCK;
    } while (now() < end);
    return NULL;
}

int main(int argc, char **argv) {
    const double seconds = argc > 1 ? atof(argv[1]) : 5;
    const int vmas = argc > 2 ? atoi(argv[2]) : 512;
    const int threads = argc > 3 ? atoi(argv[3]) : 1;
    if (seconds <= 0 || vmas < 1 || vmas > 32768 || threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: host-invalidations [seconds > 0] [vmas 1..32768] [threads 1..%d]\n", THREADS_MAX);
        return 64;
    }

    const int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0)
        die("/dev/kvm");
    const int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (vm < 0)
        die("KVM_CREATE_VM");

    const size_t bytes = (size_t)vmas * PAGE;
    char *memory = mmap(NULL, bytes * threads, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    madvise(memory, bytes * threads, MADV_NOHUGEPAGE);
    for (int page = 1; page < vmas * threads; page += 2)
        if (mprotect(memory + (size_t)page * PAGE, PAGE, PROT_READ) != 0)
            die("mprotect");
    struct kvm_userspace_memory_region slot = {
        .slot = 0, .guest_phys_addr = 0, .memory_size = bytes * threads, .userspace_addr = (uintptr_t)memory};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) != 0)
        die("KVM_SET_USER_MEMORY_REGION");

    static struct invalidator invalidators[THREADS_MAX];
    const double start = now();
    for (int i = 0; i < threads; i++) {
        invalidators[i] = (struct invalidator){.region = memory + bytes * i, .bytes = bytes, .seconds = seconds};
        if (pthread_create(&invalidators[i].thread, NULL, invalidate, &invalidators[i]) != 0)
            die("pthread_create");
    }
    uint64_t calls = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(invalidators[i].thread, NULL);
        calls += invalidators[i].calls;
    }
    const double elapsed = now() - start;
    printf("%.0f invalidations/s (%llu in %.3f s, %d VMAs a call, %d thread%s)\n", calls * vmas / elapsed,
           (unsigned long long)(calls * vmas), elapsed, vmas, threads, threads == 1 ? "" : "s");
    return 0;
}
