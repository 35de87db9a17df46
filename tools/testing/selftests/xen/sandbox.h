/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an emulator does to itself before it listens to its guest.
 */

#ifndef SELFTESTS_XEN_SANDBOX_H
#define SELFTESTS_XEN_SANDBOX_H

#define UNPRIVILEGED_UID 65534

/* What the filter answers; neither the kernel nor Xen uses it here. */
#define REFUSED_BY_FILTER EL3HLT

/* Answers with 0, or with a negative errno. */
int sandbox_drop_root(void);

/*
 * From here on the process can only write, exit and use ioctl() with one command.
 * Answers with 0, or with a negative errno.
 */
int sandbox_enter_filter(unsigned int cmd);

#endif /* SELFTESTS_XEN_SANDBOX_H */
