/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the privcmd driver share. */

#ifndef __XEN_PRIVCMD_PRIVATE_H
#define __XEN_PRIVCMD_PRIVATE_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include <xen/interface/xen.h>
#include <xen/privcmd.h>

struct file;
struct ioreq;
struct mmu_interval_notifier;
struct page;
struct privcmd_ioreqs;
struct vm_area_struct;

/* From a check or a handler: the ioctl returns 0, there is no more to do. */
#define PRIVCMD_DONE 1

/**
 * struct privcmd_file - An open /dev/xen/privcmd.
 * @domid: the one domain its requests may name; DOMID_INVALID for any domain.
 * @eventfds_lock: protects the lists and @nr_doorbells.
 * @irqfds: what IRQFD registered.
 * @readers: those of the ioreq servers for which IOEVENTFD registered something.
 * @nr_doorbells: how many doorbells they have in all.
 */
struct privcmd_file {
	atomic_t domid;
#ifdef CONFIG_XEN_PRIVCMD_EVENTFD
	/* Held where eventfds are registered, and end. */
	struct mutex eventfds_lock;
	struct list_head irqfds;
	struct list_head readers;
	unsigned int nr_doorbells;
#endif
};

/**
 * struct privcmd_ioreq_server - An ioreq server whose pages are mapped.
 * @dom: the domain.
 * @id: the server.
 * @nr_frames: how many of its frames, from that of vCPU 0 on.
 * @mapping: the number of the mapping, which no other one ever has; servers are
 *	destroyed, and their ids and the addresses of mappings used again.
 */
struct privcmd_ioreq_server {
	domid_t dom;
	u32 id;
	u32 nr_frames;
	u64 mapping;
};

/**
 * privcmd_restricted() - Is the file restricted to a domain?
 * @file: the file.
 */
static inline bool privcmd_restricted(const struct privcmd_file *file)
{
	return atomic_read(&file->domid) != DOMID_INVALID;
}

/**
 * privcmd_may_target() - May a request of the file name this domain?
 * @file: the file.
 * @domid: the domain.
 */
static inline bool privcmd_may_target(const struct privcmd_file *file, domid_t domid)
{
	int allowed = atomic_read(&file->domid);

	return allowed == DOMID_INVALID || allowed == domid;
}

/**
 * union privcmd_arg - A command's argument, in the kernel's copy.
 * @hypercall: of HYPERCALL.
 * @mmap: of MMAP.
 * @mmapbatch: of MMAPBATCH.
 * @mmapbatch_v2: of MMAPBATCH_V2.
 * @mmap_resource: of MMAP_RESOURCE.
 * @dm_op: of DM_OP.
 * @dm_nr_vcpus: of DM_NR_VCPUS.
 * @irqfd: of IRQFD.
 * @ioeventfd: of IOEVENTFD.
 * @pcidev_get_gsi: of PCIDEV_GET_GSI.
 * @restrict_to: of RESTRICT.
 *
 * The dispatcher has checked the target domain before a handler sees this.
 */
union privcmd_arg {
	struct privcmd_hypercall hypercall;
	struct privcmd_mmap mmap;
	struct privcmd_mmapbatch mmapbatch;
	struct privcmd_mmapbatch_v2 mmapbatch_v2;
	struct privcmd_mmap_resource mmap_resource;
	struct privcmd_dm_op dm_op;
	struct privcmd_irqfd irqfd;
	struct privcmd_ioeventfd ioeventfd;
	struct privcmd_pcidev_get_gsi pcidev_get_gsi;
	struct privcmd_dm_nr_vcpus dm_nr_vcpus;
	domid_t restrict_to;
};

/* ioctl.c */
long privcmd_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
long privcmd_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* restrict.c */
int privcmd_restrict_init(void);
void privcmd_restrict_exit(void);
int privcmd_restrict_open(struct privcmd_file *file);
long privcmd_restrict(struct privcmd_file *file, union privcmd_arg *arg);

/* hypercall.c */
long privcmd_hypercall(struct privcmd_file *file, union privcmd_arg *arg);

/* dm_op.c */
int privcmd_dm_op_check(const union privcmd_arg *arg);
long privcmd_dm_op(struct privcmd_file *file, union privcmd_arg *arg);
long privcmd_dm_nr_vcpus(struct privcmd_file *file, union privcmd_arg *arg);

/* foreign.c */
int privcmd_mmap_available(void);
int privcmd_mmapbatch_check(const union privcmd_arg *arg);
int privcmd_mmapbatch_v2_check(const union privcmd_arg *arg);
long privcmd_mmap_entries(struct privcmd_file *file, union privcmd_arg *arg);
long privcmd_mmapbatch(struct privcmd_file *file, union privcmd_arg *arg);
long privcmd_mmapbatch_v2(struct privcmd_file *file, union privcmd_arg *arg);

/* resource.c */
long privcmd_mmap_resource(struct privcmd_file *file, union privcmd_arg *arg);

#ifdef CONFIG_XEN_PRIVCMD_EVENTFD
static inline void privcmd_eventfds_open(struct privcmd_file *file)
{
	mutex_init(&file->eventfds_lock);
	INIT_LIST_HEAD(&file->irqfds);
	INIT_LIST_HEAD(&file->readers);
}

/* irqfd.c */
int privcmd_irqfd_check(const union privcmd_arg *arg);
long privcmd_irqfd(struct privcmd_file *file, union privcmd_arg *arg);
void privcmd_irqfds_release(struct privcmd_file *file);

/* ioeventfd.c */
int privcmd_ioeventfd_check(const union privcmd_arg *arg);
long privcmd_ioeventfd(struct privcmd_file *file, union privcmd_arg *arg);
void privcmd_ioeventfds_release(struct privcmd_file *file);

/* ioreq.c */
struct privcmd_ioreqs *privcmd_ioreqs_map(const struct privcmd_ioreq_server *server,
					  unsigned int vcpus);
void privcmd_ioreqs_unmap(struct privcmd_ioreqs *ioreqs);
struct ioreq *privcmd_ioreqs_slot(const struct privcmd_ioreqs *ioreqs, unsigned int vcpu);
#else
static inline void privcmd_eventfds_open(struct privcmd_file *file) {}
static inline void privcmd_irqfds_release(struct privcmd_file *file) {}
static inline void privcmd_ioeventfds_release(struct privcmd_file *file) {}
#endif

/* pcidev.c */
int privcmd_pcidev_available(void);
long privcmd_pcidev_get_gsi(struct privcmd_file *file, union privcmd_arg *arg);

/* unmap.c */
#if defined(CONFIG_XEN_PV) && defined(CONFIG_MMU_NOTIFIER)
struct mmu_interval_notifier *privcmd_unmapper_create(struct vm_area_struct *vma);
void privcmd_unmapper_destroy(struct mmu_interval_notifier *unmapper);
#else
static inline struct mmu_interval_notifier *privcmd_unmapper_create(struct vm_area_struct *vma)
{
	return NULL;
}

static inline void privcmd_unmapper_destroy(struct mmu_interval_notifier *unmapper) {}
#endif

/* mapping.c */
int privcmd_mmap(struct file *file, struct vm_area_struct *vma);
unsigned long privcmd_get_unmapped_area(struct file *file, unsigned long addr,
					unsigned long len, unsigned long pgoff,
					unsigned long flags);
struct vm_area_struct *privcmd_mapping_lookup(unsigned long addr, u64 nr);
bool privcmd_mapping_empty(const struct vm_area_struct *vma);
int privcmd_mapping_populate(struct vm_area_struct *vma, unsigned long addr, unsigned long nr);
int privcmd_mapping_claim(struct vm_area_struct *vma, unsigned long addr, unsigned long nr);
struct page **privcmd_mapping_pages(const struct vm_area_struct *vma, unsigned long addr);
void privcmd_mapping_places(struct page **pages, xen_pfn_t *places, unsigned int nr);
int privcmd_mapping_show(struct vm_area_struct *vma, unsigned long addr, unsigned long nr);
int privcmd_mapping_own(struct vm_area_struct *vma);
void privcmd_mapping_set_server(struct vm_area_struct *vma,
				const struct privcmd_ioreq_server *server);
int privcmd_mapping_get_server(unsigned long addr, struct privcmd_ioreq_server *server);

#endif /* __XEN_PRIVCMD_PRIVATE_H */
