/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Domains to ask about and to map: shells that are never started, and that have
 * memory only if they are given some.
 */

#ifndef SELFTESTS_XEN_DOMAIN_H
#define SELFTESTS_XEN_DOMAIN_H

#include <stdbool.h>

#include <xenctrl.h>
#include <xendevicemodel.h>

/* The libraries are of the running Xen's version. */
#ifdef XEN_DMOP_nr_vcpus
#define XEN_HAS_NR_VCPUS true
#else
#define XEN_HAS_NR_VCPUS false

/*
 * The library of Xen 4.14 cannot ask.  What stands in for the question goes the
 * same way, and is never granted: there is no such interrupt.
 */
static inline int xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod,
					  domid_t domid, unsigned int *vcpus)
{
	(void)vcpus;
	return xendevicemodel_set_isa_irq_level(dmod, domid, 255, 0);
}
#endif

enum domain_type {
	DOMAIN_HVM,
	DOMAIN_PVH,
	DOMAIN_PV,
};

/* Whether this kernel needs pages of its own for other domains' frames. */
bool on_auto_translated(void);

/* Whether the hypervisor has domains of this type. */
bool domain_can_be(enum domain_type type);

/* Answers with the domid, or with a negative errno. */
int domain_create(enum domain_type type, unsigned int vcpus);

/* The same with a domid of the caller's choice, which another domain may have: -EEXIST. */
int domain_create_as(enum domain_type type, unsigned int vcpus, domid_t domid);

/*
 * Gives a domain memory.  Answers with 0 or with a negative errno, and with the
 * number of each frame: 0 and up, but for a PV domain it is the machine's.
 */
int domain_populate(domid_t domid, unsigned int pages, xen_pfn_t *frames);

/*
 * Has Xen page a frame of a domain out that was created with one vCPU, has memory and
 * is mapped by nobody.  Answers with 0 or with a negative errno.
 */
int domain_page_out(domid_t domid, xen_pfn_t frame);

/* The frame is there again, with what is in the page. */
int domain_page_in(domid_t domid, xen_pfn_t frame, void *page);

/* As many as it was created with, or the negative errno that DM_OP gives. */
int domain_nr_vcpus(domid_t domid);

/* Whether it exists, also if it was destroyed and something holds it. */
bool domain_exists(domid_t domid);

/* Answers with 0, or with a negative errno. */
int domain_destroy(domid_t domid);

/* The same in a way in which the kernel does not see what is asked of Xen. */
int domain_destroy_by_multicall(domid_t domid);

/*
 * Pages that Xen has free, and dom0's: its balloon gives some and takes some, when it
 * likes.  Or a negative errno.
 */
long host_pages(void);

/* Answers like nr_vcpus(), by way of libxendevicemodel. */
int library_nr_vcpus(domid_t domid);

#endif /* SELFTESTS_XEN_DOMAIN_H */
