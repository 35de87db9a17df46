// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls xen_dm_nr_vcpus() the way a backend would, from every context it may be
 * called from.  Writing a domid to the parameter "ask" makes the calls; reading
 * "answer" gives a line for each: context, return value, and what the variable
 * for the answer holds afterwards, which was UNTOUCHED before.
 *
 * Writing a domid to "hold" holds the domain, as a backend does as long as it uses the
 * domid, in place of the one that was held before; writing -1 lets go of that.
 *
 * Writing an event channel to "users" makes it have as many users as the kernel can count,
 * but for one; writing -1 takes them away again.
 *
 * Reading "ticks" gives what TICKS_CALLS bare hypercalls for the last domain take
 * together, by the counter that user space reads too: the least that any way to
 * ask can cost.
 */

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kstrtox.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/sysfs.h>
#include <linux/timex.h>

#include <xen/dm-op.h>
#include <xen/events.h>
#include <xen/interface/hvm/dm_op.h>

#include <asm/xen/hypercall.h>

#define UNTOUCHED 12345
#define TICKS_CALLS 64

struct call {
	const char *context;
	int ret;
	unsigned int vcpus;
};

static struct call process = { .context = "process" };
static struct call irqs_off = { .context = "irqs-off" };
static struct call softirq = { .context = "softirq" };
static struct call hardirq = { .context = "hardirq" };

static domid_t asked;
static bool answered;
static DEFINE_MUTEX(ask_mutex);
static DEFINE_SPINLOCK(ask_lock);
static DECLARE_COMPLETION(called);

static void make_call(struct call *call)
{
	call->vcpus = UNTOUCHED;
	call->ret = xen_dm_nr_vcpus(asked, &call->vcpus);
}

static void call_from_softirq(struct tasklet_struct *unused)
{
	make_call(&softirq);
	complete(&called);
}

static DECLARE_TASKLET(softirq_tasklet, call_from_softirq);

static void call_from_hardirq(struct irq_work *unused)
{
	make_call(&hardirq);
	complete(&called);
}

static DEFINE_IRQ_WORK(hardirq_work, call_from_hardirq);

static int ask_set(const char *text, const struct kernel_param *kp)
{
	u16 domid;
	int err;

	err = kstrtou16(text, 0, &domid);
	if (err)
		return err;

	mutex_lock(&ask_mutex);
	asked = domid;

	make_call(&process);

	spin_lock_irq(&ask_lock);
	make_call(&irqs_off);
	spin_unlock_irq(&ask_lock);

	tasklet_schedule(&softirq_tasklet);
	wait_for_completion(&called);

	irq_work_queue(&hardirq_work);
	wait_for_completion(&called);

	answered = true;
	mutex_unlock(&ask_mutex);
	return 0;
}

static int answer_get(char *text, const struct kernel_param *kp)
{
	static const struct call *const calls[] = { &process, &irqs_off, &softirq, &hardirq };
	unsigned int i;
	int len = 0;

	mutex_lock(&ask_mutex);
	for (i = 0; answered && i < ARRAY_SIZE(calls); i++)
		len += sysfs_emit_at(text, len, "%s %d %u\n", calls[i]->context,
				     calls[i]->ret, calls[i]->vcpus);
	mutex_unlock(&ask_mutex);

	return len;
}

static struct xen_dm_domain *held;
static DEFINE_MUTEX(hold_mutex);

static void hold(struct xen_dm_domain *domain)
{
	mutex_lock(&hold_mutex);
	swap(held, domain);
	mutex_unlock(&hold_mutex);

	if (domain)
		xen_dm_domain_put(domain);
}

static int hold_set(const char *text, const struct kernel_param *kp)
{
	struct xen_dm_domain *domain = NULL;
	int err, domid;

	err = kstrtoint(text, 0, &domid);
	if (err)
		return err;
	if (domid > U16_MAX)
		return -EINVAL;

	if (domid >= 0)
		domain = xen_dm_domain_get(domid);
	if (IS_ERR(domain))
		return PTR_ERR(domain);

	hold(domain);
	return 0;
}

static unsigned int nr_users;
static evtchn_port_t used_port;
static DEFINE_MUTEX(users_mutex);

static int use(int port)
{
	int err = 0;

	mutex_lock(&users_mutex);
	/* Nothing, if the kernel has closed it: it would warn each time. */
	for (; nr_users && (int)irq_from_evtchn(used_port) > 0; nr_users--)
		evtchn_put(used_port);
	nr_users = 0;
	if (port >= 0) {
		used_port = port;
		while (!evtchn_get(used_port))
			nr_users++;
		if (nr_users--)
			evtchn_put(used_port);
		else
			err = -EINVAL;
	}
	mutex_unlock(&users_mutex);

	return err;
}

static int users_set(const char *text, const struct kernel_param *kp)
{
	int err, port;

	err = kstrtoint(text, 0, &port);
	return err ?: use(port);
}

static int ticks_get(char *text, const struct kernel_param *kp)
{
	struct xen_dm_op op = { .op = XEN_DMOP_nr_vcpus };
	struct xen_dm_op_buf buf = { .size = sizeof(op) };
	unsigned long flags;
	unsigned int i;
	u64 ticks;
	int err;

	set_xen_guest_handle(buf.h, &op);
	local_irq_save(flags);
	ticks = get_cycles();
	for (i = 0, err = 0; i < TICKS_CALLS && !err; i++)
		err = HYPERVISOR_dm_op(asked, 1, &buf);
	ticks = get_cycles() - ticks;
	local_irq_restore(flags);

	return err ?: sysfs_emit(text, "%llu\n", ticks);
}

static const struct kernel_param_ops ask_ops = { .set = ask_set };
static const struct kernel_param_ops answer_ops = { .get = answer_get };
static const struct kernel_param_ops hold_ops = { .set = hold_set };
static const struct kernel_param_ops users_ops = { .set = users_set };
static const struct kernel_param_ops ticks_ops = { .get = ticks_get };

module_param_cb(ask, &ask_ops, NULL, 0200);
MODULE_PARM_DESC(ask, "Domain to ask about");
module_param_cb(answer, &answer_ops, NULL, 0400);
MODULE_PARM_DESC(answer, "What the last calls returned");
module_param_cb(hold, &hold_ops, NULL, 0200);
MODULE_PARM_DESC(hold, "Domain to hold, or -1");
module_param_cb(users, &users_ops, NULL, 0200);
MODULE_PARM_DESC(users, "Event channel to have many users, or -1");
module_param_cb(ticks, &ticks_ops, NULL, 0400);
MODULE_PARM_DESC(ticks, "What bare hypercalls take");

static int __init test_init(void)
{
	return 0;
}

static void __exit test_exit(void)
{
	tasklet_kill(&softirq_tasklet);
	irq_work_sync(&hardirq_work);
	hold(NULL);
	use(-1);
}

module_init(test_init);
module_exit(test_exit);

MODULE_DESCRIPTION("Test of xen_dm_nr_vcpus() and xen_dm_domain_get()");
MODULE_LICENSE("GPL");
