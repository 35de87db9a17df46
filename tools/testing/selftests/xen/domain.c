// SPDX-License-Identifier: GPL-2.0-only
/*
 * Domains to ask about and to map: shells that are never started, and that have
 * memory only if they are given some.
 *
 * A test that fails or hangs is killed before it can clean up, and a domain
 * outlives its creator.  The domains are therefore listed in memory shared with
 * the process that started the tests, which destroys at its exit what is left.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xendevicemodel.h>

#include "domain.h"

#define MAX_DOMAINS 64

/* 0 (that is dom0) marks a free entry. */
static domid_t *alive;
static pid_t owner;

static void replace(domid_t old, domid_t new)
{
	for (int i = 0; i < MAX_DOMAINS; i++) {
		if (alive[i] == old) {
			alive[i] = new;
			return;
		}
	}
	fprintf(stderr, "# no entry for domain %u among %u\n", new ?: old,
		MAX_DOMAINS);
}

static void destroy_all(void)
{
	if (getpid() != owner)
		return;
	for (int i = 0; i < MAX_DOMAINS; i++) {
		domid_t domid = alive[i];

		if (domid && domain_destroy(domid))
			fprintf(stderr, "# domain %u is left over\n", domid);
	}
}

static void __attribute__((constructor)) list_domains(void)
{
	alive = mmap(NULL, MAX_DOMAINS * sizeof(*alive), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (alive == MAP_FAILED) {
		perror("cannot share the list of domains");
		exit(EXIT_FAILURE);
	}
	owner = getpid();
	atexit(destroy_all);
}

/*
 * A handle of libxenctrl does not survive a fork (its buffers stay with the
 * parent), so each call opens its own.
 */
static xc_interface *xc_open(void)
{
	return xc_interface_open(NULL, NULL, 0);
}

int domain_create(enum domain_type type, unsigned int vcpus)
{
	struct xen_domctl_createdomain config = {
		.max_vcpus = vcpus,
		.max_evtchn_port = -1,
		.max_grant_frames = -1,
		.max_maptrack_frames = -1,
		.grant_opts = XEN_DOMCTL_GRANT_version(1),
	};
	unsigned int domid = 0;
	xc_interface *xch;
	int err = 0;

	switch (type) {
	case DOMAIN_HVM:
		config.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
		config.arch.emulation_flags = XEN_X86_EMU_ALL &
					      ~XEN_X86_EMU_VPCI;
		break;
	case DOMAIN_PVH:
		config.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
		config.arch.emulation_flags = XEN_X86_EMU_LAPIC;
		break;
	case DOMAIN_PV:
		break;
	}

	xch = xc_open();
	if (!xch)
		return -errno;
	if (xc_domain_create(xch, &domid, &config))
		err = -errno;
	else
		replace(0, domid);
	xc_interface_close(xch);
	return err ?: (int)domid;
}

int domain_populate(domid_t domid, unsigned int pages, xen_pfn_t *frames)
{
	/* Some more, for what Xen itself needs. */
	unsigned int max_kib = pages * XC_PAGE_SIZE / 1024 + 4096;
	xc_interface *xch;
	int err = 0;

	for (unsigned int i = 0; i < pages; i++)
		frames[i] = i;

	xch = xc_open();
	if (!xch)
		return -errno;
	if (xc_domain_setmaxmem(xch, domid, max_kib) ||
	    xc_domain_populate_physmap_exact(xch, domid, pages, 0, 0, frames))
		err = -errno;
	xc_interface_close(xch);
	return err;
}

int domain_destroy(domid_t domid)
{
	xc_interface *xch;
	int err = 0;

	xch = xc_open();
	if (!xch)
		return -errno;
	if (xc_domain_destroy(xch, domid))
		err = -errno;
	else
		replace(domid, 0);
	xc_interface_close(xch);
	return err;
}

int library_nr_vcpus(domid_t domid)
{
	xendevicemodel_handle *dmod = xendevicemodel_open(NULL, 0);
	unsigned int vcpus;
	int ret;

	if (!dmod)
		return -errno;
	ret = xendevicemodel_nr_vcpus(dmod, domid, &vcpus) ? -errno : (int)vcpus;
	xendevicemodel_close(dmod);
	return ret;
}
