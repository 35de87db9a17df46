// SPDX-License-Identifier: GPL-2.0-only
/*
 * Uses the emulator's device, by ports and by memory.
 *
 * samples/xen/emulator/device.c says what the device is.
 */

#include "../machine.h"

#define ID			0x00
#define ACCESSES		0x04
#define VCPU			0x08
#define NOTHING			0x0c
#define SCRATCH			0x10
#define INTERRUPT		0x18

/* The processor's own. */
#define NO_VECTOR		15

/* "XEMU" */
#define ID_VALUE		0x554d4558

/* Added to a register's offset, to say which way it was accessed. */
#define BY_PORT			0x1000
#define BY_MEMORY		0x2000

static unsigned int in(unsigned short port, int size)
{
	unsigned int value = 0;

	switch (size) {
	case 1:
		asm volatile("inb %w1, %b0" : "+a"(value) : "Nd"(port) : "memory");
		break;
	case 2:
		asm volatile("inw %w1, %w0" : "+a"(value) : "Nd"(port) : "memory");
		break;
	case 4:
		asm volatile("inl %w1, %0" : "+a"(value) : "Nd"(port) : "memory");
		break;
	}
	return value;
}

static void out(unsigned short port, int size, unsigned int value)
{
	switch (size) {
	case 1:
		asm volatile("outb %b0, %w1" :: "a"(value), "Nd"(port) : "memory");
		break;
	case 2:
		asm volatile("outw %w0, %w1" :: "a"(value), "Nd"(port) : "memory");
		break;
	case 4:
		asm volatile("outl %0, %w1" :: "a"(value), "Nd"(port) : "memory");
		break;
	}
}

static unsigned int get(unsigned int self, unsigned int where, int size)
{
	reports[self].accesses++;
	if (where & BY_PORT)
		return in(orders->ports + (where & ~BY_PORT), size);
	return load(orders->memory + (where & ~BY_MEMORY), size);
}

static void put(unsigned int self, unsigned int where, int size, unsigned int value)
{
	reports[self].accesses++;
	if (where & BY_PORT)
		out(orders->ports + (where & ~BY_PORT), size, value);
	else
		store(orders->memory + (where & ~BY_MEMORY), size, value);
}

static void compare(unsigned int self, unsigned int where, unsigned int got,
		    unsigned int expected)
{
	struct guest_report *report = &reports[self];

	if (got == expected)
		return;
	if (!report->wrong) {
		report->where = where;
		report->expected = expected;
		report->got = got;
	}
	report->wrong++;
}

static void expect(unsigned int self, unsigned int where, int size, unsigned int expected)
{
	compare(self, where, get(self, where, size), expected);
}

/*
 * What is written one way is read the other.  Returns what the register holds
 * then, with its complement in the upper half.
 */
static unsigned int use_scratch(unsigned int self, unsigned int value)
{
	expect(self, BY_PORT + SCRATCH, 4, value);
	expect(self, BY_MEMORY + SCRATCH + 4, 4, ~value);
	value = value * 1664525 + 1013904223 + self;
	put(self, BY_PORT + SCRATCH, 4, value);
	expect(self, BY_MEMORY + SCRATCH, 4, value);
	put(self, BY_MEMORY + SCRATCH + 4, 4, value);
	expect(self, BY_PORT + SCRATCH + 4, 4, value);

	put(self, BY_PORT + SCRATCH + 5, 1, 0xa5);
	expect(self, BY_MEMORY + SCRATCH + 4, 4,
	       (value & 0xffff00ff) | 0xa500);
	put(self, BY_MEMORY + SCRATCH + 6, 2, 0x1234);
	expect(self, BY_PORT + SCRATCH + 5, 2, 0x34a5);
	put(self, BY_PORT + SCRATCH + 4, 2, ~value);
	put(self, BY_MEMORY + SCRATCH + 6, 2, ~value >> 16);
	return value;
}

static void use_strings(unsigned int self)
{
	unsigned int buffer[2] = { 0x11111111, 0x22222222 };
	unsigned int count = 2;
	void *addr = buffer;

	/* The device has no access to memory: nothing is read, nothing written. */
	asm volatile("cld; rep insl" : "+D"(addr), "+c"(count)
		     : "d"(orders->ports + SCRATCH) : "memory");
	compare(self, BY_PORT + SCRATCH, buffer[0], 0x11111111);
	compare(self, BY_PORT + SCRATCH, buffer[1], 0x22222222);
	count = 2;
	addr = buffer;
	asm volatile("std; add $4, %0; rep outsl; cld" : "+S"(addr), "+c"(count)
		     : "d"(orders->ports + SCRATCH) : "memory");
}

/*
 * The interrupt comes before the next instruction.  At times the emulated processor
 * takes one twice, so that the ones that must not come are looked for first.
 */
static void use_interrupt(unsigned int self)
{
	static const unsigned int ways[] = { BY_PORT, BY_MEMORY };

	for (int i = 0; i < 2; i++) {
		unsigned int before = reports[self].interrupts;

		put(self, ways[i] + INTERRUPT, 1, NO_VECTOR);
		put(self, ways[i] + INTERRUPT + 1, 1, GUEST_INTERRUPT);
		compare(self, ways[i] + INTERRUPT, reports[self].interrupts - before, 0);
		put(self, ways[i] + INTERRUPT, 1, GUEST_INTERRUPT);
		compare(self, ways[i] + INTERRUPT, reports[self].interrupts > before, 1);
	}
	expect(self, BY_PORT + INTERRUPT, 4, 0xffffffff);
}

void use_device(unsigned int self)
{
	struct guest_report *report = &reports[self];
	unsigned int last = 0, scratch = 0, accesses;

	if (orders->scratch) {
		use_strings(self);
		put(self, BY_PORT + SCRATCH + 4, 4, ~scratch);
	}
	if (orders->interrupts)
		allow_interrupts();
	do {
		expect(self, BY_PORT + ID, 4, ID_VALUE);
		expect(self, BY_PORT + ID + 1, 1, 'E');
		expect(self, BY_MEMORY + ID, 4, ID_VALUE);
		expect(self, BY_MEMORY + ID + 2, 2, ID_VALUE >> 16);
		expect(self, BY_PORT + VCPU, 4, self);
		expect(self, BY_MEMORY + VCPU, 4, self);
		put(self, BY_PORT + VCPU, 4, 0);
		expect(self, BY_MEMORY + VCPU, 1, self);
		expect(self, BY_PORT + NOTHING, 4, 0xffffffff);
		if (orders->scratch) {
			scratch = use_scratch(self, scratch);
			accesses = get(self, BY_PORT + ACCESSES, 4);
			compare(self, BY_PORT + ACCESSES, accesses > last, 1);
			last = accesses;
		}
		if (orders->interrupts)
			use_interrupt(self);
		report->rounds++;
	} while (report->rounds != orders->rounds);
	forbid_interrupts();
}
