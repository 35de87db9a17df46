// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is a device's, the vCPUs and their interrupts: PSCI and GICv3.
 */

#include "../machine.h"

#define GICD_CTLR		0x0000
#define GICD_ISENABLER		0x0100
#define GICD_ICFGR		0x0c00
#define GICD_IROUTER		0x6000
/* By affinity, of group 1. */
#define ENABLED			0x12
/* 16 interrupts. */
#define ALL_EDGE		0xaaaaaaaa
#define LOWEST_PRIORITY		0xff
/* From here on, numbers are not those of interrupts. */
#define NO_INTERRUPT		1020

#define PSCI_CPU_ON		0xc4000003

/* Xen can finish only accesses by one plain register. */
unsigned int load(unsigned int addr, int size)
{
	unsigned long at = addr;
	unsigned int value = 0;

	switch (size) {
	case 1:
		asm volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(at) : "memory");
		break;
	case 2:
		asm volatile("ldrh %w0, [%1]" : "=r"(value) : "r"(at) : "memory");
		break;
	case 4:
		asm volatile("ldr %w0, [%1]" : "=r"(value) : "r"(at) : "memory");
		break;
	}
	return value;
}

void store(unsigned int addr, int size, unsigned int value)
{
	unsigned long at = addr;

	switch (size) {
	case 1:
		asm volatile("strb %w0, [%1]" :: "r"(value), "r"(at) : "memory");
		break;
	case 2:
		asm volatile("strh %w0, [%1]" :: "r"(value), "r"(at) : "memory");
		break;
	case 4:
		asm volatile("str %w0, [%1]" :: "r"(value), "r"(at) : "memory");
		break;
	}
}

/* As it is in MPIDR. */
static unsigned int affinity(unsigned int vcpu)
{
	return vcpu >> 4 << 8 | (vcpu & 0xf);
}

void start_vcpu(unsigned int vcpu)
{
	register unsigned long function asm("x0") = PSCI_CPU_ON;
	register unsigned long target asm("x1") = affinity(vcpu);
	register unsigned long entry asm("x2") = GUEST_START;
	register unsigned long context asm("x3") = vcpu;

	asm volatile("hvc #0" : "+r"(function), "+r"(target), "+r"(entry), "+r"(context)
		     :: "memory");
}

void relax(void)
{
	asm volatile("yield" ::: "memory");
}

/* They stay masked: what wakes the vCPU is acknowledged here, without a handler. */
void take_interrupts(unsigned int self)
{
	const unsigned int irq = GUEST_INTERRUPT + self;
	unsigned long taken;

	store(GUEST_GICD + GICD_CTLR, 4, ENABLED);
	store(GUEST_GICD + GICD_ICFGR + irq / 16 * 4, 4, ALL_EDGE);
	store(GUEST_GICD + GICD_IROUTER + irq * 8, 4, affinity(self));
	store(GUEST_GICD + GICD_ISENABLER + irq / 32 * 4, 4, 1U << irq % 32);
	asm volatile("msr icc_sre_el1, %0; isb; msr icc_pmr_el1, %1; msr icc_igrpen1_el1, %0; isb"
		     :: "r"(1UL), "r"((unsigned long)LOWEST_PRIORITY));
	reports[self].rounds = 1;
	for (;;) {
		asm volatile("wfi; mrs %0, icc_iar1_el1; dsb sy" : "=r"(taken) :: "memory");
		if (taken >= NO_INTERRUPT)
			continue;
		interrupted(self);
		asm volatile("msr icc_eoir1_el1, %0; isb" :: "r"(taken) : "memory");
	}
}
