// SPDX-License-Identifier: GPL-2.0-only
/*
 * What grows with numbers: of domains that are held, each by a file, and of a file's
 * doorbells.  Counted, and printed, as bench.c does; a name ends with the number.
 *
 * The guest has the most vCPUs that a page of an ioreq server has slots for.
 */

#define VCPUS	128

#include "bench.h"
#include "eventfd.h"

#include <sys/resource.h>

#define MOST_DOMAINS	1000
#define MOST_DOORBELLS	1024
#define SAMPLES		100
#define WARM		10

/* In microseconds: the guest has answered and halts. */
#define REST		2000

static uint64_t middle(uint64_t *ticks)
{
	sort_ticks(ticks, SAMPLES);
	return ticks[SAMPLES / 2];
}

static void report_for(const char *what, unsigned int nr, uint64_t ticks)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%u", what, nr);
	report(name, &ticks, 1, 1);
}

/* ---- Domains ---- */

static int doms[MOST_DOMAINS], fds[MOST_DOMAINS];

/* The first one answers; Xen takes less memory for the others. */
static int hold(unsigned int i)
{
	doms[i] = domain_create(i ? DOMAIN_PV : DOMAIN_PVH, 1);
	fds[i] = privcmd_open();
	return doms[i] < 0 ? doms[i] : fds[i] < 0 ? fds[i] : restrict_to(fds[i], doms[i]);
}

static int ask_typed(int fd, domid_t dom)
{
	struct privcmd_dm_nr_vcpus arg = { .dom = dom };

	return request(fd, IOCTL_PRIVCMD_DM_NR_VCPUS, &arg);
}

enum { ASK, SECOND_FILE, FIRST_FILE, CLOSE, NR_COSTS };

/* By the file that came first; then one more of its domain, and the only one of another. */
static int sample_domains(int free_dom, uint64_t *least)
{
	uint64_t ticks[NR_COSTS][WARM + SAMPLES], start;
	int ret = 0;

	for (unsigned int i = 0; i < WARM + SAMPLES && !ret; i++) {
		int fd = privcmd_open(), other = privcmd_open();

		start = counter();
		ret = ask_typed(fds[0], doms[0]);
		ticks[ASK][i] = counter() - start;
		start = counter();
		ret = ret ?: restrict_to(fd, doms[0]);
		ticks[SECOND_FILE][i] = counter() - start;
		start = counter();
		ret = ret ?: restrict_to(other, free_dom);
		ticks[FIRST_FILE][i] = counter() - start;
		close(fd);
		start = counter();
		close(other);
		ticks[CLOSE][i] = counter() - start;
	}
	for (unsigned int i = 0; i < NR_COSTS && !ret; i++) {
		uint64_t cost = middle(ticks[i] + WARM);

		least[i] = cost < least[i] ? cost : least[i];
	}
	return ret;
}

/* Now and then one more or less has the allocator take and return a page each time. */
static int measure_domains(unsigned int nr, int free_dom, int spare_dom)
{
	static const char *const names[] = {
		"dm_nr_vcpus_of_domains", "restrict_second_file_of_domains",
		"restrict_first_file_of_domains", "close_last_file_of_domains",
	};
	uint64_t least[NR_COSTS];
	int spare, ret;

	memset(least, 0xff, sizeof(least));
	ret = sample_domains(free_dom, least);
	spare = privcmd_open();
	ret = ret ?: restrict_to(spare, spare_dom) ?: sample_domains(free_dom, least);
	close(spare);
	for (unsigned int i = 0; i < NR_COSTS && !ret; i++)
		report_for(names[i], nr, least[i]);
	return ret;
}

static int measure_all_domains(void)
{
	const struct rlimit limit = { MOST_DOMAINS + 100, MOST_DOMAINS + 100 };
	int free_dom = domain_create(DOMAIN_PVH, 1);
	int spare_dom = domain_create(DOMAIN_PVH, 1);
	int ret = free_dom < 0 || spare_dom < 0 || setrlimit(RLIMIT_NOFILE, &limit) ? -ENOMEM : 0;
	unsigned int held = 0;

	for (unsigned int nr = 1; nr <= MOST_DOMAINS && !ret; nr *= 10) {
		while (held < nr && !ret)
			ret = hold(held++);
		ret = ret ?: measure_domains(nr, free_dom, spare_dom);
	}
	for (unsigned int i = 0; i < held; i++) {
		close(fds[i]);
		domain_destroy(doms[i]);
	}
	return ret;
}

/* ---- Doorbells ---- */

static struct guest domain;
static struct server server = { .fd = -1 };

static int interrupt(void)
{
	struct xen_dm_op msi = {
		.op = XEN_DMOP_inject_msi,
		.u.inject_msi = { .addr = 0xfee00000, .data = GUEST_INTERRUPT },
	};
	struct privcmd_dm_op_buf buf = { .uptr = &msi, .size = sizeof(msi) };

	return dm_op(server.fd, domain.dom, 1, &buf);
}

static int round_trip(int event, uint64_t *ticks)
{
	uint64_t start;
	int ret;

	usleep(REST);
	start = counter();
	ret = interrupt();
	if (!ret && count_of(event) != 1)
		ret = -EPROTO;
	*ticks = counter() - start;
	if (ret)
		return ret;
	if (xenevtchn_pending(server.xce) != (int)server.ports[0])
		return -EPROTO;
	return xenevtchn_unmask(server.xce, server.ports[0]) ? -errno : 0;
}

/* The one that the guest rings is the last, behind others that differ in what is written. */
static int measure_doorbells(unsigned int nr)
{
	static int events[MOST_DOORBELLS];
	uint64_t ticks[WARM + SAMPLES], added = 0, start;
	int ret = 0;

	for (unsigned int i = 0; i < nr && !ret; i++) {
		events[i] = eventfd(0, EFD_CLOEXEC);
		start = counter();
		ret = ioeventfd(server.fd, doorbell(&server, events[i], nr - 1 - i));
		added = counter() - start;
	}
	for (unsigned int i = 0; i < WARM + SAMPLES && !ret; i++)
		ret = round_trip(events[nr - 1], &ticks[i]);
	if (!ret) {
		report_for("round_trip_of_doorbells", nr, middle(ticks + WARM));
		/* The first one binds the event channels. */
		if (nr > 1)
			report_for("ioeventfd_last_of_doorbells", nr, added);
	}
	for (unsigned int i = 0; i < nr; i++) {
		ret = ret ?: ioeventfd(server.fd, no_doorbell(&server, events[i]));
		close(events[i]);
	}
	return ret;
}

int main(void)
{
	int ret;

	setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
	ret = measure_all_domains();
	ret = ret ?: guest_create(&domain, VCPUS) ?: server_start(&server, &domain);
	for (unsigned int nr = 1; nr <= MOST_DOORBELLS && !ret; nr *= nr == 64 ? 16 : 8)
		ret = measure_doorbells(nr);
	server_destroy(&server);
	guest_destroy(&domain);
	if (ret)
		fprintf(stderr, "bench_scale: %s\n", strerror(-ret));
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
