/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the privcmd driver share. */

#ifndef __XEN_PRIVCMD_PRIVATE_H
#define __XEN_PRIVCMD_PRIVATE_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/seqlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include <xen/interface/xen.h>
#include <xen/privcmd.h>

struct file;
struct ioreq;
struct poll_table_struct;
struct privcmd_domain;
struct privcmd_ioreq_server;
struct privcmd_ioreqs;
struct seq_file;
struct xen_mem_acquire_resource;

/* From a check or a handler: the ioctl returns 0, there is no more to do. */
#define PRIVCMD_DONE 1

/*
 * Above the domid of a file, which differs from any that a request can name then: the
 * compare that a restriction takes anyway finds the file that is not a plain one.
 */
#define PRIVCMD_GONE	BIT(16)	/* The domain is dying, or there is none. */
#define PRIVCMD_PENDING	BIT(17)	/* XenStore has not told a domU's domid yet. */
#define PRIVCMD_LIMITED	BIT(18)	/* LIMIT took something away. */

/**
 * struct privcmd_file - An open /dev/xen/privcmd.
 * @domid: the one domain its requests may name; DOMID_INVALID for any domain; and the
 *	bits above.
 * @wait: who waits for the end of the domain.
 * @domain: the domain, if it is one that may be held and may end.
 * @list: in that domain's files.
 * @nr_unpopulated: pages of an auto-translated caller that its mappings hold.
 * @limit_lock: protects @limit.
 * @limit: what LIMIT has left of commands, operations and resources.
 * @nr_ioreq_frames: frames of ioreq servers that its mappings show.
 * @eventfds_lock: protects what follows.
 * @irqfds: what IRQFD registered.
 * @nr_irqfds: their number.
 * @readers: those of the ioreq servers for which IOEVENTFD registered something.
 * @nr_doorbells: how many doorbells they have in all.
 */
struct privcmd_file {
	atomic_t domid;
	wait_queue_head_t wait;
	struct privcmd_domain *domain;
	struct list_head list;
	atomic_long_t nr_unpopulated;
	atomic_long_t nr_ioreq_frames;
	/* Readers do not write to it: requests of the same file do not wait for each other. */
	seqlock_t limit_lock;
	struct privcmd_limit limit;
#ifdef CONFIG_XEN_PRIVCMD_EVENTFD
	/* Held where eventfds are registered, and end. */
	struct mutex eventfds_lock;
	struct list_head irqfds;
	unsigned int nr_irqfds;
	struct list_head readers;
	unsigned int nr_doorbells;
#endif
};

/**
 * enum privcmd_question - How to ask Xen whether a domain is dying.
 * @PRIVCMD_ASK_NOTHING: Xen has no answer that could be trusted.
 * @PRIVCMD_ASK_STATE: what its state is; Xen 4.21 and newer.
 * @PRIVCMD_ASK_DIRTY_VRAM: for nothing, of a device model; HVM and PVH on x86.
 * @PRIVCMD_ASK_FOR_PORT: for an event channel, which the dying do not get.
 */
enum privcmd_question {
	PRIVCMD_ASK_NOTHING,
	PRIVCMD_ASK_STATE,
	PRIVCMD_ASK_DIRTY_VRAM,
	PRIVCMD_ASK_FOR_PORT,
};

/**
 * privcmd_domid() - Which domain may requests of the file name?
 * @priv: the file.
 *
 * Return: the domain, also if it is gone; DOMID_INVALID if any.
 */
static inline domid_t privcmd_domid(const struct privcmd_file *priv)
{
	return atomic_read(&priv->domid);
}

/**
 * privcmd_restricted() - Is the file restricted to a domain?
 * @priv: the file.
 */
static inline bool privcmd_restricted(const struct privcmd_file *priv)
{
	return privcmd_domid(priv) != DOMID_INVALID;
}

/**
 * privcmd_plain() - Is the file neither restricted nor limited?
 * @priv: the file.
 */
static inline bool privcmd_plain(const struct privcmd_file *priv)
{
	return atomic_read(&priv->domid) == DOMID_INVALID;
}

/**
 * privcmd_gone() - Is the domain gone that the file is bound to?
 * @priv: the file.
 */
static inline bool privcmd_gone(const struct privcmd_file *priv)
{
	return atomic_read(&priv->domid) & PRIVCMD_GONE;
}

/**
 * privcmd_may_target() - May a request of the file name this domain?
 * @priv: the file.
 * @domid: the domain.
 * @flags: of the file, what need not be asked about.
 *
 * Return: whether it may; false, too, if there is more to ask.
 */
static inline bool privcmd_may_target(const struct privcmd_file *priv, domid_t domid, int flags)
{
	int allowed = atomic_read(&priv->domid) & ~flags;

	return allowed == DOMID_INVALID || allowed == domid;
}

/**
 * privcmd_limit_get() - What does a file have left?
 * @priv: the file.
 * @limit: gets the answer, in which each LIMIT counts whole or not at all.
 */
static inline void privcmd_limit_get(const struct privcmd_file *priv, struct privcmd_limit *limit)
{
	unsigned int seq;

	do {
		seq = read_seqbegin(&priv->limit_lock);
		*limit = priv->limit;
	} while (read_seqretry(&priv->limit_lock, seq));
}

/**
 * privcmd_dm_op_stays() - Is a device-model operation among those that are left?
 * @dm_ops: what LIMIT has left.
 * @op: the operation.
 */
static inline bool privcmd_dm_op_stays(u64 dm_ops, u32 op)
{
	return dm_ops == U64_MAX || (op < BITS_PER_TYPE(dm_ops) && dm_ops & BIT_ULL(op));
}

/**
 * privcmd_resource_stays() - Is a type of resource among those that are left?
 * @limit: what LIMIT has left.
 * @type: the type.
 */
static inline bool privcmd_resource_stays(const struct privcmd_limit *limit, u32 type)
{
	return limit->resources == U32_MAX ||
	       (type < BITS_PER_TYPE(limit->resources) && limit->resources & BIT(type));
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
 * @limit: of LIMIT.
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
	struct privcmd_limit limit;
};

/* ioctl.c */
long privcmd_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
long privcmd_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* domain.c */
int privcmd_domain_bind(struct privcmd_file *priv, domid_t domid, bool kept);
void privcmd_domain_unbind(struct privcmd_file *priv);
void privcmd_domain_ask(domid_t domid);
bool privcmd_domain_is_held(const struct privcmd_file *priv);
void privcmd_domain_exit(void);

/* dying.c */
enum privcmd_question privcmd_question(domid_t domid, bool kept);
bool privcmd_is_dying(domid_t domid, enum privcmd_question question);
void privcmd_dying_exit(void);

/* fdinfo.c */
__poll_t privcmd_poll(struct file *file, struct poll_table_struct *wait);
void privcmd_show_fdinfo(struct seq_file *m, struct file *file);

/* restrict.c */
int privcmd_restrict_init(void);
void privcmd_restrict_exit(void);
int privcmd_restrict_open(struct privcmd_file *priv);
int privcmd_refusal(struct privcmd_file *priv, domid_t domid);
long privcmd_restrict(struct privcmd_file *priv, union privcmd_arg *arg);

/* limit.c */
void privcmd_limit_open(struct privcmd_file *priv);
long privcmd_limit(struct privcmd_file *priv, union privcmd_arg *arg);

/* hypercall.c */
long privcmd_hypercall(struct privcmd_file *priv, union privcmd_arg *arg);

/* dm_op.c */
int privcmd_dm_op_check(const union privcmd_arg *arg);
long privcmd_dm_op(struct privcmd_file *priv, union privcmd_arg *arg);
long privcmd_dm_op_limited(struct privcmd_file *priv, union privcmd_arg *arg,
			   const struct privcmd_limit *limit);
long privcmd_dm_nr_vcpus(struct privcmd_file *priv, union privcmd_arg *arg);

/* mmap.c */
int privcmd_mmap_available(void);
long privcmd_mmap_entries(struct privcmd_file *priv, union privcmd_arg *arg);
long privcmd_mmap_entries_limited(struct privcmd_file *priv, union privcmd_arg *arg,
				  const struct privcmd_limit *limit);

/* mmapbatch.c */
int privcmd_mmapbatch_check(const union privcmd_arg *arg);
int privcmd_mmapbatch_v2_check(const union privcmd_arg *arg);
long privcmd_mmapbatch(struct privcmd_file *priv, union privcmd_arg *arg);
long privcmd_mmapbatch_limited(struct privcmd_file *priv, union privcmd_arg *arg,
			       const struct privcmd_limit *limit);
long privcmd_mmapbatch_v2(struct privcmd_file *priv, union privcmd_arg *arg);
long privcmd_mmapbatch_v2_limited(struct privcmd_file *priv, union privcmd_arg *arg,
				  const struct privcmd_limit *limit);

/* resource.c */
int privcmd_acquire_resource(struct xen_mem_acquire_resource *resource);
long privcmd_mmap_resource(struct privcmd_file *priv, union privcmd_arg *arg);
long privcmd_mmap_resource_limited(struct privcmd_file *priv, union privcmd_arg *arg,
				   const struct privcmd_limit *limit);

#ifdef CONFIG_XEN_PRIVCMD_EVENTFD
static inline void privcmd_eventfds_open(struct privcmd_file *priv)
{
	mutex_init(&priv->eventfds_lock);
	INIT_LIST_HEAD(&priv->irqfds);
	INIT_LIST_HEAD(&priv->readers);
}

/* irqfd.c */
int privcmd_irqfd_check(const union privcmd_arg *arg);
long privcmd_irqfd(struct privcmd_file *priv, union privcmd_arg *arg);
long privcmd_irqfd_limited(struct privcmd_file *priv, union privcmd_arg *arg,
			   const struct privcmd_limit *limit);
void privcmd_irqfds_release(struct privcmd_file *priv);

/* ioeventfd.c */
int privcmd_ioeventfd_check(const union privcmd_arg *arg);
long privcmd_ioeventfd(struct privcmd_file *priv, union privcmd_arg *arg);
long privcmd_ioeventfd_limited(struct privcmd_file *priv, union privcmd_arg *arg,
			       const struct privcmd_limit *limit);
void privcmd_ioeventfds_release(struct privcmd_file *priv);

/* ioreq.c */
struct privcmd_ioreqs *privcmd_ioreqs_map(const struct privcmd_ioreq_server *server,
					  unsigned int vcpus);
void privcmd_ioreqs_unmap(struct privcmd_ioreqs *ioreqs);
struct ioreq *privcmd_ioreqs_slot(const struct privcmd_ioreqs *ioreqs, unsigned int vcpu);
#else
static inline void privcmd_eventfds_open(struct privcmd_file *priv) {}
static inline void privcmd_irqfds_release(struct privcmd_file *priv) {}
static inline void privcmd_ioeventfds_release(struct privcmd_file *priv) {}
#endif

/* pcidev.c */
int privcmd_pcidev_available(void);
long privcmd_pcidev_get_gsi(struct privcmd_file *priv, union privcmd_arg *arg);

/* user_array.c */
int privcmd_array_check(const void __user *user, size_t size);
int privcmd_array_clear(void __user *user, size_t size);

#endif /* __XEN_PRIVCMD_PRIVATE_H */
