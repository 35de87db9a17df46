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

/* What every new file is restricted to; -1 until XenStore has told. */
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
 * In a domU this may be later, when XenStore is up; opens wait until then.
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

/**
 * privcmd_restrict_open() - Give a new file the restriction it starts with.
 * @file: the file, which nobody else can see yet.
 *
 * Context: Sleeps in a domU until XenStore is up.
 * Return: 0, or -EINTR if a signal came first.
 */
int privcmd_restrict_open(struct privcmd_file *file)
{
	if (wait_event_interruptible(initial_domid_known, READ_ONCE(initial_domid) >= 0))
		return -EINTR;

	atomic_set(&file->domid, initial_domid);
	return 0;
}

/**
 * privcmd_restrict() - RESTRICT: tie the file to one domain for good.
 * @file: the file; all its duplicates share the restriction.
 * @arg: the domain.
 *
 * Return: 0, also when the file is tied to that domain already; -EINVAL if it
 * is tied to another one, or if the domain is DOMID_INVALID, which is none.
 */
long privcmd_restrict(struct privcmd_file *file, union privcmd_arg *arg)
{
	int domid = arg->restrict_to;
	int old = DOMID_INVALID;

	if (domid == DOMID_INVALID)
		return -EINVAL;
	if (atomic_try_cmpxchg(&file->domid, &old, domid))
		return 0;

	return old == domid ? 0 : -EINVAL;
}
