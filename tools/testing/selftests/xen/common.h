/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the test programs share.
 */

#ifndef SELFTESTS_XEN_COMMON_H
#define SELFTESTS_XEN_COMMON_H

#include "kselftest_harness.h"

#include "domain.h"
#include "proc.h"
#include "requests.h"

#define NOT_ON_STOCK \
	"the stock driver answers ENOTTY to IOCTL_PRIVCMD_DM_NR_VCPUS"

/* Below the reserved ids, and beyond what Xen hands out in a test run. */
#define NO_SUCH_DOMAIN 0x7fef

/* Whether the tests run on the kernel's own driver, for comparison. */
static inline bool on_stock_driver(void)
{
	const char *driver = getenv("PRIVCMD_DRIVER");

	return driver && !strcmp(driver, "stock");
}

/*
 * Asks with both commands, which must agree; the stock driver knows only one
 * of them.
 */
static inline int ask(int fd, domid_t dom)
{
	int typed = nr_vcpus(fd, dom);
	int untyped = dm_op_nr_vcpus(fd, dom);

	if (typed == (on_stock_driver() ? -ENOTTY : untyped))
		return untyped;
	fprintf(stderr, "# domain %u: DM_NR_VCPUS says %d, DM_OP says %d\n",
		dom, typed, untyped);
	return INT_MIN;
}

#endif /* SELFTESTS_XEN_COMMON_H */
