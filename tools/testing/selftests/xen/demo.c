// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shows what the new command is for.  A process without privileges, in a
 * sandbox, asks how many vCPUs a domain has; then a whole emulator in such a
 * sandbox serves a guest.  Each line says what was asked, what came back and
 * what should have.
 */

#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xenctrl.h>

#include "domain.h"
#include "emulator.h"
#include "guest.h"
#include "proc.h"
#include "requests.h"
#include "sandbox.h"

#define OWN_VCPUS 3
#define OTHER_VCPUS 5
#define GUEST_VCPUS 3
#define GUEST_ROUNDS 3

static unsigned int wrong;

static const char *name(int answer)
{
	static char number[2][16];
	static int n;

	if (answer == -REFUSED_BY_FILTER)
		return "refused by seccomp";
	if (answer < 0 && strerrorname_np(-answer))
		return strerrorname_np(-answer);
	n = !n;
	snprintf(number[n], sizeof(number[n]), "%d", answer);
	return number[n];
}

static void show(int got, int expected, const char *fmt, ...)
{
	char what[64];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	wrong += got != expected;
	printf("  %-44s %-18s %-18s %s\n", what, name(got), name(expected),
	       got == expected ? "ok" : "NOT AS EXPECTED");
}

static void headings(const char *who)
{
	printf("\n%s\n  %-44s %-18s %s\n", who, "request", "answer", "expected");
}

/* Answers with the number of lines that are not as they should be. */
static int act_as_emulator(domid_t own, domid_t other)
{
	int fd = privcmd_open();

	headings("As root, an emulator of the first domain opens " PRIVCMD_DEVICE ":");
	show(restrict_to(fd, own), 0, "RESTRICT to domain %u", own);
	show(restrict_to(fd, other), -EINVAL, "RESTRICT to domain %u", other);
	show(hypercall_xen_version(fd), -EPERM, "HYPERCALL xen_version");

	headings("It drops to an unprivileged user:");
	show(sandbox_drop_root(), 0, "become uid %u, no capabilities",
	     UNPRIVILEGED_UID);
	show(privcmd_open(), -EACCES, "open " PRIVCMD_DEVICE);

	headings("It enters seccomp, which allows DM_NR_VCPUS only:");
	show(sandbox_enter_filter(IOCTL_PRIVCMD_DM_NR_VCPUS), 0, "enter the filter");
	show(nr_vcpus(fd, own), OWN_VCPUS, "DM_NR_VCPUS of domain %u", own);
	show(nr_vcpus(fd, other), -EPERM, "DM_NR_VCPUS of domain %u", other);
	show(nr_vcpus_padded(fd, own, 1), -EINVAL,
	     "DM_NR_VCPUS of domain %u, pad not 0", own);
	show(dm_op_nr_vcpus(fd, own), -REFUSED_BY_FILTER,
	     "DM_OP nr_vcpus of domain %u", own);
	show(hypercall_xen_version(fd), -REFUSED_BY_FILTER,
	     "HYPERCALL xen_version");
	show(restrict_to(fd, other), -REFUSED_BY_FILTER,
	     "RESTRICT to domain %u", other);
	return wrong;
}

#ifdef __x86_64__

/* How many operations of DM_OP a file of /dev/xen/privcmd has left; -1 is not known. */
static int operations_of(pid_t pid, int fd)
{
	unsigned long long mask;
	char path[64], line[64];
	int left = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "dm_ops: %llx", &mask) == 1)
			left = __builtin_popcountll(mask);
	if (file)
		fclose(file);
	return left;
}

/* The most that any of its files has. */
static int operations_left(pid_t pid)
{
	int most = -1;

	for (int fd = 0; fd < 64; fd++) {
		int left = operations_of(pid, fd);

		if (left > most)
			most = left;
	}
	return most;
}

/* A guest that runs, and the emulator of samples/xen, from its start to its end. */
static void show_emulator(void)
{
	struct emulator emulator = {};
	struct guest guest;
	int ret;

	headings("A guest with 3 vCPUs runs, and samples/xen/emulator serves it:");
	ret = guest_create(&guest, GUEST_VCPUS);
	show(ret, 0, "create domain %d with a guest in it", guest.dom);
	if (ret)
		return;
	EMULATOR_START(&emulator, guest.text);
	printf("%s", emulator.err);
	show(emulator.ready ? (int)emulator.vcpus : -EIO, GUEST_VCPUS,
	     "vCPUs that the emulator binds");
	show(atoi(proc_status(emulator.worker, "Uid")), UNPRIVILEGED_UID,
	     "uid of its process that serves");
	show(strtoull(proc_status(emulator.worker, "CapEff"), NULL, 16), 0,
	     "capabilities that it has");
	show(atoi(proc_status(emulator.worker, "Seccomp")), SECCOMP_MODE_FILTER,
	     "seccomp mode that it is in");
	show(operations_left(emulator.worker), 1,
	     "operations of DM_OP that LIMIT has left it");

	memset(guest.orders->start, 1, GUEST_VCPUS);
	guest.orders->rounds = GUEST_ROUNDS;
	guest.orders->scratch = 1;
	guest.orders->interrupts = 1;
	show(guest_run(&guest), 0, "let the guest run");
	show(guest_finishes(&guest), 1, "all its vCPUs finish");
	for (int i = 0; i < GUEST_VCPUS; i++)
		show(guest.reports[i].wrong, 0,
		     "wrong answers to vCPU %d's %u accesses", i,
		     guest.reports[i].accesses);
	for (int i = 0; i < GUEST_VCPUS; i++)
		show(guest.reports[i].interrupts > 0, 1,
		     "vCPU %d is interrupted by its device", i);
	show(emulator_end(&emulator, SIGTERM), EMULATOR_DONE,
	     "exit status after SIGTERM");
	show(guest_destroy(&guest), 0, "destroy domain %d", guest.dom);
}

#else

static void show_emulator(void)
{
	printf("\nNo guest runs, and so no emulator: the guest is a program for x86.\n");
}

#endif

static void ignore(int signal)
{
	/* It only has to interrupt waitpid(), so that the domains get destroyed. */
	(void)signal;
}

int main(void)
{
	const struct sigaction interrupt = { .sa_handler = ignore };
	int fd, own, other, status;
	pid_t emulator;

	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	sigaction(SIGHUP, &interrupt, NULL);
	sigaction(SIGINT, &interrupt, NULL);
	sigaction(SIGTERM, &interrupt, NULL);

	fd = privcmd_open();
	if (fd < 0) {
		fprintf(stderr, "demo: cannot open %s: %s (be root in dom0, load xen-privcmd)\n",
			PRIVCMD_DEVICE, strerror(-fd));
		return EXIT_FAILURE;
	}
	own = domain_create(DOMAIN_HVM, OWN_VCPUS);
	other = domain_create(DOMAIN_HVM, OTHER_VCPUS);
	if (own < 0 || other < 0) {
		fprintf(stderr, "demo: cannot create domains: %s\n",
			strerror(own < 0 ? -own : -other));
		return EXIT_FAILURE;
	}
	printf("Created domain %d with %d vCPUs and domain %d with %d.\n",
	       own, OWN_VCPUS, other, OTHER_VCPUS);

	emulator = fork();
	if (!emulator)
		_exit(act_as_emulator(own, other));
	if (waitpid(emulator, &status, 0) != emulator || !WIFEXITED(status)) {
		fprintf(stderr, "demo: the emulator's process did not end by itself\n");
		return EXIT_FAILURE;
	}
	wrong = WEXITSTATUS(status);

	headings("Meanwhile in dom0, libxendevicemodel says:");
	show(library_nr_vcpus(own), OWN_VCPUS,
	     "xendevicemodel_nr_vcpus() of domain %u", own);
	show(library_nr_vcpus(other), OTHER_VCPUS,
	     "xendevicemodel_nr_vcpus() of domain %u", other);

	headings("The domains are destroyed:");
	show(domain_destroy(own), 0, "destroy domain %u", own);
	show(domain_destroy(other), 0, "destroy domain %u", other);

	show_emulator();

	if (!wrong) {
		printf("\nAll is as expected.\n");
		return EXIT_SUCCESS;
	}
	printf("\n%u lines are NOT AS EXPECTED.\n", wrong);
	if (nr_vcpus(fd, own) == -ENOTTY)
		printf("ENOTTY: the loaded xen-privcmd is another, which has no DM_NR_VCPUS.\n");
	return EXIT_FAILURE;
}
