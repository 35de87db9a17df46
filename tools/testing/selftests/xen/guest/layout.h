/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's memory, and what it and the program that made it tell each other
 * in it.
 */

#ifndef SELFTESTS_XEN_GUEST_LAYOUT_H
#define SELFTESTS_XEN_GUEST_LAYOUT_H

/* The program.  SIPI names the start as a number of pages of 4 KiB. */
#define GUEST_START	0x08000
#define GUEST_ENTRY	0x08040
#define GUEST_ORDERS	0x10000
#define GUEST_REPORTS	0x11000
#define GUEST_STACKS	0x20000
#define GUEST_STACK	0x00200
#define GUEST_MEMORY	0x30000

#define GUEST_MAX_VCPUS	128

#ifndef __ASSEMBLER__

struct guest_orders {
	/* Where the device is. */
	unsigned int ports;
	unsigned int memory;
	/* How often each vCPU goes through the device; 0 is without end. */
	unsigned int rounds;
	/* Whether what it writes is to be kept, also between the rounds. */
	unsigned int scratch;
	/* The vCPUs to start; vCPU 0 runs in any case. */
	unsigned char start[GUEST_MAX_VCPUS];
};

struct guest_report {
	unsigned int started;
	unsigned int rounds;
	unsigned int accesses;
	/* Answers that were wrong, and the first of them. */
	unsigned int wrong;
	unsigned int where;
	unsigned int expected;
	unsigned int got;
	unsigned int finished;
};

/* What each vCPU does, in the guest. */
void guest(unsigned int self);

#endif /* __ASSEMBLER__ */

#endif /* SELFTESTS_XEN_GUEST_LAYOUT_H */
