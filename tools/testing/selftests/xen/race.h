/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two threads that do something at the same time.
 */

#ifndef SELFTESTS_XEN_RACE_H
#define SELFTESTS_XEN_RACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* Where two threads wait for each other. */
struct meeting {
	atomic_uint arrivals;
	atomic_uint passages;
};

/* Lets both threads go on at the same instant. */
static inline void meet(struct meeting *meeting)
{
	unsigned int passages = atomic_load(&meeting->passages);

	if (atomic_fetch_add(&meeting->arrivals, 1) % 2) {
		atomic_fetch_add(&meeting->passages, 1);
		return;
	}
	/* With a CPU for each there is no need to sleep. */
	for (unsigned int i = 1; atomic_load(&meeting->passages) == passages; i++)
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
