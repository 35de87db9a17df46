/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The modules of the device: unloaded, and loaded again.
 */

#ifndef SELFTESTS_XEN_MODULES_H
#define SELFTESTS_XEN_MODULES_H

#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define XENFS		"/proc/xen"

/* One that is beside the program.  Answers with 0 or with a negative errno. */
static inline int load_test_module(const char *file)
{
	int fd = open(path_beside_program(file), O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	/* A test that was killed leaves it behind. */
	return ret == -EEXIST ? 0 : ret;
}

/* Answers with 0 or with a negative errno. */
static inline int unload_module(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

/* Of what is built on xen_privcmd. */
static inline int unload_xenfs(void)
{
	return umount(XENFS) ? -errno : unload_module("xenfs");
}

static inline bool load_modules(void)
{
	return !system("modprobe xen-privcmd && modprobe xenfs") &&
	       !mount("xenfs", XENFS, "xenfs", 0, NULL) &&
	       !access("/dev/xen/privcmd", R_OK | W_OK) &&
	       !access("/dev/xen/hypercall", R_OK | W_OK) &&
	       !access(XENFS "/privcmd", R_OK | W_OK);
}

#endif /* SELFTESTS_XEN_MODULES_H */
