/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Domains that run: the guest of guest/.
 */

#ifndef SELFTESTS_XEN_GUEST_H
#define SELFTESTS_XEN_GUEST_H

#include <stdbool.h>
#include <xenforeignmemory.h>

#include "domain.h"
#include "guest/layout.h"

/* Where the emulator's device is, unless it is told otherwise. */
#define DEVICE_PORTS	0xe000
#define DEVICE_MEMORY	0xfd000000

struct guest {
	int dom;
	/* The same as an argument. */
	char text[16];
	xenforeignmemory_handle *fmem;
	void *memory;
	/* In the guest's memory. */
	struct guest_orders *orders;
	struct guest_report *reports;
};

/*
 * Makes a domain with the program in it.  Answers with 0, or with a negative
 * errno.
 */
int guest_create(struct guest *guest, unsigned int vcpus);

/* Lets it run, the vCPUs that the orders name.  Answers like guest_create(). */
int guest_run(const struct guest *guest);

/* Stops mapping its memory, which keeps a destroyed domain. */
void guest_unmap(struct guest *guest);

int guest_destroy(struct guest *guest);

/*
 * Whether all vCPUs that were started finish; go through so many rounds since they
 * started; or through so many more, of which there must be no end: those before the call
 * do not count.
 */
bool guest_finishes(const struct guest *guest);
bool guest_gets_to(const struct guest *guest, unsigned int rounds);
bool guest_goes_on(const struct guest *guest, unsigned int rounds);

/* Whether one of them, at least, gets through no round within a second. */
bool guest_waits(const struct guest *guest);

#endif /* SELFTESTS_XEN_GUEST_H */
