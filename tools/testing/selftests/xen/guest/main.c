// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest without an operating system.  Each of its vCPUs goes through the
 * emulator's device and reports what it found; or it rings doorbells, or counts
 * interrupts.
 */

#include "machine.h"

static void start_others(void)
{
	for (unsigned int i = 1; i < GUEST_MAX_VCPUS; i++) {
		if (!orders->start[i])
			continue;
		start_vcpu(i);
		while (!reports[i].started)
			relax();
	}
}

static void ring_doorbells(unsigned int self)
{
	struct guest_report *report = &reports[self];

	do {
		for (unsigned int i = 0; i < orders->queues; i++)
			store(orders->doorbell, 4, i);
		store(orders->doorbell, 4, orders->queues);
		store(orders->doorbell, 2, 0);
		store(orders->doorbell + 4, 4, 0);
		load(orders->doorbell, 4);
		report->rounds++;
	} while (report->rounds != orders->rounds);
}

static void ring_and_count(unsigned int self)
{
	struct guest_report *report = &reports[self];
	unsigned int expected = 1;

	do {
		unsigned int got;

		store(orders->doorbell, 4, 0);
		got = load(orders->doorbell + GUEST_COUNTER, 4);
		if (got != expected && !report->wrong++) {
			report->expected = expected;
			report->got = got;
		}
		expected = got + 1;
		report->rounds++;
	} while (report->rounds != orders->rounds);
}

void interrupted(unsigned int self)
{
	reports[self].interrupts++;
	if (orders->work[self] == GUEST_ANSWERS_INTERRUPTS)
		store(orders->doorbell, 4, 0);
}

void guest(unsigned int self)
{
	reports[self].started = 1;
	if (self == 0)
		start_others();

	switch (orders->work[self]) {
#ifndef __aarch64__
	case GUEST_USES_DEVICE:
		use_device(self);
		break;
#endif
	case GUEST_RINGS_DOORBELLS:
		ring_doorbells(self);
		break;
	case GUEST_RINGS_AND_COUNTS:
		ring_and_count(self);
		break;
	case GUEST_TAKES_INTERRUPTS:
	case GUEST_ANSWERS_INTERRUPTS:
		take_interrupts(self);
	}
	reports[self].finished = 1;
}
