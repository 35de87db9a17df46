/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Domains to ask about: shells without memory that are never started.
 */

#ifndef SELFTESTS_XEN_DOMAIN_H
#define SELFTESTS_XEN_DOMAIN_H

#include <xenctrl.h>

enum domain_type {
	DOMAIN_HVM,
	DOMAIN_PVH,
	DOMAIN_PV,
};

/* Answers with the domid, or with a negative errno. */
int domain_create(enum domain_type type, unsigned int vcpus);

/* Answers with 0, or with a negative errno. */
int domain_destroy(domid_t domid);

#endif /* SELFTESTS_XEN_DOMAIN_H */
