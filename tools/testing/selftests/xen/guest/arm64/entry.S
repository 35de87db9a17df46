/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the vCPUs begin, with their numbers in x0: vCPU 0 at boot, the others as
 * PSCI starts them.  With the MMU on, so that memory is cached, as it is for
 * whoever reads the reports.
 */

#include "../layout.h"

/* Attribute 0 is memory, write-back; attribute 1 is a device. */
#define MAIR		0xff
/* 32 bits of addresses; tables of 4 KiB pages in shared, cached memory. */
#define TCR		0x803520
#define SCTLR_M_C_I	0x1005

#define SIZE_2M		0x200000
#define TABLE		0x3
/* Accessed. */
#define BLOCK		0x401
#define MEMORY		(BLOCK | 3 << 8)
/* Nothing to execute. */
#define DEVICE		(BLOCK | 1 << 2 | 1 << 53)

	.section .start, "ax"

	ldr	x1, =MAIR
	msr	mair_el1, x1
	ldr	x1, =TCR
	msr	tcr_el1, x1
	adr	x1, gigabytes
	msr	ttbr0_el1, x1
	tlbi	vmalle1
	dsb	nsh
	isb
	mrs	x1, sctlr_el1
	ldr	x2, =SCTLR_M_C_I
	orr	x1, x1, x2
	msr	sctlr_el1, x1
	isb

	add	x1, x0, #1
	ldr	x2, =GUEST_STACK
	ldr	x3, =GUEST_STACKS
	madd	x1, x1, x2, x3
	mov	sp, x1
	bl	guest
	/* For good: interrupts are off. */
0:	wfi
	b	0b

	.section .rodata, "a"

	/* 2 MiB each: the program, and the GIC's distributor. */
	.balign	4096
megabytes:
	.quad	MEMORY
	.fill	GUEST_GICD / SIZE_2M - 1, 8, 0
	.quad	GUEST_GICD / SIZE_2M * SIZE_2M | DEVICE
	.balign	4096

	/* 1 GiB each; the emulator's device is in the last one. */
gigabytes:
	.quad	megabytes + TABLE
	.quad	0
	.quad	0
	.quad	3 << 30 | DEVICE

	.section .note.GNU-stack, "", @progbits
