// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets a guest's XenStore come up late:
 *
 *	late-xenstore hide DOMID	before the guest runs; prints a frame's number
 *	late-xenstore show DOMID FRAME	XenStore is up now
 *
 * A guest that finds no frame of XenStore's ring waits for an event of XenStore.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xencall.h>
#include <xen/event_channel.h>
#include <xen/hvm/params.h>

#define NOT_YET		UINT64_MAX
#define MAX_PORTS	4096

static int hide(xc_interface *xch, uint32_t domid)
{
	uint64_t frame;

	if (xc_hvm_param_get(xch, domid, HVM_PARAM_STORE_PFN, &frame) ||
	    xc_hvm_param_set(xch, domid, HVM_PARAM_STORE_PFN, NOT_YET))
		return -1;
	printf("%llu\n", (unsigned long long)frame);
	return 0;
}

/* The port of dom0's that leads to XenStore's in the guest. */
static int find_port(xc_interface *xch, uint32_t domid)
{
	uint64_t theirs;

	if (xc_hvm_param_get(xch, domid, HVM_PARAM_STORE_EVTCHN, &theirs))
		return -1;
	for (int port = 1; port < MAX_PORTS; port++) {
		xc_evtchn_status_t status = { .dom = DOMID_SELF, .port = port };

		if (!xc_evtchn_status(xch, &status) &&
		    status.status == EVTCHNSTAT_interdomain &&
		    status.u.interdomain.dom == domid &&
		    status.u.interdomain.port == theirs)
			return port;
	}
	errno = ENOENT;
	return -1;
}

/* The port is xenstored's; only the hypercall itself takes it from others. */
static int notify(int port)
{
	xencall_handle *call = xencall_open(NULL, 0);
	struct evtchn_send *send;
	int ret = -1;

	if (!call)
		return -1;
	send = xencall_alloc_buffer(call, sizeof(*send));
	if (send) {
		send->port = port;
		ret = xencall2(call, __HYPERVISOR_event_channel_op, EVTCHNOP_send,
			       (uintptr_t)send);
		xencall_free_buffer(call, send);
	}
	xencall_close(call);
	return ret;
}

static int show(xc_interface *xch, uint32_t domid, uint64_t frame)
{
	int port = find_port(xch, domid);

	if (port < 0 || xc_hvm_param_set(xch, domid, HVM_PARAM_STORE_PFN, frame))
		return -1;
	return notify(port);
}

int main(int argc, char **argv)
{
	xc_interface *xch;
	int ret;

	if (!(argc == 3 && !strcmp(argv[1], "hide")) &&
	    !(argc == 4 && !strcmp(argv[1], "show"))) {
		fputs("usage: late-xenstore hide DOMID | show DOMID FRAME\n", stderr);
		return 2;
	}

	xch = xc_interface_open(NULL, NULL, 0);
	if (xch && argc == 3)
		ret = hide(xch, atoi(argv[2]));
	else if (xch)
		ret = show(xch, atoi(argv[2]), strtoull(argv[3], NULL, 10));
	else
		ret = -1;
	if (ret) {
		fprintf(stderr, "late-xenstore %s: domain %s: %s\n", argv[1], argv[2],
			strerror(errno));
		return 1;
	}
	xc_interface_close(xch);
	return 0;
}
