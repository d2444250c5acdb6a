/* The few kernel names that the samples use, with the kernel's types and shapes. */
#ifndef SAMPLES_KERNEL_H
#define SAMPLES_KERNEL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef unsigned long size_t;
typedef _Bool bool;
typedef u32 __be32;
typedef u32 __le32;
typedef struct { s64 counter; } atomic64_t;
typedef struct { long counter; } atomic_long_t;
struct percpu_counter { s64 count; };

#define __packed __attribute__((packed))
#define unlikely(x) __builtin_expect(!!(x), 0)
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) do { *(volatile typeof(x) *)&(x) = (v); } while (0)
#define min(a, b) ({ typeof(a) __a = (a); typeof(b) __b = (b); (void)(&__a == &__b); __a < __b ? __a : __b; })
#define max(a, b) ({ typeof(a) __a = (a); typeof(b) __b = (b); (void)(&__a == &__b); __a > __b ? __a : __b; })
#define min_t(type, a, b) ({ type __a = (type)(a); type __b = (type)(b); __a < __b ? __a : __b; })
#define BUG() __builtin_unreachable()
#define BUG_ON(condition) do { if (unlikely(condition)) BUG(); } while (0)
#define WARN_ON(condition) ({ int __warn = !!(condition); if (unlikely(__warn)) warn(__FILE__, __LINE__); unlikely(__warn); })
#define lower_32_bits(n) ((u32)((n) & 0xffffffff))
#define upper_32_bits(n) ((u32)((n) >> 32))

#define INT_MAX 0x7fffffff
#define U32_MAX 0xffffffffU
#define U16_MAX 0xffffU
#define EINVAL 22
#define EOVERFLOW 75
#define ERANGE 34

void warn(const char *file, int line);
int printk(const char *format, ...);
void record(u64 value);
void account(s64 amount);

static inline s64 atomic64_read(const atomic64_t *v) { return READ_ONCE(v->counter); }
static inline void atomic64_inc(atomic64_t *v) { __atomic_fetch_add(&v->counter, 1, __ATOMIC_RELAXED); }
static inline s64 atomic64_inc_return(atomic64_t *v) { return __atomic_add_fetch(&v->counter, 1, __ATOMIC_SEQ_CST); }
static inline long atomic_long_read(const atomic_long_t *v) { return READ_ONCE(v->counter); }
static inline u32 __swab32(u32 x) { return __builtin_bswap32(x); }
static inline __be32 cpu_to_be32(u32 x) { return __swab32(x); }
static inline u32 be32_to_cpu(__be32 x) { return __swab32(x); }
void percpu_counter_add(struct percpu_counter *counter, s64 amount);

/* The counter of most samples. */
struct vm {
	unsigned long seq;
	u64 generation;
	long events;
	size_t count;
	atomic64_t version;
	int in_progress;
};

static inline void vm_invalidate(struct vm *vm)
{
	vm->seq++;
	vm->generation++;
	vm->events++;
	vm->count++;
	atomic64_inc(&vm->version);
}

#endif
