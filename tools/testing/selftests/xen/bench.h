/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The processor's counter, and the lines that the benchmarks print about it.
 */

#ifndef SELFTESTS_XEN_BENCH_H
#define SELFTESTS_XEN_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__x86_64__)

/* One tick for each instruction. */
#define CALLS_IN_SAMPLE	1

static inline uint64_t counter(void)
{
	return __builtin_ia32_rdtsc();
}

static inline double ticks_to_count(void)
{
	return 1.0;
}

#elif defined(__aarch64__)

/* The counter ticks more seldom than instructions run: many calls, one sample. */
#define CALLS_IN_SAMPLE	64

static inline uint64_t counter(void)
{
	uint64_t ticks;

	asm volatile("isb\n\tmrs %0, cntvct_el0\n\tisb" : "=r" (ticks) : : "memory");
	return ticks;
}

/* The emulator's clock has a nanosecond for each instruction. */
static inline double ticks_to_count(void)
{
	uint64_t hertz;

	asm("mrs %0, cntfrq_el0" : "=r" (hertz));
	return 1e9 / hertz;
}

#endif

static inline int by_size(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return (one > other) - (one < other);
}

static inline void sort_ticks(uint64_t *ticks, unsigned int nr)
{
	qsort(ticks, nr, sizeof(*ticks), by_size);
}

/* Of many samples the least counts. */
static inline void report(const char *name, const uint64_t *ticks, unsigned int nr,
			  unsigned int calls)
{
	uint64_t least = UINT64_MAX;

	if (!name)
		return;
	for (unsigned int i = 0; i < nr; i++)
		least = ticks[i] < least ? ticks[i] : least;
	printf("%s %.0f\n", name, least * ticks_to_count() / calls);
}

static inline void report_missing(const char *name, const char *reason)
{
	if (name)
		printf("%s - %s\n", name, reason);
}

#endif /* SELFTESTS_XEN_BENCH_H */
