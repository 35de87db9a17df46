// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device emulator in a sandbox, complete and small, to read and to copy from.
 *
 * It emulates a device (device.c) for one domain: the guest's accesses to a
 * range of I/O ports and to a range of memory are its requests.  Xen puts the
 * request of a vCPU into the vCPU's slot in the pages of an ioreq server, and
 * signals the vCPU's event channel; the emulator writes the answer into the slot
 * and signals back.
 *
 * Whoever controls the guest will try to control the emulator too, so that it is
 * two processes, each in a sandbox that lets it do its part and no more:
 *
 *   the keeper (keeper.c) makes, enables and destroys the ioreq server.  It may
 *   make the device-model operations that this takes, and reads nothing that the
 *   guest writes.
 *
 *   the worker (worker.c) serves the requests.  Of the commands of
 *   /dev/xen/privcmd it is left with three: IOCTL_PRIVCMD_DM_NR_VCPUS, whose
 *   answer says how many slots and event channels there are,
 *   IOCTL_PRIVCMD_MMAP_RESOURCE, which maps the slots, and IOCTL_PRIVCMD_DM_OP
 *   with the one operation that interrupts the guest.
 *
 * Both (sandbox.c) open what they need, restrict it to the domain, limit it to
 * the commands, operations and resources that they need, give up the file system,
 * the network, all capabilities and root, and leave themselves no system calls but
 * the few in their seccomp filters; only then they begin.  A pipe joins them: the
 * keeper writes the ioreq server's number into it, and its end tells the worker to
 * end.
 *
 * Of Xen's libraries only those with a stable interface are used, so that the
 * program runs on a newer Xen as it is.
 */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "emulator.h"

static const char help[] =
	"Usage: emulator [OPTION]... DOMID\n"
	"Emulates a device for an HVM or PVH domain, from within a sandbox.  Prints a line\n"
	"that begins with \"ready:\" when it serves.\n"
	"\n"
	"  -p, --ports=BASE   first of the device's 32 I/O ports (default: 0xe000)\n"
	"  -m, --memory=BASE  first of its 32 bytes of memory (default: 0xfd000000)\n"
	"  -a, --adopt=ID     go on with the ioreq server ID, which an emulator with the\n"
	"                     same ports and memory left when it was killed\n"
	"  -n, --no-interrupts\n"
	"                     do without interrupts, and with a driver that cannot keep\n"
	"                     device-model operations apart (IOCTL_PRIVCMD_LIMIT)\n"
	"  -u, --uid=UID      become this user and this group (default: 65534)\n"
	"  -h, --help         print this\n"
	"\n"
	"SIGTERM and SIGINT end it, once all requests that it was sent are answered.\n"
	"\n"
	"Exit status: 0 ended by a signal, 1 the domain is gone, 2 bad usage, 3 could not\n"
	"start, 4 the process that serves was killed, and the ioreq server is left.\n";

static __u64 parse(const char *what, const char *text, __u64 min, __u64 max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || !isdigit((unsigned char)*text) || *end || value < min ||
	    value > max)
		fail(BAD_USAGE, "%s must be a number from %llu to %#llx, not \"%s\"",
		     what, (unsigned long long)min, (unsigned long long)max,
		     text);
	return value;
}

/* Does not return if there is nothing to do. */
static struct options parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "ports", required_argument, NULL, 'p' },
		{ "memory", required_argument, NULL, 'm' },
		{ "adopt", required_argument, NULL, 'a' },
		{ "no-interrupts", no_argument, NULL, 'n' },
		{ "uid", required_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	struct options options = {
		.ports = 0xe000,
		.memory = 0xfd000000,
		.interrupts = true,
		/* By convention the user "nobody". */
		.uid = 65534,
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "p:m:a:nu:h", names, NULL)) != -1) {
		switch (opt) {
		case 'p':
			options.ports = parse("BASE of --ports", optarg, 0,
					      0x10000 - DEVICE_LENGTH);
			break;
		case 'm':
			/* The most that an x86 processor can address. */
			options.memory = parse("BASE of --memory", optarg, 0,
					       (1ULL << 52) - DEVICE_LENGTH);
			break;
		case 'a':
			options.adopt = true;
			options.adopted = parse("ID", optarg, 0, 0xffff);
			break;
		case 'n':
			options.interrupts = false;
			break;
		case 'u':
			options.uid = parse("UID", optarg, 1, 0xfffffffe);
			break;
		case 'h':
			printf("%s", help);
			exit(0);
		default:
			exit(BAD_USAGE);
		}
	}
	if (optind != argc - 1)
		fail(BAD_USAGE, "give one DOMID (--help says more)");
	options.dom = parse("DOMID", argv[optind], 1, DOMID_FIRST_RESERVED - 1);
	return options;
}

/* The keeper takes signals out of the mask, the worker leaves them there. */
static void block_signals(void)
{
	const struct sigaction children_that_end = {
		.sa_handler = SIG_DFL,
		.sa_flags = SA_NOCLDSTOP,
	};
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	sigaction(SIGCHLD, &children_that_end, NULL);
	/* If the other process or the reader of the output has ended. */
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct options options = parse_options(argc, argv);
	static char buffer[BUFSIZ];
	int ends[2];
	pid_t pid;

	/* Whatever the caller had open is not for the sandbox. */
	close_range(STDERR_FILENO + 1, ~0U, 0);
	sandbox_check_devices(&options);
	block_signals();
	/* Or stdio asks the kernel for one later, which the filter refuses. */
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	if (pipe2(ends, O_CLOEXEC))
		fail(NOT_STARTED, "cannot make a pipe: %s", strerror(errno));
	/* First of all: Xen's libraries must not be used across a fork. */
	pid = fork();
	if (pid < 0)
		fail(NOT_STARTED, "cannot start the worker: %s", strerror(errno));
	if (pid) {
		close(ends[0]);
		return keeper(&options, pid, ends[1]);
	}
	close(ends[1]);
	return worker(&options, ends[0]);
}
