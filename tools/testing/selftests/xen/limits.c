// SPDX-License-Identifier: GPL-2.0-only
/*
 * What files of /dev/xen/privcmd have left, and that they can do that and no more.  In
 * dom0, by way of copy-files, for files that another process has restricted to a domain:
 *
 *	limits DOMID [CLASS FD INFO]...
 *
 * Says of each what is left, and how many there are.
 */

#include "limits.h"

int main(int argc, char **argv)
{
	unsigned int files = 0, wrong = 0;

	for (int i = 2; i + 2 < argc; i += 3) {
		int fd = atoi(argv[i + 1]);
		struct privcmd_limit left;

		if (strcmp(argv[i], "privcmd"))
			continue;
		files++;
		if (!read_limit(fd, &left)) {
			printf("%s: cannot be limited\n", argv[i + 2]);
			continue;
		}
		printf("%s: commands %#llx, dm_ops %#llx, resources %#x, flags %u\n",
		       argv[i + 2], (unsigned long long)left.commands,
		       (unsigned long long)left.dm_ops, left.resources, left.flags);
		wrong += try_all(fd, atoi(argv[1]), &left);
	}
	if (!files) {
		fputs("usage: limits DOMID [CLASS FD INFO]...\n", stderr);
		return 2;
	}
	printf("%u files, %u requests with a wrong answer\n", files, wrong);
	return wrong != 0;
}
