// SPDX-License-Identifier: GPL-2.0-only
/*
 * What makes a process harmless to all but its domain.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* For the numbers of device-model operations. */
#define __XEN_TOOLS__
#include <xendevicemodel.h>
#include <xen/memory.h>
#include <xen/privcmd.h>
#include <xen/sys/evtchn.h>
#include <xentoolcore.h>

#include "emulator.h"

#define PRIVCMD	"/dev/xen/privcmd"
#define EVTCHN	"/dev/xen/evtchn"

#define LENGTH(array)	(sizeof(array) / sizeof(*(array)))

/*
 * All files of PRIVCMD that this process has.  Xen's libraries do not give theirs
 * away, so that these are looked for.
 */
static int files[8];
static unsigned int nr_files;

/* Not on an older driver. */
static bool limits;

int sandbox_open_privcmd(void)
{
	int fd = open(PRIVCMD, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail(NOT_STARTED, "cannot open " PRIVCMD ": %s", strerror(errno));
	return fd;
}

/*
 * Without limits whoever may interrupt the guest may make all device-model
 * operations, which is not for the worker; whoever may make none has its filter.
 */
static void check_limits(bool interrupts)
{
	int fd = sandbox_open_privcmd();

	limits = !ioctl(fd, IOCTL_PRIVCMD_LIMIT, NULL) || errno != ENOTTY;
	close(fd);
	if (limits)
		return;
	if (interrupts)
		fail(NOT_STARTED, "xen-privcmd has no LIMIT: load a newer one, or give %s",
		     "--no-interrupts");
	complain("xen-privcmd without LIMIT: seccomp alone narrows what can be asked of it");
}

/* The libraries would take several lines to say it. */
void sandbox_check_devices(const struct options *options)
{
	static const char *const devices[] = { PRIVCMD, EVTCHN };

	for (unsigned int i = 0; i < 2; i++)
		if (access(devices[i], R_OK | W_OK))
			fail(NOT_STARTED, "cannot open %s: %s (be root in dom0, load %s)",
			     devices[i], strerror(errno),
			     "xen-privcmd and xen-evtchn");
	check_limits(options->interrupts);
}

static void find_files(void)
{
	struct stat device, file;

	if (stat(PRIVCMD, &device))
		fail(NOT_STARTED, "cannot find " PRIVCMD ": %s", strerror(errno));
	for (int fd = STDERR_FILENO + 1; fd < getdtablesize(); fd++) {
		if (fstat(fd, &file) || !S_ISCHR(file.st_mode) ||
		    file.st_rdev != device.st_rdev)
			continue;
		if (nr_files == LENGTH(files))
			fail(NOT_STARTED, "Xen's libraries have opened " PRIVCMD
			     " more than %zu times", LENGTH(files));
		files[nr_files++] = fd;
	}
}

/* xentoolcore_restrict_all() does not know of files that no library opened. */
void sandbox_restrict(domid_t dom)
{
	if (xentoolcore_restrict_all(dom))
		fail(NOT_STARTED, "cannot restrict Xen's libraries to domain %u: %s",
		     dom, strerror(errno));
	find_files();
	for (unsigned int i = 0; i < nr_files; i++)
		if (ioctl(files[i], IOCTL_PRIVCMD_RESTRICT, &dom))
			fail(NOT_STARTED, "cannot restrict " PRIVCMD " to domain %u: %s",
			     dom, strerror(errno));
}

#define COMMAND(name)	(1ULL << _IOC_NR(IOCTL_PRIVCMD_##name))
#define OPERATION(name)	(1ULL << XEN_DMOP_##name)
#define RESOURCE(name)	(1U << XENMEM_resource_##name)

#define WATCHING (OPERATION(get_ioreq_server_info) |	\
		  OPERATION(set_ioreq_server_state) |	\
		  OPERATION(destroy_ioreq_server))

/* LIMIT itself stays with the keeper that starts: it gives up more later. */
static const struct privcmd_limit limits_of[] = {
	[KEEPER_STARTS] = {
		.commands = COMMAND(DM_OP) | COMMAND(MMAP_RESOURCE) | COMMAND(LIMIT),
		.dm_ops = OPERATION(create_ioreq_server) |
			  OPERATION(map_io_range_to_ioreq_server) | WATCHING,
		.resources = RESOURCE(ioreq_server),
	},
	[KEEPER_WATCHES] = {
		.commands = COMMAND(DM_OP),
		.dm_ops = WATCHING,
	},
	[WORKER_SERVES] = {
		.commands = COMMAND(DM_NR_VCPUS) | COMMAND(MMAP_RESOURCE),
		.resources = RESOURCE(ioreq_server),
	},
	[WORKER_SERVES_AND_INTERRUPTS] = {
		.commands = COMMAND(DM_NR_VCPUS) | COMMAND(MMAP_RESOURCE) | COMMAND(DM_OP),
		.dm_ops = OPERATION(inject_msi),
		.resources = RESOURCE(ioreq_server),
	},
};

/* After sandbox_restrict(), which finds the files. */
void sandbox_limit(enum rights rights)
{
	for (unsigned int i = 0; limits && i < nr_files; i++)
		if (ioctl(files[i], IOCTL_PRIVCMD_LIMIT, &limits_of[rights]))
			fail(NOT_STARTED, "cannot limit " PRIVCMD ": %s", strerror(errno));
}

void sandbox_drop_privileges(uid_t uid)
{
	char dir[] = "/tmp/emulator-XXXXXX";

	/* In a directory that is removed nothing can be created any more. */
	if (!mkdtemp(dir) || chdir(dir) || rmdir(dir) || chroot("."))
		fail(NOT_STARTED, "cannot make %s the root directory: %s", dir,
		     strerror(errno));
	/* A network of its own, with no interface that is up. */
	if (unshare(CLONE_NEWNET))
		fail(NOT_STARTED, "cannot leave the network: %s",
		     strerror(errno));
	/* Leaving uid 0 drops all capabilities. */
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) ||
	    setresuid(uid, uid, uid))
		fail(NOT_STARTED, "cannot become user %u: %s", uid,
		     strerror(errno));
}

struct rule {
	int call;
	unsigned int args;
	struct scmp_arg_cmp arg;
};

#define CALL(name)	{ .call = SCMP_SYS(name) }

/* The kernel looks at the low 32 bits of a command. */
#define IOCTL(command) {						\
	.call = SCMP_SYS(ioctl),					\
	.args = 1,							\
	.arg = SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, command),	\
}

/* Memory, but none to execute. */
#define MMAP {								\
	.call = SCMP_SYS(mmap),						\
	.args = 1,							\
	.arg = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),		\
}

static void enter_filter(const struct rule *rules, size_t n)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int err = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < n; i++)
		err = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, rules[i].call,
					     rules[i].args, &rules[i].arg);
	/* This also sees to it that no new privileges can be had (no_new_privs). */
	err = err ?: seccomp_load(ctx);
	if (err)
		fail(NOT_STARTED, "cannot enter the seccomp filter: %s",
		     strerror(-err));
	seccomp_release(ctx);
}

void sandbox_filter_keeper(void)
{
	static const struct rule rules[] = {
		IOCTL(IOCTL_PRIVCMD_DM_OP),
		IOCTL(IOCTL_PRIVCMD_MMAP_RESOURCE),
		IOCTL(IOCTL_PRIVCMD_LIMIT),
		MMAP,
		CALL(munmap),
		CALL(brk),
		CALL(ppoll),
		CALL(rt_sigtimedwait),
		CALL(wait4),
		CALL(close),
		CALL(write),
		CALL(exit_group),
	};

	enter_filter(rules, LENGTH(rules));
}

/*
 * To the filter all device-model operations are one: which of them can be made is
 * a matter of limits.  Whoever does not interrupt does without any of them.
 */
void sandbox_filter_worker(bool interrupts)
{
	static const struct rule rules[] = {
		IOCTL(IOCTL_PRIVCMD_DM_NR_VCPUS),
		IOCTL(IOCTL_PRIVCMD_MMAP_RESOURCE),
		IOCTL(IOCTL_EVTCHN_BIND_INTERDOMAIN),
		IOCTL(IOCTL_EVTCHN_NOTIFY),
		MMAP,
		CALL(munmap),
		CALL(brk),
		CALL(ppoll),
		CALL(read),
		CALL(write),
		CALL(exit_group),
		/* The last one, for who interrupts. */
		IOCTL(IOCTL_PRIVCMD_DM_OP),
	};

	enter_filter(rules, LENGTH(rules) - !interrupts);
}
