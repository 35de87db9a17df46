/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the vCPUs begin: vCPU 0 at boot, in 32-bit mode; the others, as SIPI
 * starts them, in real mode at the start of the program's first page.
 */

#include "../layout.h"

#define LOCAL_APIC_ID	0xfee00020
#define CODE		0x08
#define DATA		0x10
#define CR0_PE		0x01

	.section .start, "ax"

	.code16
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	gdt_pointer - GUEST_START
	movl	%cr0, %eax
	orl	$CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	$CODE, $flat

	.org	GUEST_ENTRY - GUEST_START
	.code32
	cli
	lgdtl	gdt_pointer
	ljmpl	$CODE, $flat

flat:
	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	/* On Xen the local APIC's id is twice the vCPU's number. */
	movl	LOCAL_APIC_ID, %eax
	shrl	$25, %eax
	leal	1(%eax), %esp
	imull	$GUEST_STACK, %esp
	addl	$GUEST_STACKS, %esp
	pushl	%eax
	call	guest
	/* For good: interrupts are off. */
0:	hlt
	jmp	0b

	.balign	8
gdt:
	.quad	0
	/* Flat code and data: base 0, limit 4 GiB, ring 0. */
	.quad	0x00cf9b000000ffff
	.quad	0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.section .note.GNU-stack, "", @progbits
