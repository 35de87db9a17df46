// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an interrupt and a doorbell cost, from write to wake-up, counted as bench.c
 * does.  A round trip has one of each: dom0 interrupts a guest, whose handler writes
 * to a doorbell, which wakes dom0.  Each of both goes by an eventfd or without.
 *
 * Prints lines like those of bench.c, but of each way what the middle one of its round
 * trips took: now and then one costs far less, as nobody has fallen asleep.
 *
 * "bench_eventfd latency" takes time in place of that: in microseconds, what half of the
 * round trips took at most, 90, 99 and all of 100.
 */

#include <string.h>
#include <time.h>

#include "bench.h"
#include "eventfd.h"

#define SAMPLES		300
#define WARM		30

/* In microseconds: the guest has answered and halts, and so does the machine. */
#define REST		2000

#define CRASHES_STOCK	"the stock driver dereferences NULL on PV"

static bool in_time;
static struct guest domain;
static struct server server = { .fd = -1 };
static int interrupt_event, doorbell_event;

static struct xen_dm_op msi = {
	.op = XEN_DMOP_inject_msi,
	.u.inject_msi = {
		.addr = 0xfee00000,
		.data = GUEST_INTERRUPT,
	},
};

static int interrupt_by_dm_op(void)
{
	struct privcmd_dm_op_buf buf = { .uptr = &msi, .size = sizeof(msi) };
	struct privcmd_dm_op arg = { .dom = domain.dom, .num = 1, .ubufs = &buf };

	return ioctl(server.fd, IOCTL_PRIVCMD_DM_OP, &arg) ? -errno : 0;
}

static int interrupt_by_eventfd(void)
{
	return signal_eventfd(interrupt_event) ? 0 : -errno;
}

static int wait_for_channel(void)
{
	return xenevtchn_pending(server.xce) == (int)server.ports[0] ? 0 : -EPROTO;
}

static int wait_for_eventfd(void)
{
	return count_of(doorbell_event) == 1 ? 0 : -EPROTO;
}

/* What an emulator does. */
static int answer(void)
{
	struct ioreq request = read_slot(&server.slots[0]);

	if (request.state != STATE_IOREQ_READY || request.addr != DEVICE + NOTIFY)
		return -EPROTO;
	write_state(&server.slots[0], request, STATE_IORESP_READY);
	return xenevtchn_notify(server.xce, server.ports[0]) ? -errno : 0;
}

struct way {
	const char *name;
	/* Until all is done for the next round trip. */
	const char *whole_name;
	bool irqfd;
	bool ioeventfd;
};

static uint64_t stamp(void)
{
	struct timespec time;

	if (!in_time)
		return counter();
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static int round_trip(const struct way *way, uint64_t *ticks, uint64_t *whole)
{
	uint64_t start;
	int ret;

	usleep(REST);
	start = stamp();
	ret = way->irqfd ? interrupt_by_eventfd() : interrupt_by_dm_op();
	ret = ret ?: way->ioeventfd ? wait_for_eventfd() : wait_for_channel();
	*ticks = stamp() - start;

	/* The event channel is read in any case. */
	ret = ret ?: way->ioeventfd ? wait_for_channel() : answer();
	if (!ret && xenevtchn_unmask(server.xce, server.ports[0]))
		ret = -errno;
	*whole = stamp() - start;
	return ret;
}

static void report_round_trips(const char *name, uint64_t *ticks)
{
	sort_ticks(ticks, SAMPLES);
	if (!in_time) {
		report(name, &ticks[SAMPLES / 2], 1, 1);
		return;
	}
	printf("%-22s %6.0f %6.0f %6.0f %6.0f\n", name, ticks[SAMPLES / 2] / 1e3,
	       ticks[SAMPLES * 9 / 10] / 1e3, ticks[SAMPLES * 99 / 100] / 1e3,
	       ticks[SAMPLES - 1] / 1e3);
}

static int measure(const struct way *way)
{
	uint64_t ticks[WARM + SAMPLES], whole[WARM + SAMPLES];
	int ret = 0;

	if (way->irqfd)
		ret = irqfd(server.fd, domain.dom, interrupt_event, &msi, sizeof(msi));
	if (!ret && way->ioeventfd)
		ret = ioeventfd(server.fd, doorbell(&server, doorbell_event, 0));
	for (unsigned int i = 0; !ret && i < WARM + SAMPLES; i++)
		ret = round_trip(way, &ticks[i], &whole[i]);
	if (!ret && way->ioeventfd)
		ret = ioeventfd(server.fd, no_doorbell(&server, doorbell_event));
	if (!ret && way->irqfd)
		ret = no_irqfd(server.fd, domain.dom, interrupt_event);
	if (ret)
		return ret;
	report_round_trips(way->name, ticks + WARM);
	report_round_trips(way->whole_name, whole + WARM);
	return 0;
}

static int set_up(void)
{
	int ret = guest_create(&domain, VCPUS);

	if (ret)
		return ret;
	interrupt_event = eventfd(0, EFD_CLOEXEC);
	doorbell_event = eventfd(0, EFD_CLOEXEC);
	return server_start(&server, &domain);
}

int main(int argc, char **argv)
{
	static const struct way ways[] = {
		{ .name = "dm_op_evtchn", .whole_name = "dm_op_evtchn_whole" },
		{ .name = "irqfd_evtchn", .whole_name = "irqfd_evtchn_whole", .irqfd = true },
		{ .name = "dm_op_ioeventfd", .whole_name = "dm_op_ioeventfd_whole",
		  .ioeventfd = true },
		{ .name = "irqfd_ioeventfd", .whole_name = "irqfd_ioeventfd_whole",
		  .irqfd = true, .ioeventfd = true },
	};
	int ret;

	in_time = argc == 2 && !strcmp(argv[1], "latency");
	if (argc > 1 && !in_time) {
		fprintf(stderr, "usage: bench_eventfd [latency]\n");
		return EXIT_FAILURE;
	}
	ret = set_up();
	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	for (size_t i = 0; !ret && i < ARRAY_SIZE(ways); i++) {
		if (!ways[i].ioeventfd || !on_stock_driver() || on_auto_translated()) {
			ret = measure(&ways[i]);
			continue;
		}
		report_missing(ways[i].name, CRASHES_STOCK);
		report_missing(ways[i].whole_name, CRASHES_STOCK);
	}
	server_destroy(&server);
	guest_destroy(&domain);
	if (ret)
		fprintf(stderr, "bench_eventfd: %s\n", strerror(-ret));
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
