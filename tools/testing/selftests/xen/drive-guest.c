// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a domain with the guest of guest/ in it, says its domid, and lets it run
 * when told to: by then somebody else's emulator has to serve it.
 *
 *	drive-guest VCPUS		each vCPU uses the device, until it is done
 *	drive-guest without-end		vCPU 0 takes interrupts, vCPU 1 rings a doorbell,
 *					vCPU 2 uses the device
 *
 * The latter stops the domain after 1,000 rings and says how many there were; goes
 * on when it is told to, and says so; and ends the domain when it is told to.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "domain.h"
#include "guest.h"

#define ROUNDS 3

#define RINGS		1000
#define MORE_RINGS	10
#define DOORBELL	0xfd100050
enum { INTERRUPTED, RINGING, USING, WORKERS };

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

/* One by one: a batch that mixes frames up would do so here and there alike. */
static int number_frames(const struct guest *guest, const xen_pfn_t *frames)
{
	for (size_t i = 0; i < NUMBERED_FRAMES; i++) {
		xen_pfn_t *number = xenforeignmemory_map(guest->fmem, guest->dom, PROT_WRITE, 1,
							 &frames[i], NULL);

		if (!number)
			return -errno;
		*number = frames[i];
		if (xenforeignmemory_unmap(guest->fmem, number, 1))
			return -errno;
	}
	return 0;
}

static int add_numbered_frames(const struct guest *guest)
{
	/* Some more, for what Xen itself needs. */
	const unsigned int max_kib = GUEST_MEMORY / 1024 + NUMBERED_FRAMES * 4 + 4096;
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xen_pfn_t frames[NUMBERED_FRAMES];
	int ret;

	for (size_t i = 0; i < NUMBERED_FRAMES; i++)
		frames[i] = NUMBERED_FRAME + i;
	if (!xch)
		return -errno;
	ret = xc_domain_setmaxmem(xch, guest->dom, max_kib) ||
	      xc_domain_populate_physmap_exact(xch, guest->dom, NUMBERED_FRAMES, 0, 0,
					       frames) ? -errno : 0;
	xc_interface_close(xch);
	return ret ?: number_frames(guest, frames);
}

static int pause_guest(const struct guest *guest)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int ret = !xch || xc_domain_pause(xch, guest->dom) ? -errno : 0;

	if (xch)
		xc_interface_close(xch);
	return ret;
}

/* Whether the vCPUs that ring and that use the device get on so far. */
static bool work_gets_to(const struct guest *guest, unsigned int rings, unsigned int uses)
{
	for (int tries = 0; tries < 12000; tries++) {
		if (guest->reports[RINGING].rounds >= rings &&
		    guest->reports[USING].rounds >= uses)
			return true;
		usleep(10000);
	}
	return false;
}

static int report_stuck(const struct guest *guest)
{
	printf("stuck: %u rounds of rings, %u of the device, %u answers wrong\n",
	       guest->reports[RINGING].rounds, guest->reports[USING].rounds,
	       guest->reports[USING].wrong);
	return 1;
}

static int let_it_work(const struct guest *guest)
{
	const struct guest_report *ringing = &guest->reports[RINGING];
	const struct guest_report *using = &guest->reports[USING];
	int ret = guest_run(guest);

	if (ret || !work_gets_to(guest, RINGS, 1) || pause_guest(guest))
		return report_stuck(guest);
	printf("# %u interrupts\nrung %u\n", guest->reports[INTERRUPTED].interrupts,
	       ringing->rounds);
	getchar();
	ret = guest_run(guest);
	if (ret || !work_gets_to(guest, ringing->rounds + MORE_RINGS, using->rounds + 1) ||
	    using->wrong)
		return report_stuck(guest);
	printf("goes on\n");
	getchar();
	return 0;
}

static void order_work(const struct guest *guest)
{
	guest->orders->work[INTERRUPTED] = GUEST_TAKES_INTERRUPTS;
	guest->orders->work[RINGING] = GUEST_RINGS_DOORBELLS;
	guest->orders->work[USING] = GUEST_USES_DEVICE;
	guest->orders->doorbell = DOORBELL;
	guest->orders->queues = 1;
}

static void let_it_finish(const struct guest *guest, int vcpus)
{
	int ret = guest_run(guest);

	if (ret)
		printf("# cannot let it run: %s\n", strerror(-ret));
	guest_finishes(guest);
	for (int i = 0; i < vcpus; i++)
		judge(&guest->reports[i], i);
	printf("1..%d\n", tests);
}

int main(int argc, char **argv)
{
	bool without_end = argc == 2 && !strcmp(argv[1], "without-end");
	int vcpus = without_end ? WORKERS : argc == 2 ? atoi(argv[1]) : 0;
	struct guest guest;
	int ret;

	if (vcpus < 1 || vcpus > GUEST_MAX_VCPUS) {
		fprintf(stderr, "usage: drive-guest VCPUS | without-end\n");
		return 2;
	}
	ret = guest_create(&guest, vcpus) ?: add_numbered_frames(&guest);
	if (ret) {
		fprintf(stderr, "drive-guest: cannot make a guest: %s\n",
			strerror(-ret));
		return 1;
	}
	memset(guest.orders->start, 1, vcpus);
	guest.orders->rounds = without_end ? 0 : ROUNDS;
	guest.orders->scratch = 1;
	if (without_end)
		order_work(&guest);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# domain %d\n", guest.dom);

	getchar();
	if (without_end)
		failures = let_it_work(&guest);
	else
		let_it_finish(&guest, vcpus);
	guest_destroy(&guest);
	return failures != 0;
}
