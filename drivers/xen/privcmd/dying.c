// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is a domain dying?
 *
 * Nothing tells a kernel.  Xen's event for it is xenstored's, and XenStore's comes when
 * the domid may be free already.  So Xen is asked, by what has no side effect and an
 * interface that stays.
 */

#include <linux/errno.h>
#include <linux/xarray.h>

#include <xen/interface/domctl.h>
#include <xen/interface/event_channel.h>
#include <xen/interface/hvm/dm_op.h>
#include <xen/xen-ops.h>

#include <asm/xen/hypercall.h>

#include "privcmd_private.h"

/* A negative errno or the flags of the domain's state. */
static long ask_state(domid_t domid)
{
	struct xen_domctl op = {
		.cmd = XEN_DOMCTL_get_domain_state,
		.domain = domid,
	};
	long err;

	err = privcmd_call(__HYPERVISOR_domctl, (unsigned long)&op, 0, 0, 0, 0);
	return err ?: op.u.get_domain_state.state;
}

/* Xen looks whether the domain is dying, and then whether there is room for the answer. */
static long ask_dirty_vram(domid_t domid)
{
	struct {
		u32 op;
		u32 pad;
		struct xen_dm_op_track_dirty_vram vram;
	} op = {
		.op = XEN_DMOP_track_dirty_vram,
		.vram.nr = 1,
	};
	struct xen_dm_op_buf bufs[] = { { .size = sizeof(op) }, { .size = 0 } };

	set_xen_guest_handle(bufs[0].h, (void *)&op);
	set_xen_guest_handle(bufs[1].h, (void *)&op);
	return HYPERVISOR_dm_op(domid, ARRAY_SIZE(bufs), bufs);
}

/* One that there is not. */
static long ask_unknown_op(domid_t domid)
{
	struct xen_dm_op op = { .op = U32_MAX };
	struct xen_dm_op_buf buf = { .size = sizeof(op) };

	set_xen_guest_handle(buf.h, &op);
	return HYPERVISOR_dm_op(domid, 1, &buf);
}

/*
 * A port by domid, where it is not 1.  A port of the domain that is open, whoever
 * opened it, shows that the domain lives: it loses them all when it dies.  The ports
 * are remembered, as one that is opened for the question stays until then.
 */
static DEFINE_XARRAY(witnesses);

static bool has_witness(domid_t domid)
{
	struct evtchn_status status = {
		.dom = domid,
		.port = xa_to_value(xa_load(&witnesses, domid) ?: xa_mk_value(1)),
	};

	return !HYPERVISOR_event_channel_op(EVTCHNOP_status, &status) &&
	       status.status != EVTCHNSTAT_closed;
}

static bool gets_no_port(domid_t domid)
{
	struct evtchn_alloc_unbound alloc = { .dom = domid, .remote_dom = DOMID_SELF };
	int err;

	if (has_witness(domid))
		return false;

	err = HYPERVISOR_event_channel_op(EVTCHNOP_alloc_unbound, &alloc);
	/* Without memory the next question opens another one. */
	if (!err)
		xa_store(&witnesses, domid, xa_mk_value(alloc.port), GFP_KERNEL);
	return err == -EINVAL || err == -ESRCH;
}

/**
 * privcmd_question() - By which question does Xen tell whether a domain is dying?
 * @domid: the domain.
 * @kept: whether the domid can mean no other domain meanwhile.
 *
 * Context: Sleeps.
 * Return: the question, which is the same for the domain's whole life.
 */
enum privcmd_question privcmd_question(domid_t domid, bool kept)
{
	long ret = ask_state(domid);

	if (ret >= 0 || ret == -ESRCH)
		return PRIVCMD_ASK_STATE;

	if (IS_ENABLED(CONFIG_X86)) {
		ret = ask_unknown_op(domid);
		if (ret == -EOPNOTSUPP || ret == -ESRCH)
			return PRIVCMD_ASK_DIRTY_VRAM;
	}

	return kept ? PRIVCMD_ASK_FOR_PORT : PRIVCMD_ASK_NOTHING;
}

/**
 * privcmd_is_dying() - Is the domain dying, or gone?
 * @domid: the domain.
 * @question: how to ask.
 *
 * A domain that was shut down, crashed or paused, or that resets its event channels,
 * is alive.
 *
 * Context: Sleeps.
 */
bool privcmd_is_dying(domid_t domid, enum privcmd_question question)
{
	long ret;

	switch (question) {
	case PRIVCMD_ASK_STATE:
		ret = ask_state(domid);
		if (ret < 0)
			return ret == -ESRCH;
		return ret & (XEN_DOMCTL_GETDOMSTATE_STATE_DYING |
			      XEN_DOMCTL_GETDOMSTATE_STATE_DEAD);
	case PRIVCMD_ASK_DIRTY_VRAM:
		return ask_dirty_vram(domid) == -ESRCH;
	case PRIVCMD_ASK_FOR_PORT:
		return gets_no_port(domid);
	default:
		return false;
	}
}

/**
 * privcmd_dying_exit() - Forget what was remembered.
 */
void privcmd_dying_exit(void)
{
	xa_destroy(&witnesses);
}
