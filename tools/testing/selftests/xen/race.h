/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two threads that do something at the same instant.
 */

#ifndef SELFTESTS_XEN_RACE_H
#define SELFTESTS_XEN_RACE_H

#include "requests.h"

#include <pthread.h>
#include <stdatomic.h>

/* Answers with 0, or with a negative errno. */
static inline int open_files(int *fds, size_t num)
{
	for (size_t i = 0; i < num; i++) {
		fds[i] = privcmd_open();
		if (fds[i] < 0)
			return fds[i];
	}
	return 0;
}

static inline void close_files(const int *fds, size_t num)
{
	for (size_t i = 0; i < num; i++)
		close(fds[i]);
}

/* Lets both threads go on at the same instant. */
static inline void meet(void)
{
	static atomic_uint arrivals, all_passages;
	unsigned int passages = atomic_load(&all_passages);

	if (atomic_fetch_add(&arrivals, 1) % 2) {
		atomic_fetch_add(&all_passages, 1);
		return;
	}
	/* With a CPU for each there is no need to sleep. */
	for (unsigned int i = 1; atomic_load(&all_passages) == passages; i++)
		if (i % 100000 == 0)
			usleep(1);
}

/* Varies who is first after they met, and by how little. */
static inline void dawdle(unsigned int steps)
{
	while (steps--)
		atomic_thread_fence(memory_order_seq_cst);
}

#endif /* SELFTESTS_XEN_RACE_H */
