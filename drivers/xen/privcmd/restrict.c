// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which domain a file may touch.
 *
 * In the initial domain a file starts out unrestricted, and RESTRICT ties it to
 * one domain for good.  In any other domain root of that domain must not be
 * able to reach more than the domain was built for, even under lockdown: there
 * each file starts out tied to the domain that the toolstack named in XenStore.
 */

#define pr_fmt(fmt) "xen:" KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include <xen/xen.h>
#include <xen/xenbus.h>

#include "privcmd_private.h"

static bool unrestricted;
module_param(unrestricted, bool, 0);
MODULE_PARM_DESC(unrestricted,
		 "In a domU, let files name any domain, not only the XenStore target");

/* What files are restricted to from the start; -1 until XenStore has told. */
static int initial_domid = DOMID_INVALID;
static DECLARE_WAIT_QUEUE_HEAD(initial_domid_known);

static domid_t xenstore_target(void)
{
	char *target;
	u16 domid;
	int err;

	target = xenbus_read(XBT_NIL, "target", "", NULL);
	if (IS_ERR(target))
		return DOMID_IDLE;

	err = kstrtou16(target, 10, &domid);
	kfree(target);
	return err || domid >= DOMID_FIRST_RESERVED ? DOMID_IDLE : domid;
}

static int xenstore_is_up(struct notifier_block *nb, unsigned long event, void *data)
{
	domid_t target = xenstore_target();

	if (target == DOMID_IDLE)
		pr_info("XenStore names no target: files can reach no domain\n");
	else
		pr_info("files are restricted to domain %u\n", target);

	WRITE_ONCE(initial_domid, target);
	wake_up_all(&initial_domid_known);
	return NOTIFY_DONE;
}

static struct notifier_block xenstore_notifier = {
	.notifier_call = xenstore_is_up,
};

static bool domu_rule_applies(void)
{
	if (xen_initial_domain())
		return false;
	if (!unrestricted)
		return true;
	if (!security_locked_down(LOCKDOWN_XEN_USER_ACTIONS))
		return false;

	pr_warn("the kernel is locked down: \"unrestricted\" is ignored\n");
	return true;
}

/**
 * privcmd_restrict_init() - Find out what new files are restricted to.
 *
 * In a domU this may be later, when XenStore is up; requests wait until then.
 *
 * Return: 0 or a negative errno.
 */
int privcmd_restrict_init(void)
{
	if (!domu_rule_applies())
		return 0;

	initial_domid = -1;
	return register_xenstore_notifier(&xenstore_notifier);
}

/**
 * privcmd_restrict_exit() - Undo privcmd_restrict_init().
 */
void privcmd_restrict_exit(void)
{
	unregister_xenstore_notifier(&xenstore_notifier);
}

/* Xen itself keeps the target of a stub domain, as long as that lives. */
static int bind_target(struct privcmd_file *priv, domid_t target)
{
	return privcmd_domain_bind(priv, target, true);
}

/**
 * privcmd_restrict_open() - Give a new file the restriction it starts with.
 * @priv: the file, which nobody else can see yet.
 *
 * The misc devices' lock is held over open(): it must not wait for XenStore.
 *
 * Return: 0 or -ENOMEM.
 */
int privcmd_restrict_open(struct privcmd_file *priv)
{
	int domid = READ_ONCE(initial_domid);

	init_waitqueue_head(&priv->wait);
	atomic_set(&priv->domid, domid < 0 ? PRIVCMD_PENDING | DOMID_IDLE : DOMID_INVALID);
	if (domid < 0 || domid == DOMID_INVALID)
		return 0;

	return bind_target(priv, domid);
}

/* Waits for XenStore, if it is that which a file's restriction waits for. */
static int settle(struct privcmd_file *priv)
{
	if (!(atomic_read(&priv->domid) & PRIVCMD_PENDING))
		return 0;
	if (wait_event_killable(initial_domid_known, READ_ONCE(initial_domid) >= 0))
		return -EINTR;

	/* Another thread may have been first. */
	return bind_target(priv, READ_ONCE(initial_domid));
}

/**
 * privcmd_refusal() - Why may a request of the file not name this domain?
 * @priv: the file.
 * @domid: the domain.
 *
 * Context: Sleeps in a domU until XenStore is up, unless it is killed.
 * Return: -EPERM; -ESRCH if it is the file's domain, and gone; -EINTR; -ENOMEM; 0 if it
 * may, as XenStore says now.
 */
int privcmd_refusal(struct privcmd_file *priv, domid_t domid)
{
	int err = settle(priv);

	if (err)
		return err;
	if (privcmd_restricted(priv) && privcmd_domid(priv) != domid)
		return -EPERM;

	return privcmd_gone(priv) ? -ESRCH : 0;
}

/**
 * privcmd_restrict() - RESTRICT: tie the file to one domain for good.
 * @priv: the file; all its duplicates share the restriction.
 * @arg: the domain.
 *
 * DOMID_IDLE has no resources: a file that is tied to it reaches nobody.  A file that
 * is tied to a domain that does not exist, or is dying, reaches nobody either, also
 * when there is another one by that number later.
 *
 * Context: Sleeps in a domU until XenStore is up, unless it is killed.
 * Return: 0, also when the file is tied to that domain already; -EINVAL if it
 * is tied to another one, or if the domain is a reserved one; -EBUSY if Xen cannot hold
 * the domain, as the guest has given back what it would be held by; -ENOMEM; -EINTR.
 */
long privcmd_restrict(struct privcmd_file *priv, union privcmd_arg *arg)
{
	domid_t domid = arg->restrict_to;
	int err;

	if (domid >= DOMID_FIRST_RESERVED && domid != DOMID_IDLE)
		return -EINVAL;

	err = settle(priv);
	if (err)
		return err;

	return privcmd_domain_bind(priv, domid, false);
}
