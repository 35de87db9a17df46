/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * Commands of /dev/xen/privcmd: Xen's privileged interface for toolstacks and
 * device emulators.
 *
 * The older commands are those of Linux's header, Copyright (c) 2003-2005, K A Fraser.
 *
 * Any command can fail with ENOTTY: the kernel does not know it; EPERM: LIMIT has taken
 * it away; and EFAULT: its argument cannot be read or written.  A command that names a
 * domain can also fail with EPERM: the file is restricted to another one; ESRCH: it is
 * restricted to that one, which is gone; and, in a domU that waits for XenStore, EINTR
 * and ENOMEM.  Below are the errors that a command has beside these.
 */

/*
 * Xen's own <xen/sys/privcmd.h> has this guard too.  Whichever of the two comes
 * first declares the older commands; DM_NR_VCPUS and LIMIT, which only this file
 * has, stand outside.
 */
#ifndef __LINUX_PUBLIC_PRIVCMD_H__
#define __LINUX_PUBLIC_PRIVCMD_H__

#include <linux/types.h>
#include <linux/ioctl.h>

#ifdef __KERNEL__
#include <linux/compiler.h>
#include <xen/interface/xen.h>
#else
#include <stddef.h>

#ifndef __user
#define __user
#endif

#ifndef __XEN_PUBLIC_XEN_H__
#include <stdint.h>
/* As in <xen/xen.h>, for a program that does without Xen's headers. */
typedef uint16_t domid_t;
#endif
#endif /* __KERNEL__ */

/**
 * struct privcmd_hypercall - Argument of IOCTL_PRIVCMD_HYPERCALL.
 * @op: number of the hypercall.
 * @arg: its arguments; those that the hypercall does not take are ignored.
 *
 * The ioctl returns what the hypervisor answered.
 *
 * EPERM: the file is restricted; ENOSYS: @op has more than 32 bits.
 */
struct privcmd_hypercall {
	__u64 op;
	__u64 arg[5];
};

/**
 * struct privcmd_mmap_entry - One run of frames for IOCTL_PRIVCMD_MMAP.
 * @va: where they go; page-aligned, within a mapping of the file.
 * @mfn: first frame.
 * @npages: number of frames.
 */
struct privcmd_mmap_entry {
	__u64 va;
	__u64 mfn;
	__u64 npages;
};

/**
 * struct privcmd_mmap - Argument of IOCTL_PRIVCMD_MMAP.
 * @num: number of entries.
 * @dom: domain whose frames are mapped.
 * @entry: the entries; each begins where the one before it ends, the first at
 *	the start of the mapping.
 *
 * ENOSYS: the caller is not PV; EINVAL: the entries do not go into an empty mapping,
 * from its start on without a gap, or are more than it has pages; EPERM: the file maps
 * for reading only, and the mapping can be written; EBUSY: another request is filling
 * the mapping; EINTR: the process was killed; ENOMEM; or the hypervisor's error for the
 * first frame that it refused.  Nothing is mapped then.
 */
struct privcmd_mmap {
	int num;
	domid_t dom;
	struct privcmd_mmap_entry __user *entry;
};

/**
 * struct privcmd_mmapbatch - Argument of IOCTL_PRIVCMD_MMAPBATCH.
 * @num: number of frames.
 * @dom: domain whose frames are mapped.
 * @addr: where they go, within a mapping of the file.  The first batch of a mapping
 *	begins at its start and fills it; a later one may name any byte of the first page.
 * @arr: the frames' numbers, a xen_pfn_t each.  One of the two errors below is
 *	OR'd into the number of each frame that could not be mapped.
 *
 * Errors as those of struct privcmd_mmapbatch_v2.
 */
struct privcmd_mmapbatch {
	int num;
	domid_t dom;
	__u64 addr;
	void __user *arr;
};

#define PRIVCMD_MMAPBATCH_MFN_ERROR	0xf0000000U
#define PRIVCMD_MMAPBATCH_PAGED_ERROR	0x80000000U

/**
 * struct privcmd_mmapbatch_v2 - Argument of IOCTL_PRIVCMD_MMAPBATCH_V2.
 * @num: number of frames.
 * @dom: domain whose frames are mapped.
 * @addr: where they go, within a mapping of the file.  The first batch of a mapping
 *	begins at its start and fills it; a later one may name any byte of the first page.
 * @arr: the frames' numbers, a xen_pfn_t each.
 * @err: for each frame 0 or a negative errno.  If any is -ENOENT (the frame is
 *	paged out, try again), the ioctl fails with ENOENT.
 *
 * ENOENT, and 0, say that @err has the rest.  EINVAL: @num is 0, the frames do not fill
 * an empty mapping, or go where something is mapped; EPERM: the file maps for reading
 * only, and the mapping can be written; EBUSY: another request is filling the mapping;
 * EINTR: the process was killed; ENOMEM.  Nothing is mapped then; after EFAULT frames
 * may be.
 */
struct privcmd_mmapbatch_v2 {
	unsigned int num;
	domid_t dom;
	__u64 addr;
	const void __user *arr;
	int __user *err;
};

/**
 * struct privcmd_dm_op_buf - One buffer of a device-model operation.
 * @uptr: its address; it must be writable.
 * @size: its size in bytes.
 */
struct privcmd_dm_op_buf {
	void __user *uptr;
	size_t size;
};

/**
 * struct privcmd_dm_op - Argument of IOCTL_PRIVCMD_DM_OP.
 * @dom: domain the operation is for.
 * @num: number of buffers.  0: the ioctl does nothing and returns 0.
 * @ubufs: the buffers; the first one holds Xen's struct xen_dm_op.
 *
 * The ioctl returns what the hypervisor answered.
 *
 * E2BIG: more or larger buffers than the module's parameters allow or, on a restricted
 * file, an operation on more than 2^20 GFNs; EFAULT: a buffer cannot be read and
 * written; if that comes about meanwhile, the operation has been done; EPERM: LIMIT has
 * taken the operation away, or the file is restricted and Xen would look at all GFNs of
 * the domain, or empty the caches of all processors; EINVAL: some operations are taken
 * away, and the first buffer is too small to say which this is; ENOMEM.
 */
struct privcmd_dm_op {
	domid_t dom;
	__u16 num;
	const struct privcmd_dm_op_buf __user *ubufs;
};

/**
 * struct privcmd_mmap_resource - Argument of IOCTL_PRIVCMD_MMAP_RESOURCE.
 * @dom: domain whose resource is mapped.
 * @type: kind of resource, one of Xen's XENMEM_resource_*.
 * @id: which resource of that kind.
 * @idx: first frame of it to map.
 * @num: number of frames.  0 (then @addr must be 0 too) asks for the
 *	resource's size in frames, which is written here.
 * @addr: any byte of the first page that they go to, within a mapping of the file.
 *
 * EINVAL: one of @num and @addr is 0 and the other is not, @num has more than 32 bits,
 * the frames do not lie in a mapping, or something is mapped there; EPERM: LIMIT has
 * taken resources of @type away, or the file maps for reading only and the mapping can
 * be written; EBUSY: another request is filling the mapping; ENOSPC: a restricted file
 * would map more than 64 frames of ioreq servers; EINTR: the process was killed; ENOMEM;
 * or the hypervisor's error.  Nothing is mapped then.
 */
struct privcmd_mmap_resource {
	domid_t dom;
	__u32 type;
	__u32 id;
	__u32 idx;
	__u64 num;
	__u64 addr;
};

#define PRIVCMD_IRQFD_FLAG_DEASSIGN	(1 << 0)

/**
 * struct privcmd_irqfd - Argument of IOCTL_PRIVCMD_IRQFD.
 * @dm_op: address of Xen's struct xen_dm_op, which is copied: the operation that
 *	is issued when the eventfd is written to.  One of set_pci_intx_level,
 *	set_isa_irq_level, inject_msi and, on Arm, set_irq_level.
 * @size: its size in bytes, 8 to 64.
 * @fd: the eventfd.
 * @flags: 0, or PRIVCMD_IRQFD_FLAG_DEASSIGN to end it; then only @fd and @dom count.
 *	It ends with the last descriptor of the eventfd, too.
 * @dom: domain the operation is for.
 * @pad: not used.
 *
 * EOPNOTSUPP: the kernel was built without XEN_PRIVCMD_EVENTFD; EINVAL: unknown
 * flags, another operation, @size too small, or @fd is no eventfd; E2BIG: @size too
 * large; EPERM: LIMIT has taken the operation away; EFAULT: @dm_op cannot be read;
 * EBADF: @fd is not open; EBUSY: the file has an operation for the eventfd; ENOSPC: it
 * has 1024 operations; ENOMEM.
 */
struct privcmd_irqfd {
	__u64 dm_op;
	__u32 size;
	__u32 fd;
	__u32 flags;
	domid_t dom;
	__u8 pad[2];
};

#define PRIVCMD_IOEVENTFD_FLAG_DEASSIGN	(1 << 0)

/**
 * struct privcmd_ioeventfd - Argument of IOCTL_PRIVCMD_IOEVENTFD.
 * @ioreq: address of the ioreq server's pages, which MMAP_RESOURCE has mapped from
 *	the start of a mapping on, all that have a vCPU's slot.
 * @ports: address of the event channels, a __u32 for each vCPU: the local ports,
 *	bound with /dev/xen/evtchn, each another one.  Those of the first doorbell
 *	count for all of the same @ioreq.
 * @addr: guest address of a virtio-mmio device, whose register QueueNotify (0x50
 *	on) is the doorbell.
 * @addr_len: length of the write in bytes: 1, 2, 4 or 8.
 * @event_fd: the eventfd that it signals.
 * @vcpus: number of the domain's vCPUs, as DM_NR_VCPUS tells it.
 * @vq: the number whose write rings, that of a queue, of 16 bits (8 if @addr_len is
 *	1); of what is written, only these bits count.
 * @flags: 0, or PRIVCMD_IOEVENTFD_FLAG_DEASSIGN to end it; then @ioreq, @event_fd,
 *	@vcpus and @dom say what.
 * @dom: domain whose requests are served.
 * @pad: not used.
 *
 * EOPNOTSUPP: the kernel was built without XEN_PRIVCMD_EVENTFD; EINVAL: unknown
 * flags, or one of the above is not as it says; EPERM: LIMIT has taken ioreq servers
 * away, or the file maps for reading only; EBADF: @event_fd is not open; EBUSY: the
 * eventfd has a doorbell of the server already, or the file has doorbells of the
 * server, or at @ioreq, by another mapping; EEXIST: another eventfd has that doorbell;
 * ENOSPC: 1024 doorbells of a file are the limit, or 63 files at one event channel;
 * ENODEV: there is nothing to end; EFAULT: @ports cannot be read; ENOMEM; or the
 * hypervisor's error, as for IOCTL_PRIVCMD_DM_NR_VCPUS.
 */
struct privcmd_ioeventfd {
	__u64 ioreq;
	__u64 ports;
	__u64 addr;
	__u32 addr_len;
	__u32 event_fd;
	__u32 vcpus;
	__u32 vq;
	__u32 flags;
	domid_t dom;
	__u8 pad[2];
};

/**
 * struct privcmd_pcidev_get_gsi - Argument of IOCTL_PRIVCMD_PCIDEV_GET_GSI.
 * @sbdf: the PCI device: segment << 16 | bus << 8 | devfn.
 * @gsi: its global system interrupt (out).
 *
 * EPERM: the file is restricted, or the device has no such interrupt; ENOTTY: the kernel
 * cannot look up devices (such as Linux 6.1); EINVAL: it has no ACPI for dom0, or no PCI
 * backend is loaded; ENODEV: the PCI backend does not have the device.
 */
struct privcmd_pcidev_get_gsi {
	__u32 sbdf;
	__u32 gsi;
};

#define IOCTL_PRIVCMD_HYPERCALL \
	_IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall))
#define IOCTL_PRIVCMD_MMAP \
	_IOC(_IOC_NONE, 'P', 2, sizeof(struct privcmd_mmap))
#define IOCTL_PRIVCMD_MMAPBATCH \
	_IOC(_IOC_NONE, 'P', 3, sizeof(struct privcmd_mmapbatch))
#define IOCTL_PRIVCMD_MMAPBATCH_V2 \
	_IOC(_IOC_NONE, 'P', 4, sizeof(struct privcmd_mmapbatch_v2))
#define IOCTL_PRIVCMD_DM_OP \
	_IOC(_IOC_NONE, 'P', 5, sizeof(struct privcmd_dm_op))
/*
 * Restricts the file, for good, to requests for one domain; the argument is a
 * pointer to its domid_t.  The file ends with the domain: ESRCH from then on.
 * EINVAL if it is restricted to another one already, or for a reserved domid, except
 * DOMID_IDLE, which restricts it to nobody; EBUSY if the domain cannot be held; ENOMEM.
 * In a domU that waits for XenStore: EINTR.
 */
#define IOCTL_PRIVCMD_RESTRICT \
	_IOC(_IOC_NONE, 'P', 6, sizeof(domid_t))
#define IOCTL_PRIVCMD_MMAP_RESOURCE \
	_IOC(_IOC_NONE, 'P', 7, sizeof(struct privcmd_mmap_resource))
#define IOCTL_PRIVCMD_IRQFD \
	_IOW('P', 8, struct privcmd_irqfd)
#define IOCTL_PRIVCMD_IOEVENTFD \
	_IOW('P', 9, struct privcmd_ioeventfd)
#define IOCTL_PRIVCMD_PCIDEV_GET_GSI \
	_IOC(_IOC_NONE, 'P', 10, sizeof(struct privcmd_pcidev_get_gsi))

#endif /* __LINUX_PUBLIC_PRIVCMD_H__ */

#ifndef IOCTL_PRIVCMD_DM_NR_VCPUS

#include <linux/types.h>
#include <linux/ioctl.h>

/**
 * struct privcmd_dm_nr_vcpus - Argument of IOCTL_PRIVCMD_DM_NR_VCPUS.
 * @dom: domain to ask about (in).
 * @pad: must be 0 (in).
 * @vcpus: number of vCPUs it was created with, online or not; 1 or more (out).
 *
 * The ioctl returns 0 and writes @vcpus, or it fails and writes nothing:
 *
 * EFAULT: bad pointer; EPERM: the file is restricted to another domain, or the
 * caller has no privilege over @dom, or @dom is the caller itself; EINVAL:
 * @pad is not 0, or @dom is an x86 PV domain; ESRCH: no such domain;
 * EOPNOTSUPP: the hypervisor does not know the operation (Xen before 4.15, or
 * built without device-model support), or did nothing and said that all went
 * well (4.13.2, 4.14.0 and 4.14.1, of a PV domain); ENOTTY: the kernel does not know the
 * command.  Any other error is the hypervisor's own.
 *
 * The same on 32 and 64 bit.
 */
struct privcmd_dm_nr_vcpus {
	domid_t dom;
	__u16 pad;
	__u32 vcpus;
};

#define IOCTL_PRIVCMD_DM_NR_VCPUS \
	_IOWR('P', 32, struct privcmd_dm_nr_vcpus)

#endif /* IOCTL_PRIVCMD_DM_NR_VCPUS */

#ifndef IOCTL_PRIVCMD_LIMIT

/**
 * struct privcmd_limit - Argument of IOCTL_PRIVCMD_LIMIT.
 * @commands: bit n: the command of number n stays.
 * @dm_ops: bit n: the device-model operation XEN_DMOP number n stays, for those who
 *	write operations themselves: DM_OP, and IRQFD when it registers one.
 * @resources: bit n: the resource of type n, one of Xen's XENMEM_resource_*, stays.
 * @flags: 0, or PRIVCMD_LIMIT_READ_ONLY: what the file maps from now on can be
 *	written by nobody who maps it.
 *
 * The file, and with it all its duplicates, keeps what it had and what the masks
 * name.  Nothing comes back.  Operations from 64 on and resources from 32 on are
 * gone as soon as their mask is not all ones.  What was registered or mapped before
 * stays.  What is gone is EPERM.
 *
 * EPERM: LIMIT itself is gone; EFAULT: bad pointer; EINVAL: unknown flags.  Nothing
 * is changed then.
 *
 * The same on 32 and 64 bit.
 */
struct privcmd_limit {
	__u64 commands;
	__u64 dm_ops;
	__u32 resources;
	__u32 flags;
};

#define PRIVCMD_LIMIT_READ_ONLY	(1 << 0)

#define IOCTL_PRIVCMD_LIMIT \
	_IOW('P', 33, struct privcmd_limit)

#endif /* IOCTL_PRIVCMD_LIMIT */
