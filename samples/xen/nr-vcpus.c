// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asks how many vCPUs a domain has, from within the kind of sandbox that a
 * device emulator should be in: it acts for one domain only, has no privileges,
 * and can make no system call but the few it needs.
 *
 *	cc -o nr-vcpus nr-vcpus.c -lseccomp
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <xen/privcmd.h>

#define DEVICE "/dev/xen/privcmd"

/* Ids from here on are reserved. */
#define FIRST_RESERVED_DOMID 0x7ff0

/* By convention the user "nobody". */
#define DEFAULT_UID 65534

enum exit_status {
	ANSWERED,
	REFUSED,
	BAD_USAGE,
	NO_SANDBOX,
};

static const char help[] =
	"Usage: nr-vcpus [-u UID] DOMID\n"
	"Asks, from within a sandbox, how many vCPUs a domain has; prints the number.\n"
	"\n"
	"  -u, --uid=UID  become this user and this group (default: 65534)\n"
	"  -h, --help     print this\n"
	"\n"
	"Exit status: 0 answered, 1 refused, 2 bad usage, 3 no sandbox, so not asked.\n";

#define fail(status, fmt, ...) do {					\
	fprintf(stderr, "nr-vcpus: " fmt "\n", ##__VA_ARGS__);		\
	exit(status);							\
} while (0)

static unsigned long parse(const char *what, const char *text,
			   unsigned long min, unsigned long max)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || !isdigit((unsigned char)*text) || *end || value < min ||
	    value > max)
		fail(BAD_USAGE, "%s must be a number from %lu to %lu, not \"%s\"",
		     what, min, max, text);
	return value;
}

static int open_restricted(domid_t dom)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail(NO_SANDBOX, "cannot open " DEVICE ": %s (%s)",
		     strerror(errno), "be root in dom0, load xen-privcmd");
	/* From here on the file is for this domain, whoever has it. */
	if (ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &dom))
		fail(NO_SANDBOX, "cannot restrict " DEVICE " to domain %u: %s",
		     dom, strerror(errno));
	return fd;
}

static void drop_privileges(uid_t uid)
{
	/* Leaving uid 0 drops all capabilities. */
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) ||
	    setresuid(uid, uid, uid))
		fail(NO_SANDBOX, "cannot become user %u: %s", uid,
		     strerror(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail(NO_SANDBOX, "cannot give up new privileges: %s",
		     strerror(errno));
}

static void enter_filter(int fd)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err = ctx ? 0 : -ENOMEM;

	/* The kernel looks at the low 32 bits of a command. */
	err = err ?: seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 2,
				      SCMP_A0(SCMP_CMP_EQ, fd),
				      SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff,
					      IOCTL_PRIVCMD_DM_NR_VCPUS));
	err = err ?: seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(write), 0);
	err = err ?: seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(exit_group),
				      0);
	err = err ?: seccomp_load(ctx);
	if (err)
		fail(NO_SANDBOX, "cannot enter the seccomp filter: %s",
		     strerror(-err));
	/* To free memory may take a system call too, so ctx is kept. */
}

static const char *reason(int err)
{
	switch (err) {
	case EPERM:
		return "this process has no privilege over it, or runs in it";
	case EINVAL:
		return "it is a PV domain, which has no device model";
	case ESRCH:
		return "there is no such domain";
	case EOPNOTSUPP:
		return "Xen 4.15 or newer is needed, with device-model support";
	case ENOTTY:
		return "the loaded xen-privcmd has no such command";
	default:
		return strerror(err);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "uid", required_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	static char buffer[BUFSIZ];
	struct privcmd_dm_nr_vcpus query = {};
	uid_t uid = DEFAULT_UID;
	int fd, opt;

	while ((opt = getopt_long(argc, argv, "u:h", options, NULL)) != -1) {
		switch (opt) {
		case 'u':
			uid = parse("UID", optarg, 1, 0xfffffffe);
			break;
		case 'h':
			printf("%s", help);
			return ANSWERED;
		default:
			return BAD_USAGE;
		}
	}
	if (optind != argc - 1)
		fail(BAD_USAGE, "give one DOMID (--help says more)");
	query.dom = parse("DOMID", argv[optind], 0, FIRST_RESERVED_DOMID - 1);

	/* Or stdio asks the kernel for one later, which the filter refuses. */
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	fd = open_restricted(query.dom);
	drop_privileges(uid);
	enter_filter(fd);

	if (ioctl(fd, IOCTL_PRIVCMD_DM_NR_VCPUS, &query))
		fail(REFUSED, "domain %u: %s", query.dom, reason(errno));
	printf("%u\n", query.vcpus);
	return ANSWERED;
}
