/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The modules of the device: unloaded, and loaded again.
 */

#ifndef SELFTESTS_XEN_MODULES_H
#define SELFTESTS_XEN_MODULES_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#define XENFS		"/proc/xen"

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
