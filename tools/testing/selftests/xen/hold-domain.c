// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keeps a file of /dev/xen/privcmd that is restricted to a domain, until it is ended
 * by a signal, and says when the domain has died: hold-domain DOMID
 */

#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

#include "requests.h"

static bool parse(const char *text, domid_t *dom)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	*dom = number;
	return !errno && end != text && !*end && number <= UINT16_MAX;
}

int main(int argc, char **argv)
{
	struct pollfd file = { .events = 0 };
	domid_t dom;
	int err;

	if (argc != 2 || !parse(argv[1], &dom)) {
		fprintf(stderr, "usage: hold-domain DOMID\n");
		return 2;
	}

	file.fd = privcmd_open();
	err = file.fd < 0 ? file.fd : restrict_to(file.fd, dom);
	if (err) {
		fprintf(stderr, "hold-domain: no file for domain %u: %s\n", dom, strerror(-err));
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("held\n");
	if (poll(&file, 1, -1) == 1 && file.revents & POLLHUP)
		printf("dead\n");
	for (;;)
		pause();
}
