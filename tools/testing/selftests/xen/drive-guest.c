// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a domain with the guest of guest/ in it, says its domid, and lets it run
 * when told to: by then somebody else's emulator has to serve it.
 *
 *	drive-guest VCPUS
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain.h"
#include "guest.h"

#define ROUNDS 3

static int tests, failures;

static void expect(bool ok, const char *what, int vcpu)
{
	failures += !ok;
	printf("%sok %d %s%d\n", ok ? "" : "not ", ++tests, what, vcpu);
}

static void judge(const struct guest_report *report, int vcpu)
{
	printf("# %u accesses, %u wrong", report->accesses, report->wrong);
	if (report->wrong)
		printf(", the first at %#x: %#x, not %#x", report->where,
		       report->got, report->expected);
	putchar('\n');
	expect(report->rounds == ROUNDS, "all_requests_are_answered_to_vcpu_", vcpu);
	expect(!report->wrong, "all_answers_are_right_to_vcpu_", vcpu);
}

int main(int argc, char **argv)
{
	int vcpus = argc == 2 ? atoi(argv[1]) : 0;
	struct guest guest;
	int ret;

	if (vcpus < 1 || vcpus > GUEST_MAX_VCPUS) {
		fprintf(stderr, "usage: drive-guest VCPUS\n");
		return 2;
	}
	ret = guest_create(&guest, vcpus);
	if (ret) {
		fprintf(stderr, "drive-guest: cannot make a guest: %s\n",
			strerror(-ret));
		return 1;
	}
	memset(guest.orders->start, 1, vcpus);
	guest.orders->rounds = ROUNDS;
	guest.orders->scratch = 1;
	printf("# domain %d\n", guest.dom);
	fflush(stdout);

	getchar();
	ret = guest_run(&guest);
	if (ret)
		printf("# cannot let it run: %s\n", strerror(-ret));
	guest_finishes(&guest, 60);
	for (int i = 0; i < vcpus; i++)
		judge(&guest.reports[i], i);
	printf("1..%d\n", tests);
	guest_destroy(&guest);
	return failures != 0;
}
