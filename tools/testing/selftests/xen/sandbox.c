// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an emulator does to itself before it listens to its guest.
 */

#include <errno.h>
#include <grp.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sandbox.h"

int sandbox_drop_root(void)
{
	const uid_t id = UNPRIVILEGED_UID;

	/* The capabilities go with uid 0, and no setuid program brings either back. */
	if (setgroups(0, NULL) || setresgid(id, id, id) ||
	    setresuid(id, id, id) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return 0;
}

int sandbox_enter_filter(unsigned int cmd)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(REFUSED_BY_FILTER));
	int ret;

	if (!ctx)
		return -ENOMEM;
	/* The kernel takes a command's low 32 bits. */
	ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, cmd));
	if (!ret)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(write), 0);
	if (!ret)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW,
				       SCMP_SYS(exit_group), 0);
	if (!ret)
		ret = seccomp_load(ctx);
	seccomp_release(ctx);
	return ret;
}
