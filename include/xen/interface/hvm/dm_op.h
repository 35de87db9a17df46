/* SPDX-License-Identifier: MIT */
/* Device-model operations, as the hypervisor sees them. */

#ifndef __XEN_PUBLIC_HVM_DM_OP_H__
#define __XEN_PUBLIC_HVM_DM_OP_H__

/* A buffer of HYPERVISOR_dm_op(); the first one holds a struct xen_dm_op. */
struct xen_dm_op_buf {
	GUEST_HANDLE(void) h;
	xen_ulong_t size;
};

DEFINE_GUEST_HANDLE_STRUCT(xen_dm_op_buf);

/* XEN_DMOP_track_dirty_vram: which pages of a video memory were written to? For x86. */
#define XEN_DMOP_track_dirty_vram 7

struct xen_dm_op_track_dirty_vram {
	u32 nr;			/* IN */
	u32 pad;		/* must be 0 */
	u64 first_pfn;		/* IN */
};

/* Those that raise or lower an interrupt; the last one is for Arm. */
#define XEN_DMOP_set_pci_intx_level 8
#define XEN_DMOP_set_isa_irq_level 9
#define XEN_DMOP_inject_msi 14
#define XEN_DMOP_set_irq_level 19

struct xen_dm_op_inject_msi {
	u32 data;		/* IN, the message */
	u32 pad;		/* must be 0 */
	u64 addr;		/* IN, where it would be written to */
};

/* XEN_DMOP_modified_memory: the emulator wrote to these pages.  For x86. */
#define XEN_DMOP_modified_memory 11

struct xen_dm_op_modified_memory_extent {	/* in the second buffer */
	u32 nr;			/* IN, of pages */
	u32 pad;		/* must be 0 */
	u64 first_pfn;		/* IN */
};

/* XEN_DMOP_set_mem_type: of what type is memory?  For x86. */
#define XEN_DMOP_set_mem_type 12

struct xen_dm_op_set_mem_type {
	u32 nr;			/* IN, of pages */
	u16 mem_type;		/* IN */
	u16 pad;		/* must be 0 */
	u64 first_pfn;		/* IN */
};

/*
 * XEN_DMOP_map_mem_type_to_ioreq_server: which accesses to memory of a type go to the
 * server?  Without flags the type is taken from it.  For x86.
 */
#define XEN_DMOP_map_mem_type_to_ioreq_server 15

struct xen_dm_op_map_mem_type_to_ioreq_server {
	u16 id;			/* IN */
	u16 type;		/* IN */
	u32 flags;		/* IN */
	u64 opaque;		/* where Xen goes on after an interruption */
};

/* XEN_DMOP_relocate_memory: pages get other GFNs.  For x86. */
#define XEN_DMOP_relocate_memory 17

struct xen_dm_op_relocate_memory {
	u32 size;		/* IN, in pages */
	u32 pad;		/* must be 0 */
	u64 src_gfn;		/* IN */
	u64 dst_gfn;		/* IN */
};

/*
 * XEN_DMOP_pin_memory_cacheattr: how do the processors cache memory?  For x86.  Xen
 * writes back and empties the caches of all of them, unless it is as usual (write-back).
 */
#define XEN_DMOP_pin_memory_cacheattr 18
#define XEN_DMOP_MEM_CACHEATTR_WB 6

struct xen_dm_op_pin_memory_cacheattr {
	u64 start;		/* IN, first GFN */
	u64 end;		/* IN, last GFN */
	u32 type;		/* IN */
	u32 pad;		/* must be 0 */
};

/*
 * XEN_DMOP_nr_vcpus: with how many vCPUs was the domain created?
 * Since Xen 4.15; EOPNOTSUPP before.
 */
#define XEN_DMOP_nr_vcpus 20

struct xen_dm_op_nr_vcpus {
	u32 vcpus;		/* OUT */
};

/* Xen reads as much of the union as the operation needs. */
struct xen_dm_op {
	u32 op;
	u32 pad;		/* must be 0 */
	union {
		struct xen_dm_op_nr_vcpus nr_vcpus;
	} u;
};

#endif /* __XEN_PUBLIC_HVM_DM_OP_H__ */
