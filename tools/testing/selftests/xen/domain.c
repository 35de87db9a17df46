// SPDX-License-Identifier: GPL-2.0-only
/*
 * Domains to ask about and to map: shells that are never started, and that have
 * memory only if they are given some.
 *
 * A test that fails or hangs is killed before it can clean up, and a domain
 * outlives its creator.  The domains are therefore listed in memory shared with
 * the process that started the tests, which destroys at its exit what is left;
 * and with another one, which does that when they were all killed.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xen/features.h>
#include <xencall.h>
#include <xenctrl.h>
#include <xen/hvm/params.h>
#include <xendevicemodel.h>

#include "domain.h"

#define MAX_DOMAINS 1100

/* 0 (that is dom0) marks a free entry. */
static domid_t *alive;
static pid_t owner;

/* Of each domain that was created: the hypervisor tells it nobody but DM_OP. */
static unsigned char *vcpus_of;

static void replace(domid_t old, domid_t new)
{
	for (int i = 0; i < MAX_DOMAINS; i++) {
		if (alive[i] == old) {
			alive[i] = new;
			return;
		}
	}
	fprintf(stderr, "# no entry for domain %u among %u\n", new ?: old,
		MAX_DOMAINS);
}

static void destroy_listed(void)
{
	for (int i = 0; i < MAX_DOMAINS; i++) {
		domid_t domid = alive[i];

		if (domid && domain_destroy(domid))
			fprintf(stderr, "# domain %u is left over\n", domid);
	}
}

static void destroy_all(void)
{
	if (getpid() == owner)
		destroy_listed();
}

/* Waits for the end of all who have the other end of the pipe: whoever makes domains. */
static void watch(int end)
{
	char byte;

	/* What ends them by a name, a terminal or a group does not end this. */
	setsid();
	prctl(PR_SET_NAME, "domain-watcher");
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_IGN);
	while (read(end, &byte, 1) < 0 && errno == EINTR)
		;
	destroy_listed();
}

/* Above those that tests open; nobody but the watcher has a use for it. */
#define PIPE_FD 300

/* Nobody's child, so that no test waits for it. */
static void start_watcher(void)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return;
	child = fork();
	if (!child) {
		close(ends[1]);
		if (!fork())
			watch(ends[0]);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	fcntl(ends[1], F_DUPFD_CLOEXEC, PIPE_FD);
	close(ends[0]);
	close(ends[1]);
}

static void __attribute__((constructor)) list_domains(void)
{
	alive = mmap(NULL, MAX_DOMAINS * sizeof(*alive) + DOMID_FIRST_RESERVED,
		     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (alive == MAP_FAILED) {
		perror("cannot share the list of domains");
		exit(EXIT_FAILURE);
	}
	vcpus_of = (unsigned char *)(alive + MAX_DOMAINS);
	owner = getpid();
	atexit(destroy_all);
	start_watcher();
}

/*
 * A handle of libxenctrl does not survive a fork (its buffers stay with the
 * parent), so each call opens its own.
 */
static xc_interface *xc_open(void)
{
	return xc_interface_open(NULL, NULL, 0);
}

bool on_auto_translated(void)
{
	FILE *file = fopen("/sys/hypervisor/properties/features", "r");
	unsigned int features = 0;

	if (file) {
		if (fscanf(file, "%x", &features) != 1)
			features = 0;
		fclose(file);
	}
	return features & 1U << XENFEAT_auto_translated_physmap;
}

#ifdef XEN_X86_EMU_ALL

static void configure(struct xen_domctl_createdomain *config, enum domain_type type)
{
	if (type == DOMAIN_PV)
		return;
	config->flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
	config->arch.emulation_flags = XEN_X86_EMU_LAPIC;
	if (type == DOMAIN_HVM)
		config->arch.emulation_flags = XEN_X86_EMU_ALL & ~XEN_X86_EMU_VPCI;
}

bool domain_can_be(enum domain_type type)
{
	return type >= DOMAIN_HVM && type <= DOMAIN_PV;
}

static void prepare_memory(xc_interface *xch, domid_t domid)
{
	(void)xch;
	(void)domid;
}

#else

static void configure(struct xen_domctl_createdomain *config, enum domain_type type)
{
	if (type == DOMAIN_PV)
		return;
	config->flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
	config->arch.gic_version = XEN_DOMCTL_CONFIG_GIC_NATIVE;
	/* From number 32 on. */
	config->arch.nr_spis = 64;
}

/* There is one kind, which stands for both of those that are not PV. */
bool domain_can_be(enum domain_type type)
{
	return type != DOMAIN_PV;
}

/*
 * For page tables, for which a domain has no memory on Xen 4.20; and a domain
 * with memory stays a 32-bit one.  If this fails where it is needed, what follows
 * does too.
 */
static void prepare_memory(xc_interface *xch, domid_t domid)
{
	struct xen_domctl mode = {
		.cmd = XEN_DOMCTL_set_address_size,
		.domain = domid,
		.u.address_size.size = 64,
	};

	xc_set_paging_mempool_size(xch, domid, 1 << 20);
	xc_domctl(xch, &mode);
}

#endif

int domain_create(enum domain_type type, unsigned int vcpus)
{
	/* Xen chooses. */
	return domain_create_as(type, vcpus, 0);
}

int domain_create_as(enum domain_type type, unsigned int vcpus, domid_t wanted)
{
	struct xen_domctl_createdomain config = {
		.max_vcpus = vcpus,
		.max_evtchn_port = -1,
		.max_grant_frames = -1,
		.max_maptrack_frames = -1,
#ifdef XEN_DOMCTL_GRANT_version
		.grant_opts = XEN_DOMCTL_GRANT_version(1),
#endif
	};
	unsigned int domid = wanted;
	xc_interface *xch;
	int err = 0;

	configure(&config, type);
	xch = xc_open();
	if (!xch)
		return -errno;
	if (xc_domain_create(xch, &domid, &config))
		err = -errno;
	else
		replace(0, domid);
	if (!err)
		vcpus_of[domid] = vcpus;
	xc_interface_close(xch);
	return err ?: (int)domid;
}

/* A domain's page tables come from a pool, which is small at first. */
static int make_room_for_tables(xc_interface *xch, domid_t domid, unsigned int pages)
{
#ifdef __aarch64__
	return xc_set_paging_mempool_size(xch, domid, (pages / 512 + 64) * XC_PAGE_SIZE);
#else
	/* What x86 has at first is enough for a quarter of a GiB. */
	struct xen_domctl room = {
		.cmd = XEN_DOMCTL_shadow_op,
		.domain = domid,
		.u.shadow_op = {
			.op = XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION,
			.mb = 2 + pages / 65536,
		},
	};

	return pages > 65536 ? xc_domctl(xch, &room) : 0;
#endif
}

int domain_populate(domid_t domid, unsigned int pages, xen_pfn_t *frames)
{
	/* Some more, for what Xen itself needs. */
	unsigned int max_kib = pages * XC_PAGE_SIZE / 1024 + 4096;
	xc_interface *xch;
	int err = 0;

	for (unsigned int i = 0; i < pages; i++)
		frames[i] = i;

	xch = xc_open();
	if (!xch)
		return -errno;
	prepare_memory(xch, domid);
	if (xc_domain_setmaxmem(xch, domid, max_kib) ||
	    make_room_for_tables(xch, domid, pages) ||
	    xc_domain_populate_physmap_exact(xch, domid, pages, 0, 0, frames))
		err = -errno;
	xc_interface_close(xch);
	return err;
}

/* The frame of the ring by which Xen tells a pager of what is missed. */
#define PAGER_RING 1

static int page_out(xc_interface *xch, domid_t domid, xen_pfn_t frame)
{
	unsigned int port;

	return xc_domain_max_vcpus(xch, domid, 1) ||
	       xc_hvm_param_set(xch, domid, HVM_PARAM_PAGING_RING_PFN, PAGER_RING) ||
	       xc_mem_paging_enable(xch, domid, &port) ||
	       xc_mem_paging_nominate(xch, domid, frame) ||
	       xc_mem_paging_evict(xch, domid, frame) ? -errno : 0;
}

int domain_page_out(domid_t domid, xen_pfn_t frame)
{
	xc_interface *xch = xc_open();
	int err;

	if (!xch)
		return -errno;
	err = page_out(xch, domid, frame);
	xc_interface_close(xch);
	return err;
}

int domain_page_in(domid_t domid, xen_pfn_t frame, void *page)
{
	xc_interface *xch = xc_open();
	int err;

	if (!xch)
		return -errno;
	err = xc_mem_paging_load(xch, domid, frame, page) ? -errno : 0;
	xc_interface_close(xch);
	return err;
}

bool domain_exists(domid_t domid)
{
	xc_interface *xch = xc_open();
	xc_domaininfo_t info;
	bool exists;

	/* Begins with the first one from this id on. */
	exists = xch && xc_domain_getinfolist(xch, domid, 1, &info) == 1 &&
		 info.domain == domid;
	xc_interface_close(xch);
	return exists;
}

int domain_nr_vcpus(domid_t domid)
{
	if (!domid)
		return -EPERM;
	return domain_exists(domid) ? vcpus_of[domid] : -ESRCH;
}

int domain_destroy(domid_t domid)
{
	xc_interface *xch;
	int err = 0;

	xch = xc_open();
	if (!xch)
		return -errno;
	if (xc_domain_destroy(xch, domid))
		err = -errno;
	else
		replace(domid, 0);
	xc_interface_close(xch);
	return err;
}

static int multicall(xencall_handle *xcall, const struct xen_domctl *op)
{
	struct xen_domctl *domctl = xencall_alloc_buffer(xcall, sizeof(*domctl));
	struct multicall_entry *call = xencall_alloc_buffer(xcall, sizeof(*call));
	int err = -ENOMEM;

	if (domctl && call) {
		*domctl = *op;
		*call = (struct multicall_entry) {
			.op = __HYPERVISOR_domctl,
			.args = { (uintptr_t)domctl },
		};
		err = xencall2(xcall, __HYPERVISOR_multicall, (uintptr_t)call, 1) ?
			-errno : (int)call->result;
	}
	xencall_free_buffer(xcall, call);
	xencall_free_buffer(xcall, domctl);
	return err;
}

int domain_destroy_by_multicall(domid_t domid)
{
	const struct xen_domctl op = {
		.cmd = XEN_DOMCTL_destroydomain,
		.interface_version = XEN_DOMCTL_INTERFACE_VERSION,
		.domain = domid,
	};
	xencall_handle *xcall = xencall_open(NULL, 0);
	int err;

	if (!xcall)
		return -errno;
	err = multicall(xcall, &op);
	if (!err)
		replace(domid, 0);
	xencall_close(xcall);
	return err;
}

long host_pages(void)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xc_domaininfo_t dom0;
	xc_physinfo_t info;
	long pages;

	if (!xch)
		return -errno;
	if (xc_physinfo(xch, &info) || xc_domain_getinfolist(xch, 0, 1, &dom0) != 1)
		pages = -errno;
	else
		pages = info.free_pages + dom0.tot_pages;
	xc_interface_close(xch);
	return pages;
}

int library_nr_vcpus(domid_t domid)
{
	xendevicemodel_handle *dmod = xendevicemodel_open(NULL, 0);
	unsigned int vcpus = 0;
	int ret;

	if (!dmod)
		return -errno;
	ret = xendevicemodel_nr_vcpus(dmod, domid, &vcpus) ? -errno : (int)vcpus;
	xendevicemodel_close(dmod);
	return ret;
}
