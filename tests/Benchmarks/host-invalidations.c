/*
 * How many mmu_notifier invalidations a second can this machine provoke through /dev/kvm? The plain C answer, against which
 * the rate of SoakHost.HostKernel is measured (docs: src/SoakHost.HostKernel/README.md).
 *
 *   cc -O2 -Wall -Wextra -pthread -o host-invalidations host-invalidations.c
 *   ./host-invalidations [seconds=5] [vmas=512] [threads=1] [probe_ms=1000]
 *
 * One VM. Each thread owns a region of `vmas` pages inside a memslot, every other page with another protection, so that each
 * page is a VMA of its own and one madvise(MADV_DONTNEED) over the region makes `vmas` notifier ranges, hence `vmas`
 * increments of mmu_invalidate_seq.
 *
 * One vCPU touches 4 of the pages every probe_ms, as in SoakHost: it is part of the price. A VM whose vCPU never ran has no
 * reverse maps for KVM to walk, so that its invalidations are cheaper than any that can be soaked; probe_ms=0 shows that rate.
 * Prints one line: invalidations a second.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, THREADS_MAX = 64, CALLS_PER_LOOK_AT_THE_CLOCK = 64, PROBE_PAGES = 4, SYSTEM_BYTES = 2 << 20 };
static const uint64_t SOAKED = 1ull << 30;

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

struct prober {
    pthread_t thread;
    int vcpu;
    struct kvm_run *run;
    uint64_t *mailbox; /* first page, pages */
    int vmas;
    int probe_ms;
    double end;
    uint64_t probes;
};

/* Long mode in ring 3: see GuestCode in src/SoakHost.HostKernel, whose sweep this is, less the heartbeat. */
static void create_guest(struct prober *prober, int kvm, int vm, char *system) {
    static const unsigned char code[] = {
        0x48, 0x8b, 0x07,       /* round: mov rax, [rdi] */
        0x48, 0x8b, 0x57, 0x08, /* mov rdx, [rdi + 8] */
        0x8a, 0x08,             /* page: mov cl, [rax] */
        0x48, 0x05, 0, 0x10, 0, 0, /* add rax, 4096 */
        0x48, 0xff, 0xca,       /* dec rdx */
        0x75, 0xf3,             /* jnz page */
        0xe6, 0x5f,             /* out 0x5f, al */
        0xeb, 0xe8,             /* jmp round */
    };
    memcpy(system + 0x1000, code, sizeof code);
    prober->mailbox = (uint64_t *)(system + 0x2000);
    *(uint64_t *)(system + 0x3000) = 0x4027;
    *(uint64_t *)(system + 0x4000) = 0x5027;
    *(uint64_t *)(system + 0x4008) = 0x6027;
    *(uint64_t *)(system + 0x5000) = 0xe7;
    for (int i = 0; i < 512; i++)
        ((uint64_t *)(system + 0x6000))[i] = (SOAKED + ((uint64_t)i << 21)) | 0xe7;

    prober->vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (prober->vcpu < 0)
        die("KVM_CREATE_VCPU");
    prober->run = mmap(NULL, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, prober->vcpu, 0);
    if (prober->run == MAP_FAILED)
        die("mmap vCPU");
    struct kvm_sregs special;
    if (ioctl(prober->vcpu, KVM_GET_SREGS, &special) != 0)
        die("KVM_GET_SREGS");
    const struct kvm_segment data = {.limit = ~0u, .selector = 0x1b, .type = 3, .present = 1, .dpl = 3, .s = 1, .db = 1, .g = 1};
    special.cs = (struct kvm_segment){.limit = ~0u, .selector = 0x13, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1};
    special.ss = special.ds = special.es = special.fs = special.gs = data;
    special.cr0 = 0x80050033;
    special.cr3 = 0x3000;
    special.cr4 = 0x620;
    special.efer = 0x500;
    const struct kvm_regs registers = {.rip = 0x1000, .rdi = 0x2000, .rflags = 0x3002};
    if (ioctl(prober->vcpu, KVM_SET_SREGS, &special) != 0 || ioctl(prober->vcpu, KVM_SET_REGS, &registers) != 0)
        die("set registers");
}

static void *probe(void *argument) {
    struct prober *self = argument;
    while (now() < self->end) {
        self->mailbox[0] = SOAKED + (self->probes * PROBE_PAGES % (self->vmas - PROBE_PAGES + 1)) * PAGE;
        self->mailbox[1] = PROBE_PAGES;
        if (ioctl(self->vcpu, KVM_RUN, 0) != 0 || self->run->exit_reason != KVM_EXIT_IO)
            die("KVM_RUN");
        self->probes++;
        usleep(self->probe_ms * 1000);
    }
    return NULL;
}

int main(int argc, char **argv) {
    const double seconds = argc > 1 ? atof(argv[1]) : 5;
    const int vmas = argc > 2 ? atoi(argv[2]) : 512;
    const int threads = argc > 3 ? atoi(argv[3]) : 1;
    const int probe_ms = argc > 4 ? atoi(argv[4]) : 1000;
    if (seconds <= 0 || probe_ms < 0 || vmas < PROBE_PAGES || vmas > 32768 || threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: host-invalidations [seconds > 0] [vmas %d..32768] [threads 1..%d] [probe_ms]\n", PROBE_PAGES, THREADS_MAX);
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
        .slot = 0, .guest_phys_addr = SOAKED, .memory_size = bytes * threads, .userspace_addr = (uintptr_t)memory};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) != 0)
        die("KVM_SET_USER_MEMORY_REGION");

    char *system = mmap(NULL, SYSTEM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (system == MAP_FAILED)
        die("mmap");
    madvise(system, SYSTEM_BYTES, MADV_NOHUGEPAGE);
    struct kvm_userspace_memory_region low = {.slot = 1, .memory_size = SYSTEM_BYTES, .userspace_addr = (uintptr_t)system};
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &low) != 0)
        die("KVM_SET_USER_MEMORY_REGION");
    struct prober prober = {.vmas = vmas, .probe_ms = probe_ms, .end = now() + seconds};
    create_guest(&prober, kvm, vm, system);
    if (probe_ms > 0 && pthread_create(&prober.thread, NULL, probe, &prober) != 0)
        die("pthread_create");

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
    if (probe_ms > 0)
        pthread_join(prober.thread, NULL);
    printf("%.0f invalidations/s (%llu in %.3f s, %d VMAs a call, %d thread%s, %llu probes)\n", calls * vmas / elapsed,
           (unsigned long long)(calls * vmas), elapsed, vmas, threads, threads == 1 ? "" : "s", (unsigned long long)prober.probes);
    return 0;
}
