// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a domain with a domid that another one had, and ends it: take-domid DOMID
 *
 * The status is 3 if the domid is still taken, also by a domain that was destroyed
 * and that somebody's mapping holds.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain.h"

int main(int argc, char **argv)
{
	int domid = argc == 2 ? atoi(argv[1]) : 0;
	int ret;

	/* Xen takes 0 for a domid of its own choice. */
	if (domid < 1 || domid >= (int)DOMID_FIRST_RESERVED) {
		fprintf(stderr, "usage: take-domid DOMID\n");
		return 2;
	}
	ret = domain_create_as(DOMAIN_HVM, 1, domid);
	if (ret < 0) {
		printf("domid %d: %s\n", domid, strerror(-ret));
		return ret == -EEXIST ? 3 : 1;
	}
	printf("domid %d: free\n", domid);
	return domain_destroy(domid) ? 1 : 0;
}
