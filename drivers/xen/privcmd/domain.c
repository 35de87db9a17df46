// SPDX-License-Identifier: GPL-2.0-only
/*
 * The domains that files are bound to.
 *
 * A bound domain is held: Xen does not give its number to another one while a file of
 * its is open.  When it is dying, its files are marked, and for good: what a request
 * names has another bit then, so that requests fail the comparison that they make
 * anyway.
 */

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/hashtable.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <xen/dm-op.h>
#include <xen/xen.h>

#include "privcmd_private.h"

/**
 * struct privcmd_domain - A domain that files are bound to.
 * @list: in the list of all.
 * @node: among all, by domid.
 * @files: those that are bound to it.
 * @users: those files, and who is asking about the domain.
 * @domid: its number.
 * @gone: it was seen dying.
 * @held: what holds it; NULL if the kernel does not.
 * @question: how to ask whether it is dying.
 */
struct privcmd_domain {
	struct list_head list;
	struct hlist_node node;
	struct list_head files;
	unsigned int users;
	domid_t domid;
	bool gone;
	struct xen_dm_domain *held;
	enum privcmd_question question;
};

/*
 * Protects lists of domains, and of each domain its files, users and gone.  Not held over a
 * hypercall: one that takes long keeps nobody else from binding, asking or closing.
 */
static DEFINE_MUTEX(domains_lock);
static LIST_HEAD(domains);
static DEFINE_HASHTABLE(domains_by_domid, 8);

static void domain_ask_all(struct work_struct *work);
static DECLARE_DELAYED_WORK(asking, domain_ask_all);

static void domain_start_asking(void)
{
	queue_delayed_work(system_long_wq, &asking, round_jiffies_relative(HZ));
}

/* The domid of one that was not held and has died means another one by now. */
static struct privcmd_domain *domain_find(domid_t domid)
{
	struct privcmd_domain *domain;

	hash_for_each_possible(domains_by_domid, domain, node, domid)
		if (domain->domid == domid && (domain->held || !domain->gone))
			return domain;

	return NULL;
}

static struct privcmd_domain *domain_get(domid_t domid)
{
	struct privcmd_domain *domain;

	mutex_lock(&domains_lock);
	domain = domain_find(domid);
	if (domain)
		domain->users++;
	mutex_unlock(&domains_lock);

	return domain;
}

static void domain_free(struct privcmd_domain *domain)
{
	if (domain->held)
		xen_dm_domain_put(domain->held);
	kfree(domain);
}

static void domain_put(struct privcmd_domain *domain)
{
	bool last;

	mutex_lock(&domains_lock);
	last = !--domain->users;
	if (last) {
		list_del(&domain->list);
		hash_del(&domain->node);
	}
	mutex_unlock(&domains_lock);

	if (last)
		domain_free(domain);
}

/* The next one of all, in exchange for one. */
static struct privcmd_domain *domain_get_next(struct privcmd_domain *domain)
{
	struct list_head *next;

	mutex_lock(&domains_lock);
	next = domain ? domain->list.next : domains.next;
	if (next != &domains)
		list_entry(next, struct privcmd_domain, list)->users++;
	mutex_unlock(&domains_lock);

	if (domain)
		domain_put(domain);
	return next != &domains ? list_entry(next, struct privcmd_domain, list) : NULL;
}

static void domain_mark(struct privcmd_domain *domain)
{
	struct privcmd_file *priv;

	mutex_lock(&domains_lock);
	WRITE_ONCE(domain->gone, true);
	list_for_each_entry(priv, &domain->files, list) {
		atomic_or(PRIVCMD_GONE, &priv->domid);
		/* All: of those who wait exclusively, too, each has to know. */
		wake_up_all(&priv->wait);
	}
	mutex_unlock(&domains_lock);
}

/* Whether there is something to ask again. */
static bool domain_ask(struct privcmd_domain *domain)
{
	if (READ_ONCE(domain->gone) || domain->question == PRIVCMD_ASK_NOTHING)
		return false;
	if (!privcmd_is_dying(domain->domid, domain->question))
		return true;

	domain_mark(domain);
	return false;
}

/* For domains whose destruction did not come this way. */
static void domain_ask_all(struct work_struct *work)
{
	struct privcmd_domain *domain = NULL;
	bool again = false;

	while ((domain = domain_get_next(domain))) {
		again |= domain_ask(domain);
		cond_resched();
	}

	if (again)
		domain_start_asking();
}

/**
 * privcmd_domain_ask() - Mark the files of a domain if it is dying.
 * @domid: the domain, which somebody wanted to be destroyed.
 *
 * Context: Sleeps.
 */
void privcmd_domain_ask(domid_t domid)
{
	struct privcmd_domain *domain = domain_get(domid);

	if (!domain)
		return;

	domain_ask(domain);
	domain_put(domain);
}

/*
 * Why a domain that cannot be held cannot be bound; 0 if it can all the same.  A guest
 * can spoil what it is held by, but must not thereby get a file that is not.
 */
static int domain_why_not_bound(domid_t domid, int err)
{
	switch (err) {
	case -EPERM:
	case -EACCES:
	case -EOPNOTSUPP:
		return 0;
	case -ESRCH:
	case -ENOMEM:
		return err;
	default:
		return privcmd_is_dying(domid, privcmd_question(domid, true)) ? -ESRCH : -EBUSY;
	}
}

static struct privcmd_domain *domain_create(domid_t domid, bool kept)
{
	struct privcmd_domain *domain;
	int err = 0;

	domain = kzalloc_obj(*domain, GFP_KERNEL_ACCOUNT);
	if (!domain)
		return ERR_PTR(-ENOMEM);

	domain->held = xen_dm_domain_get(domid);
	if (IS_ERR(domain->held)) {
		err = domain_why_not_bound(domid, PTR_ERR(domain->held));
		domain->held = NULL;
	}
	if (err && !(kept && err != -ESRCH)) {
		kfree(domain);
		return ERR_PTR(err);
	}

	domain->domid = domid;
	domain->question = privcmd_question(domid, kept || domain->held);
	INIT_LIST_HEAD(&domain->files);
	return domain;
}

/* 0 if a file with this domid is bound to nothing. */
static int domain_is_bound(int bound, domid_t domid)
{
	if (bound & PRIVCMD_PENDING || (domid_t)bound == DOMID_INVALID)
		return 0;

	return (domid_t)bound == domid ? -EALREADY : -EINVAL;
}

/* Gives a file its domid, and leaves the flags that are not about that. */
static int domain_claim(struct privcmd_file *priv, int domid)
{
	int old = atomic_read(&priv->domid);
	int new, err;

	do {
		err = domain_is_bound(old, domid);
		if (err)
			return err;
		new = (old & ~(PRIVCMD_PENDING | U16_MAX)) | domid;
	} while (!atomic_try_cmpxchg(&priv->domid, &old, new));

	/* Who waits may have begun before. */
	if (new & PRIVCMD_GONE)
		wake_up_all(&priv->wait);
	return 0;
}

static int domain_add_file(struct privcmd_domain *domain, struct privcmd_file *priv)
{
	int err;

	mutex_lock(&domains_lock);
	err = domain_claim(priv, domain->domid | (domain->gone ? PRIVCMD_GONE : 0));
	if (!err) {
		priv->domain = domain;
		list_add(&priv->list, &domain->files);
		domain->users++;
	}
	mutex_unlock(&domains_lock);

	return err;
}

/* One that somebody else has listed meanwhile is as good. */
static struct privcmd_domain *domain_list_it(struct privcmd_domain *fresh)
{
	struct privcmd_domain *domain;

	mutex_lock(&domains_lock);
	domain = domain_find(fresh->domid);
	if (!domain) {
		list_add(&fresh->list, &domains);
		hash_add(domains_by_domid, &fresh->node, fresh->domid);
		domain = fresh;
	}
	domain->users++;
	mutex_unlock(&domains_lock);

	if (domain != fresh)
		domain_free(fresh);
	return domain;
}

static struct privcmd_domain *domain_obtain(domid_t domid, bool kept)
{
	struct privcmd_domain *domain = domain_get(domid);

	if (domain)
		return domain;

	domain = domain_create(domid, kept);
	return IS_ERR(domain) ? domain : domain_list_it(domain);
}

static int domain_bind(struct privcmd_file *priv, domid_t domid, bool kept)
{
	struct privcmd_domain *domain;
	int err;

	err = domain_is_bound(atomic_read(&priv->domid), domid);
	if (err)
		return err;
	if (domid == DOMID_IDLE)
		return domain_claim(priv, DOMID_IDLE);

	domain = domain_obtain(domid, kept);
	if (domain == ERR_PTR(-ESRCH))
		return domain_claim(priv, domid | PRIVCMD_GONE);
	if (IS_ERR(domain))
		return PTR_ERR(domain);

	err = domain_add_file(domain, priv);
	/* Only now: whoever sees it die from here on finds the file. */
	if (!err && domain_ask(domain))
		domain_start_asking();
	domain_put(domain);
	return err;
}

/**
 * privcmd_domain_bind() - Bind a file to a domain for good.
 * @priv: the file.
 * @domid: the domain; DOMID_IDLE, by which nobody is reached, or one that is no
 *	reserved domid.
 * @kept: Xen keeps the domain anyway: it need not be held.
 *
 * If there is no such domain, or it is dying, the file is marked at once.
 *
 * Context: Sleeps.
 * Return: 0, also if the file is bound to that domain already; -EINVAL if it is bound
 * to another one; -EBUSY if the domain lives and cannot be held, as the guest has
 * spoiled it; -ENOMEM.  The file is as it was after an error.
 */
int privcmd_domain_bind(struct privcmd_file *priv, domid_t domid, bool kept)
{
	int err = domain_bind(priv, domid, kept);

	return err == -EALREADY ? 0 : err;
}

/**
 * privcmd_domain_unbind() - Let go of a file's domain.
 * @priv: the file, which nobody uses any more.
 */
void privcmd_domain_unbind(struct privcmd_file *priv)
{
	if (!priv->domain)
		return;

	mutex_lock(&domains_lock);
	list_del(&priv->list);
	mutex_unlock(&domains_lock);

	domain_put(priv->domain);
}

/**
 * privcmd_domain_is_held() - Does the kernel hold the file's domain?
 * @priv: the file.
 *
 * Context: Sleeps.
 */
bool privcmd_domain_is_held(const struct privcmd_file *priv)
{
	bool held;

	mutex_lock(&domains_lock);
	held = priv->domain && priv->domain->held;
	mutex_unlock(&domains_lock);

	return held;
}

/**
 * privcmd_domain_exit() - End what goes on by itself.
 *
 * There is no file any more.
 */
void privcmd_domain_exit(void)
{
	cancel_delayed_work_sync(&asking);
	privcmd_dying_exit();
}
