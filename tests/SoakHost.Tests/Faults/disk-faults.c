/*
 * Makes the disk under one folder fail or hang, for a program that is started with this library in LD_PRELOAD. The file named by
 * DISK_FAULTS has the controls: a test maps it and changes them while the program runs. DISK_FAULTS_FOLDER is the folder.
 *
 *     cc -shared -fPIC -O1 -Wall -Wextra -o disk-faults.so disk-faults.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, READ = 2, WRITE = 4, SYNC = 8 };

/* Faults strike the calls of the kinds in mask, from number first to number last. DiskFaults.cs has the same layout. */
struct controls {
  _Atomic int64_t mask;
  _Atomic int64_t calls;
  _Atomic int64_t first;
  _Atomic int64_t last;
  _Atomic int64_t error; /* an errno; 0 hangs the call until released is set */
  _Atomic int64_t released;
  _Atomic int64_t struck;
};

enum { FDS = 1 << 16 };
static struct controls *controls;
static const char *folder;
static size_t folder_length;
static _Atomic char watched[FDS];

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("DISK_FAULTS");
  folder = getenv("DISK_FAULTS_FOLDER");
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
  int fd = path && folder ? real(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0)
    return;
  folder_length = strlen(folder);
  void *map = mmap(NULL, sizeof *controls, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  controls = map == MAP_FAILED ? NULL : map;
}

static int is_inside(const char *path) {
  return controls && path && strncmp(path, folder, folder_length) == 0;
}

static int is_watched(int fd) { return controls && fd >= 0 && fd < FDS && watched[fd]; }

/* Counts a call. Returns whether it fails, with errno set, after having hung for as long as it must. */
static int strikes(int kind) {
  if (!(controls->mask & kind))
    return 0;
  int64_t number = ++controls->calls;
  if (number < controls->first || number > controls->last)
    return 0;
  controls->struck++;
  int error = (int)controls->error;
  if (error) {
    errno = error;
    return 1;
  }
  while (!controls->released)
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define ON_FD(kind, result, name, declared, ...)                                                                                  \
  result name declared {                                                                                                         \
    static __typeof__(&name) real;                                                                                               \
    if (!real)                                                                                                                   \
      real = REAL(name);                                                                                                         \
    return is_watched(fd) && strikes(kind) ? -1 : real(__VA_ARGS__);                                                             \
  }

ON_FD(READ, ssize_t, pread64, (int fd, void *data, size_t count, off64_t at), fd, data, count, at)
ON_FD(READ, ssize_t, read, (int fd, void *data, size_t count), fd, data, count)
ON_FD(WRITE, ssize_t, pwrite64, (int fd, const void *data, size_t count, off64_t at), fd, data, count, at)
ON_FD(WRITE, ssize_t, write, (int fd, const void *data, size_t count), fd, data, count)
ON_FD(WRITE, int, ftruncate64, (int fd, off64_t length), fd, length)
ON_FD(SYNC, int, fsync, (int fd), fd)
ON_FD(SYNC, int, fdatasync, (int fd), fd)

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  int inside = is_inside(path);
  if (inside && strikes(OPEN))
    return -1;
  int fd = ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64"))(path, flags, mode);
  if (fd >= 0 && fd < FDS)
    watched[fd] = (char)inside;
  return fd;
}

int close(int fd) {
  if (fd >= 0 && fd < FDS)
    watched[fd] = 0;
  return REAL(close)(fd);
}

int unlink(const char *path) { return is_inside(path) && strikes(WRITE) ? -1 : REAL(unlink)(path); }

int rename(const char *from, const char *to) { return is_inside(to) && strikes(WRITE) ? -1 : REAL(rename)(from, to); }
