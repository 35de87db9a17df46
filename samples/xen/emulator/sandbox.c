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
#include <unistd.h>

#include <xen/privcmd.h>
#include <xen/sys/evtchn.h>
#include <xentoolcore.h>

#include "emulator.h"

#define PRIVCMD	"/dev/xen/privcmd"
#define EVTCHN	"/dev/xen/evtchn"

/* The libraries would take several lines to say it. */
void sandbox_check_devices(void)
{
	static const char *const devices[] = { PRIVCMD, EVTCHN };

	for (unsigned int i = 0; i < 2; i++)
		if (access(devices[i], R_OK | W_OK))
			fail(NOT_STARTED, "cannot open %s: %s (be root in dom0, load %s)",
			     devices[i], strerror(errno),
			     "xen-privcmd and xen-evtchn");
}

/* xentoolcore_restrict_all() does not know of files that no library opened. */
int sandbox_open_privcmd(domid_t dom)
{
	int fd = open(PRIVCMD, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail(NOT_STARTED, "cannot open " PRIVCMD ": %s", strerror(errno));
	if (ioctl(fd, IOCTL_PRIVCMD_RESTRICT, &dom))
		fail(NOT_STARTED, "cannot restrict " PRIVCMD " to domain %u: %s",
		     dom, strerror(errno));
	return fd;
}

void sandbox_restrict_libraries(domid_t dom)
{
	if (xentoolcore_restrict_all(dom))
		fail(NOT_STARTED, "cannot restrict Xen's libraries to domain %u: %s",
		     dom, strerror(errno));
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

#define ENTER_FILTER(rules) enter_filter(rules, sizeof(rules) / sizeof(*(rules)))

void sandbox_filter_keeper(void)
{
	static const struct rule rules[] = {
		IOCTL(IOCTL_PRIVCMD_DM_OP),
		IOCTL(IOCTL_PRIVCMD_MMAP_RESOURCE),
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

	ENTER_FILTER(rules);
}

/* No IOCTL_PRIVCMD_DM_OP: that is what IOCTL_PRIVCMD_DM_NR_VCPUS is for. */
void sandbox_filter_worker(void)
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
	};

	ENTER_FILTER(rules);
}
