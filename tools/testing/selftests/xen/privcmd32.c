// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes requests on an open file as a 32-bit process: privcmd32 FD REQUEST...
 *
 * REQUEST is ask:DOMID, restrict:DOMID, limit:COMMANDS (all else stays), pad:DOMID
 * (asks with a pad that is not 0), fault:0 (asks with a bad pointer), own:NR (the command
 * as this program encodes it) or raw:CMD.  Each one's answer is a line.
 */

#include <assert.h>
#include <stdlib.h>

#include "requests.h"

static_assert(sizeof(void *) == 4, "build this for 32 bit");

static unsigned int own_command(unsigned int nr)
{
	for (size_t i = 0; i < sizeof(all_commands) / sizeof(*all_commands); i++)
		if (_IOC_NR(all_commands[i]) == nr)
			return all_commands[i];

	fprintf(stderr, "# no command has number %u\n", nr);
	exit(2);
}

static int make_request(int fd, const char *name, unsigned long long value)
{
	/*
	 * Enough for every command's argument.  Even a driver that takes what
	 * it should not must find no harm in it.
	 */
	static const __u64 harmless[8] = { HYPERCALL_XEN_VERSION };

	if (!strcmp(name, "ask"))
		return nr_vcpus(fd, value);
	if (!strcmp(name, "restrict"))
		return restrict_to(fd, value);
	if (!strcmp(name, "limit"))
		return limit_commands(fd, value);
	if (!strcmp(name, "pad"))
		return nr_vcpus_padded(fd, value, 1);
	if (!strcmp(name, "fault"))
		return request(fd, IOCTL_PRIVCMD_DM_NR_VCPUS, NULL);
	if (!strcmp(name, "own"))
		return request(fd, own_command(value), harmless);
	if (!strcmp(name, "raw"))
		return request(fd, value, harmless);
	fprintf(stderr, "# unknown request %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		char *name = strtok(argv[i], ":");
		char *value = strtok(NULL, ":");

		printf("%d\n", make_request(atoi(argv[1]), name,
					    strtoull(value, NULL, 0)));
	}
	return 0;
}
