/* SPDX-License-Identifier: GPL-2.0-only */
/* The smallest kernel of a PVH guest: it halts for ever. */

#define XEN_ELFNOTE_PHYS32_ENTRY 18

	.section .note.Xen, "a", @note
	.long	4
	.long	4
	.long	XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.long	_start

	.text
	.globl	_start
_start:
	cli
	hlt
	jmp	_start

	.section .note.GNU-stack, "", @progbits
