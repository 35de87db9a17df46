// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is a device's, the vCPUs and their interrupts: the local APIC.
 */

#include "../machine.h"

#define LOCAL_APIC		0xfee00000
#define LOCAL_APIC_ID		0x20
#define END_OF_INTERRUPT	0xb0
#define SPURIOUS_VECTOR		0xf0
#define ENABLED			0x100
#define ICR_LOW			0x300
#define ICR_HIGH		0x310
#define INIT			0x4500
#define STARTUP			0x4600

unsigned int load(unsigned int addr, int size)
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

void store(unsigned int addr, int size, unsigned int value)
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

void start_vcpu(unsigned int vcpu)
{
	store(LOCAL_APIC + ICR_HIGH, 4, 2 * vcpu << 24);
	store(LOCAL_APIC + ICR_LOW, 4, INIT);
	store(LOCAL_APIC + ICR_LOW, 4, STARTUP | GUEST_START >> 12);
}

void relax(void)
{
	asm volatile("pause" ::: "memory");
}

__attribute__((interrupt)) static void handler(void *frame)
{
	(void)frame;
	interrupted(load(LOCAL_APIC + LOCAL_APIC_ID, 4) >> 25);
	store(LOCAL_APIC + END_OF_INTERRUPT, 4, 0);
}

void allow_interrupts(void)
{
	static unsigned long long idt[GUEST_INTERRUPT + 1];
	const struct {
		unsigned short unused;
		unsigned short limit;
		const void *base;
	} idt_pointer = { 0, sizeof(idt) - 1, idt };
	unsigned long long entry = (unsigned int)handler;

	/* An interrupt gate for the code segment of entry.S. */
	idt[GUEST_INTERRUPT] = (entry & 0xffff0000) << 32 | 0x8e0000080000 |
			       (entry & 0xffff);
	asm volatile("lidt %0" :: "m"(idt_pointer.limit), "m"(idt_pointer), "m"(idt));
	store(LOCAL_APIC + SPURIOUS_VECTOR, 4, ENABLED | 0xff);
	asm volatile("sti" ::: "memory");
}

void forbid_interrupts(void)
{
	asm volatile("cli" ::: "memory");
}

void take_interrupts(unsigned int self)
{
	allow_interrupts();
	reports[self].rounds = 1;
	for (;;)
		asm volatile("hlt" ::: "memory");
}
