/* Innocent: what user space of 32 bits hands over and gets */
#include "kernel.h"

typedef s32 old_time32_t;

struct old_timespec32 {
	old_time32_t tv_sec;
	s32 tv_ticks;
};

struct timespec64 {
	s64 tv_sec;
	s64 tv_ticks;
};

void tick(struct timespec64 *time)
{
	time->tv_ticks++;
}

void put(struct old_timespec32 *user, const struct timespec64 *time)
{
	user->tv_sec = time->tv_sec;
	user->tv_ticks = time->tv_ticks;
}

void get(struct timespec64 *time, const struct old_timespec32 *user)
{
	time->tv_sec = user->tv_sec;
	time->tv_ticks = user->tv_ticks;
}
