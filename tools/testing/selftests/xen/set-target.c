// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives a domain privilege over another one, as a toolstack does for a stub
 * domain: set-target DOMID TARGET
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>

int main(int argc, char **argv)
{
	xc_interface *xch;

	if (argc != 3) {
		fprintf(stderr, "usage: set-target DOMID TARGET\n");
		return 2;
	}

	xch = xc_interface_open(NULL, NULL, 0);
	if (!xch || xc_domain_set_target(xch, atoi(argv[1]), atoi(argv[2]))) {
		fprintf(stderr, "set-target: domain %s gets no privilege over %s: %s\n",
			argv[1], argv[2], strerror(errno));
		return 1;
	}
	xc_interface_close(xch);
	return 0;
}
