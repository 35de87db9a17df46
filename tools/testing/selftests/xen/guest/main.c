// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest without an operating system.  Each of its vCPUs goes through the
 * emulator's device, by ports and by memory, and reports what it found; or it
 * rings doorbells, or counts interrupts.
 *
 * samples/xen/emulator/device.c says what the device is.
 */

#include "layout.h"

#define LOCAL_APIC		0xfee00000
#define LOCAL_APIC_ID		0x20
#define END_OF_INTERRUPT	0xb0
#define SPURIOUS_VECTOR		0xf0
#define ENABLED			0x100
#define ICR_LOW			0x300
#define ICR_HIGH		0x310
#define INIT			0x4500
#define STARTUP			0x4600

#define ID			0x00
#define ACCESSES		0x04
#define VCPU			0x08
#define NOTHING			0x0c
#define SCRATCH			0x10

/* "XEMU" */
#define ID_VALUE		0x554d4558

/* Added to a register's offset, to say which way it was accessed. */
#define BY_PORT			0x1000
#define BY_MEMORY		0x2000

static const struct guest_orders *const orders = (void *)GUEST_ORDERS;
static struct guest_report *const reports = (void *)GUEST_REPORTS;

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

static unsigned int load(unsigned int addr, int size)
{
	unsigned int value = 0;

	switch (size) {
	case 1:
		asm volatile("movb (%1), %b0" : "+q"(value) : "r"(addr) : "memory");
		break;
	case 2:
		asm volatile("movw (%1), %w0" : "+r"(value) : "r"(addr) : "memory");
		break;
	case 4:
		asm volatile("movl (%1), %0" : "+r"(value) : "r"(addr) : "memory");
		break;
	}
	return value;
}

static void store(unsigned int addr, int size, unsigned int value)
{
	switch (size) {
	case 1:
		asm volatile("movb %b0, (%1)" :: "q"(value), "r"(addr) : "memory");
		break;
	case 2:
		asm volatile("movw %w0, (%1)" :: "r"(value), "r"(addr) : "memory");
		break;
	case 4:
		asm volatile("movl %0, (%1)" :: "r"(value), "r"(addr) : "memory");
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

static void start_others(void)
{
	for (unsigned int i = 1; i < GUEST_MAX_VCPUS; i++) {
		if (!orders->start[i])
			continue;
		store(LOCAL_APIC + ICR_HIGH, 4, 2 * i << 24);
		store(LOCAL_APIC + ICR_LOW, 4, INIT);
		store(LOCAL_APIC + ICR_LOW, 4, STARTUP | GUEST_START >> 12);
		while (!reports[i].started)
			asm volatile("pause" ::: "memory");
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

__attribute__((interrupt)) static void count_interrupt(void *frame)
{
	(void)frame;
	reports[load(LOCAL_APIC + LOCAL_APIC_ID, 4) >> 25].interrupts++;
	store(LOCAL_APIC + END_OF_INTERRUPT, 4, 0);
}

static void take_interrupts(unsigned int self)
{
	static unsigned long long idt[GUEST_VECTOR + 1];
	const struct {
		unsigned short unused;
		unsigned short limit;
		const void *base;
	} idt_pointer = { 0, sizeof(idt) - 1, idt };
	unsigned long long handler = (unsigned int)count_interrupt;

	/* An interrupt gate for the code segment of entry.S. */
	idt[GUEST_VECTOR] = (handler & 0xffff0000) << 32 | 0x8e0000080000 |
			    (handler & 0xffff);
	asm volatile("lidt %0" :: "m"(idt_pointer.limit), "m"(idt_pointer), "m"(idt));
	store(LOCAL_APIC + SPURIOUS_VECTOR, 4, ENABLED | 0xff);
	reports[self].rounds = 1;
	for (;;)
		asm volatile("sti; hlt" ::: "memory");
}

static void use_device(unsigned int self)
{
	struct guest_report *report = &reports[self];
	unsigned int last = 0, scratch = 0, accesses;

	if (orders->scratch) {
		use_strings(self);
		put(self, BY_PORT + SCRATCH + 4, 4, ~scratch);
	}
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
		report->rounds++;
	} while (report->rounds != orders->rounds);
}

void guest(unsigned int self)
{
	reports[self].started = 1;
	if (self == 0)
		start_others();

	switch (orders->work[self]) {
	case GUEST_USES_DEVICE:
		use_device(self);
		break;
	case GUEST_RINGS_DOORBELLS:
		ring_doorbells(self);
		break;
	case GUEST_TAKES_INTERRUPTS:
		take_interrupts(self);
	}
	reports[self].finished = 1;
}
