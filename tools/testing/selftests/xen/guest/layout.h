/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's memory, and what it and the program that made it tell each other
 * in it.
 */

#ifndef SELFTESTS_XEN_GUEST_LAYOUT_H
#define SELFTESTS_XEN_GUEST_LAYOUT_H

/* The program.  SIPI names the start as a number of pages of 4 KiB. */
#define GUEST_START	0x08000
/* Where x86's vCPU 0 starts, which needs no SIPI. */
#define GUEST_ENTRY	0x08040
#define GUEST_ORDERS	0x10000
#define GUEST_REPORTS	0x11000
#define GUEST_STACKS	0x20000
#define GUEST_STACK	0x00200
#define GUEST_MEMORY	0x30000

#define GUEST_MAX_VCPUS	128

/* Frames that drive-guest's domain has beside that; each begins with its number. */
#define NUMBERED_FRAME	0x100
#define NUMBERED_FRAMES	1024

/* Arm: where Xen has the distributor of GICv3. */
#define GUEST_GICD	0x03001000

#ifndef __ASSEMBLER__

/*
 * The interrupts that it counts.  x86: the vector, on each vCPU; Arm: vCPU 0's SPI,
 * which the other vCPUs' follow.
 */
#define GUEST_INTERRUPT	0x40

enum guest_work {
	GUEST_USES_DEVICE,
	/* Writes to doorbells, and to what is none. */
	GUEST_RINGS_DOORBELLS,
	/* Waits for interrupts, without end. */
	GUEST_TAKES_INTERRUPTS,
	/* The same, and each interrupt rings the first doorbell. */
	GUEST_ANSWERS_INTERRUPTS,
	/* Writes to the first doorbell and reads a counter, in turn. */
	GUEST_RINGS_AND_COUNTS,
};

/* Where the counter is, from the doorbell on; each read is to give one more. */
#define GUEST_COUNTER 0x10

/* In each round: so many accesses that ring no doorbell. */
#define GUEST_NO_DOORBELLS 4

struct guest_orders {
	/* Of each vCPU, an enum guest_work. */
	unsigned char work[GUEST_MAX_VCPUS];
	/* Of doorbells: where they are written to, and the numbers below this. */
	unsigned int doorbell;
	unsigned int queues;
	/* Where the device is. */
	unsigned int ports;
	unsigned int memory;
	/* How often each vCPU does its work; 0 is without end. */
	unsigned int rounds;
	/* Whether what it writes is to be kept, also between the rounds. */
	unsigned int scratch;
	/* Whether the device interrupts. */
	unsigned int interrupts;
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
	unsigned int interrupts;
	unsigned int finished;
};

/* What each vCPU does, in the guest. */
void guest(unsigned int self);

#endif /* __ASSEMBLER__ */

#endif /* SELFTESTS_XEN_GUEST_LAYOUT_H */
