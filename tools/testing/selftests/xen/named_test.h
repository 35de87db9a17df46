/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PROGRAM [NAME] runs the one test that the results call NAME, FIXTURE[.VARIANT].TEST.
 * The harness's own options for that are new in Linux 6.4; they stay where they are.
 * Where there are no domains to ask about, all tests are skipped.
 */

#ifndef SELFTESTS_XEN_NAMED_TEST_H
#define SELFTESTS_XEN_NAMED_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kselftest_harness.h"

#include "domain.h"
#include "requests.h"

static inline bool test_is_named(const struct __fixture_metadata *fixture,
				 const struct __fixture_variant_metadata *variant,
				 const struct __test_metadata *test, const char *name)
{
	char own[256];

	snprintf(own, sizeof(own), "%s%s%s.%s", fixture->name, variant ? "." : "",
		 variant ? variant->name : "", test->name);
	return !strcmp(own, name);
}

/* Seconds: a driver broken on purpose, on which tests are run one by one, may hang. */
#define NAMED_TEST_LIMIT 100

/* Takes all other tests off the harness's lists. */
static inline bool leave_test(const char *name)
{
	struct __fixture_variant_metadata *variant;
	struct __fixture_metadata *fixture;
	struct __test_metadata *test;

	for (fixture = __fixture_list; fixture; fixture = fixture->next) {
		variant = fixture->variant;
		do {
			for (test = fixture->tests; test; test = test->next) {
				if (!test_is_named(fixture, variant, test, name))
					continue;
				__fixture_list = fixture;
				fixture->next = NULL;
				fixture->variant = variant;
				if (variant)
					variant->next = NULL;
				fixture->tests = test;
				test->next = NULL;
				test->timeout = NAMED_TEST_LIMIT;
				return true;
			}
			variant = variant ? variant->next : NULL;
		} while (variant);
	}
	return false;
}

/* Whoever starts the tests may know better, as one who compares drivers does. */
static inline void find_driver(void)
{
	int fd = privcmd_open();

	setenv("PRIVCMD_DRIVER",
	       request(fd, IOCTL_PRIVCMD_LIMIT, NULL) == -ENOTTY ? "stock" : "ours", 0);
	close(fd);
}

static inline int run_named_test(int argc, char **argv)
{
	if (!domain_exists(0)) {
		printf("TAP version 13\n1..0 # SKIP no domains: run it as root in a Xen dom0\n");
		return KSFT_SKIP;
	}
	find_driver();
	if (argc < 2 || argv[1][0] == '-')
		return test_harness_run(argc, argv);
	if (argc > 2) {
		fprintf(stderr, "usage: %s [NAME]: one test, or all of them\n", argv[0]);
		return KSFT_FAIL;
	}
	if (!leave_test(argv[1])) {
		fprintf(stderr, "%s: there is no test %s\n", argv[0], argv[1]);
		return KSFT_FAIL;
	}
	return test_harness_run(1, argv);
}

/* For TEST_HARNESS_MAIN, whose other parts differ from harness to harness. */
#define test_harness_run run_named_test

#endif /* SELFTESTS_XEN_NAMED_TEST_H */
