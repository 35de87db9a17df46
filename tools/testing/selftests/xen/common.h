/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the test programs share.
 */

#ifndef SELFTESTS_XEN_COMMON_H
#define SELFTESTS_XEN_COMMON_H

#include "kselftest_harness.h"

#include "domain.h"
#include "named_test.h"
#include "proc.h"
#include "requests.h"
#include "soon.h"

#include <time.h>

#define NO_DEVICE_MODELS \
	"this Xen was built without device models"
#define NO_LIBRARY_CALL \
	"this Xen's library has no call for the question"
#define NO_SUCH_TYPE \
	"this architecture's domains are not of that type"
#define NO_LIMITS \
	"the stock driver answers ENOTTY to IOCTL_PRIVCMD_LIMIT"
#define NOT_ON_STOCK \
	"the stock driver answers ENOTTY to IOCTL_PRIVCMD_DM_NR_VCPUS"

/* Below the reserved ids, and beyond what Xen hands out in a test run. */
#define NO_SUCH_DOMAIN 0x7fef

/* Seconds for each test: it ends what hangs, and emulated processors may be slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 600

/* For a FIXTURE_SETUP(): older harnesses would run the test after a SKIP() there. */
#ifdef XFAIL_ADD
#define SKIP_FIXTURE(statement, why) SKIP(statement, why)
#else
#define SKIP_FIXTURE(statement, why) SKIP(_metadata->passed = 0; statement, why)
#endif

/* In seconds, from some time on. */
static inline double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Whether the tests run on the kernel's own driver, for comparison. */
static inline bool on_stock_driver(void)
{
	const char *driver = getenv("PRIVCMD_DRIVER");

	return driver && !strncmp(driver, "stock", strlen("stock"));
}

/* COUNT says how often, for whoever wants more or less than usual. */
static inline int wanted_count(int usual)
{
	const char *text = getenv("COUNT");

	return text ? atoi(text) : usual;
}

/* Whether a test may not do what is known to harm a host that runs that driver. */
static inline bool host_is_at_risk(void)
{
	const char *may = getenv("XEN_PRIVCMD_MAY_CRASH");

	return on_stock_driver() && !(may && !strcmp(may, "1"));
}

/* Linux's own driver with the typed command, which is tried as if it were ours. */
static inline bool lacks_limits(int fd)
{
	return !on_stock_driver() && request(fd, IOCTL_PRIVCMD_LIMIT, NULL) == -ENOTTY;
}

/* Whether the hypervisor has the operations of DM_OP at all. */
static inline bool has_device_models(void)
{
	int fd = privcmd_open();
	int ret = dm_op_nr_vcpus(fd, 0);

	close(fd);
	return ret != -ENOSYS;
}

/*
 * What the commands answer with where the hypervisor's answer is this one.  It
 * looks at the domain before it looks at the operation.
 */
static inline int by_dm_op(int answer)
{
	if (!has_device_models())
		return -ENOSYS;
	return answer < 0 || XEN_HAS_NR_VCPUS ? answer : -EOPNOTSUPP;
}

static inline int by_nr_vcpus(int answer)
{
	return has_device_models() ? by_dm_op(answer) : -EOPNOTSUPP;
}

/*
 * Asks with both commands, which must agree; the stock driver knows only one
 * of them.  Where the hypervisor was asked but cannot answer, for it has no
 * device models or is too old, this answers in its place.
 */
static inline int ask(int fd, domid_t dom)
{
	int typed = nr_vcpus(fd, dom);
	int untyped = dm_op_nr_vcpus(fd, dom);

	if (untyped == (XEN_HAS_NR_VCPUS ? -ENOSYS : -EOPNOTSUPP) &&
	    typed == (on_stock_driver() ? -ENOTTY : -EOPNOTSUPP))
		return domain_nr_vcpus(dom);
	if (typed == (on_stock_driver() ? -ENOTTY : untyped))
		return untyped;
	fprintf(stderr, "# domain %u: DM_NR_VCPUS says %d, DM_OP says %d\n",
		dom, typed, untyped);
	return INT_MIN;
}

#endif /* SELFTESTS_XEN_COMMON_H */
