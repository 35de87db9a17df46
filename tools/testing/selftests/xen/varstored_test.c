// SPDX-License-Identifier: GPL-2.0-only
/*
 * What varstored does, the store of UEFI variables of XenServer and XCP-ng, by the same
 * calls of Xen's libraries in the same order: it restricts its handles, asks for the
 * vCPUs, maps the ioreq pages by the frames that Xen names, goes into its sandbox, and
 * maps the guest's memory for each request.
 */

#include "common.h"
#include "guest.h"

#include <dlfcn.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <xen/hvm/dm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xentoolcore.h>

#define VCPUS	3
#define ROUNDS	5
#define UID	1234

/* The guest writes 0 to it, which is the number of a frame to varstored. */
#define PORT	(DEVICE_PORTS + 8)

/* How many frames varstored maps from there on. */
#define FRAMES	16

/* Two frames for the ioreq pages, which a toolstack names and Xen hands out. */
#define SPECIAL	0xfeff8
#define SPECIALS 2

/* Of the guest's program, which is in the frames that are mapped. */
static unsigned char program[64];

struct varstored {
	xendevicemodel_handle *dmod;
	xenforeignmemory_handle *fmem;
	xenevtchn_handle *xce;
	domid_t dom;
	unsigned int vcpus;
	ioservid_t server;
	shared_iopage_t *page;
	buffered_iopage_t *buffered;
	int ports[VCPUS];
	int buffered_port;
	unsigned int commands;
};

static int ends;

static void end(int signal)
{
	(void)signal;
	__atomic_store_n(&ends, 1, __ATOMIC_SEQ_CST);
}

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "# varstored: %s: %s\n", what, strerror(errno));
	_exit(1);
}

#define REQUIRE(good) require(good, #good)

static void *map(const struct varstored *store, unsigned int num, const xen_pfn_t *frames)
{
	return xenforeignmemory_map(store->fmem, store->dom, PROT_READ | PROT_WRITE, num,
				    frames, NULL);
}

static void set_up(struct varstored *store)
{
	xen_pfn_t frame, buffered;
	evtchn_port_t port;

	store->dmod = xendevicemodel_open(NULL, 0);
	REQUIRE(store->dmod);
	store->fmem = xenforeignmemory_open(NULL, 0);
	REQUIRE(store->fmem);
	store->xce = xenevtchn_open(NULL, 0);
	REQUIRE(store->xce);
	REQUIRE(!xentoolcore_restrict_all(store->dom));
	REQUIRE(!xendevicemodel_nr_vcpus(store->dmod, store->dom, &store->vcpus));
	REQUIRE(store->vcpus == VCPUS);

	REQUIRE(!xendevicemodel_create_ioreq_server(store->dmod, store->dom,
						    HVM_IOREQSRV_BUFIOREQ_LEGACY,
						    &store->server));
	REQUIRE(!xendevicemodel_get_ioreq_server_info(store->dmod, store->dom, store->server,
						      &frame, &buffered, &port));
	store->page = map(store, 1, &frame);
	REQUIRE(store->page);
	store->buffered = map(store, 1, &buffered);
	REQUIRE(store->buffered);
	REQUIRE(!xendevicemodel_set_ioreq_server_state(store->dmod, store->dom, store->server,
						       1));
	for (unsigned int i = 0; i < store->vcpus; i++) {
		store->ports[i] = xenevtchn_bind_interdomain(store->xce, store->dom,
							     store->page->vcpu_ioreq[i].vp_eport);
		REQUIRE(store->ports[i] >= 0);
	}
	store->buffered_port = xenevtchn_bind_interdomain(store->xce, store->dom, port);
	REQUIRE(store->buffered_port >= 0);
	REQUIRE(!xendevicemodel_map_io_range_to_ioreq_server(store->dmod, store->dom,
							     store->server, 0, PORT, PORT + 3));
}

/* As QEMU's and varstored's own: it lists what is denied, and ioctl() is not on it. */
static void enter_filter(void)
{
	static const int denied[] = {
		SCMP_SYS(reboot), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(kexec_load),
		SCMP_SYS(unshare), SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setresuid),
		SCMP_SYS(setresgid), SCMP_SYS(clone), SCMP_SYS(fork), SCMP_SYS(vfork),
		SCMP_SYS(execve), SCMP_SYS(setpriority), SCMP_SYS(sched_setscheduler),
	};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	REQUIRE(ctx);
	for (size_t i = 0; i < sizeof(denied) / sizeof(*denied); i++)
		REQUIRE(!seccomp_rule_add(ctx, SCMP_ACT_KILL, denied[i], 0));
	REQUIRE(!seccomp_load(ctx));
	seccomp_release(ctx);
}

static void drop_privileges(void)
{
	const struct rlimit size = { 256 * 1024, 256 * 1024 }, processes = { 1, 1 };
	char dir[] = "/tmp/varstored-XXXXXX";
	const gid_t group = UID;

	REQUIRE(mkdtemp(dir) && !chdir(dir) && !rmdir(dir) && !chroot("."));
	REQUIRE(!unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS));
	REQUIRE(!setgid(group) && !setgroups(1, &group));
	REQUIRE(!setuid(UID) && setuid(0));
	REQUIRE(!setrlimit(RLIMIT_FSIZE, &size) && !setrlimit(RLIMIT_NPROC, &processes));
	enter_filter();
}

/* What varstored does not do, and could: it keeps what it ends by, and mapping. */
static void limit(const struct varstored *store)
{
	int (*limit_model)(xendevicemodel_handle *dmod, uint64_t operations) =
		dlsym(RTLD_DEFAULT, "xendevicemodel_limit");
	int (*limit_memory)(xenforeignmemory_handle *fmem, uint32_t resources,
			    unsigned int flags) =
		dlsym(RTLD_DEFAULT, "xenforeignmemory_limit");
	const int answer = on_stock_driver() ? -ENOTTY : 0;
	ioservid_t server;

	/* Debian's libraries have neither. */
	if (!limit_model || !limit_memory)
		return;
	REQUIRE(answer == (limit_model(store->dmod,
				       1ULL << XEN_DMOP_unmap_io_range_from_ioreq_server |
				       1ULL << XEN_DMOP_set_ioreq_server_state |
				       1ULL << XEN_DMOP_destroy_ioreq_server) ? -errno : 0));
	REQUIRE(answer == (limit_memory(store->fmem, 0, 0) ? -errno : 0));
	if (!answer)
		REQUIRE(xendevicemodel_create_ioreq_server(store->dmod, store->dom, 0, &server) &&
			errno == EPERM);
}

static void take_command(struct varstored *store, xen_pfn_t frame)
{
	xen_pfn_t frames[FRAMES];
	char *memory;

	for (unsigned int i = 0; i < FRAMES; i++)
		frames[i] = frame + i;
	memory = map(store, FRAMES, frames);
	REQUIRE(memory);
	REQUIRE(!memcmp(memory + GUEST_START, program, sizeof(program)));
	REQUIRE(!xenforeignmemory_unmap(store->fmem, memory, FRAMES));
	store->commands++;
}

static void answer(struct varstored *store, unsigned int vcpu)
{
	struct ioreq *request = &store->page->vcpu_ioreq[vcpu];

	if (request->state != STATE_IOREQ_READY)
		return;
	__sync_synchronize();
	request->state = STATE_IOREQ_INPROCESS;
	if (request->type == IOREQ_TYPE_PIO && request->dir == IOREQ_WRITE)
		take_command(store, request->data);
	__sync_synchronize();
	request->state = STATE_IORESP_READY;
	__sync_synchronize();
	REQUIRE(!xenevtchn_notify(store->xce, store->ports[vcpu]));
}

static void serve(struct varstored *store)
{
	struct pollfd fd = { .fd = xenevtchn_fd(store->xce), .events = POLLIN };

	/* It looks at the slots again after a second: Linux loses a wake-up now and then. */
	while (!__atomic_load_n(&ends, __ATOMIC_SEQ_CST)) {
		if (poll(&fd, 1, 1000) > 0) {
			int port = xenevtchn_pending(store->xce);

			REQUIRE(port >= 0 && !xenevtchn_unmask(store->xce, port));
		}
		for (unsigned int i = 0; i < store->vcpus; i++)
			answer(store, i);
	}
}

static void tear_down(struct varstored *store)
{
	REQUIRE(!xendevicemodel_unmap_io_range_from_ioreq_server(store->dmod, store->dom,
								 store->server, 0, PORT,
								 PORT + 3));
	REQUIRE(!xenevtchn_unbind(store->xce, store->buffered_port));
	for (unsigned int i = 0; i < store->vcpus; i++)
		REQUIRE(!xenevtchn_unbind(store->xce, store->ports[i]));
	REQUIRE(!xendevicemodel_set_ioreq_server_state(store->dmod, store->dom, store->server,
						       0));
	REQUIRE(!xenforeignmemory_unmap(store->fmem, store->buffered, 1));
	REQUIRE(!xenforeignmemory_unmap(store->fmem, store->page, 1));
	REQUIRE(!xendevicemodel_destroy_ioreq_server(store->dmod, store->dom, store->server));
	REQUIRE(!xendevicemodel_close(store->dmod));
	REQUIRE(!xenforeignmemory_close(store->fmem));
	REQUIRE(!xenevtchn_close(store->xce));
}

static void varstored(domid_t dom, bool limits, int output)
{
	struct varstored store = { .dom = dom };
	char ready = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, end);
	set_up(&store);
	drop_privileges();
	if (limits)
		limit(&store);
	REQUIRE(write(output, &ready, sizeof(ready)) == sizeof(ready));
	serve(&store);
	tear_down(&store);
	REQUIRE(write(output, &store.commands, sizeof(store.commands)) == sizeof(store.commands));
	_exit(0);
}

/* What a toolstack does to a domain that has a device model. */
static int prepare_for_servers(domid_t dom)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	xen_pfn_t frames[SPECIALS];
	int ret = 0;

	if (!xch)
		return -errno;
	for (unsigned int i = 0; i < SPECIALS; i++)
		frames[i] = SPECIAL + i;
	if (xc_domain_populate_physmap_exact(xch, dom, SPECIALS, 0, 0, frames) ||
	    xc_hvm_param_set(xch, dom, HVM_PARAM_IOREQ_SERVER_PFN, SPECIAL) ||
	    xc_hvm_param_set(xch, dom, HVM_PARAM_NR_IOREQ_SERVER_PAGES, SPECIALS))
		ret = -errno;
	xc_interface_close(xch);
	return ret;
}

FIXTURE(varstored)
{
	struct guest guest;
	pid_t pid;
	int output;
};

FIXTURE_VARIANT(varstored)
{
	bool limits;
};

FIXTURE_VARIANT_ADD(varstored, as_it_is)
{
};

FIXTURE_VARIANT_ADD(varstored, that_limits_its_handles)
{
	.limits = true,
};

FIXTURE_SETUP(varstored)
{
	int pipes[2];

	ASSERT_EQ(0, guest_create(&self->guest, VCPUS));
	memset(self->guest.orders->start, 1, VCPUS);
	self->guest.orders->rounds = ROUNDS;
	memcpy(program, self->guest.memory + GUEST_START, sizeof(program));
	ASSERT_EQ(0, prepare_for_servers(self->guest.dom));
	ASSERT_EQ(0, pipe2(pipes, O_CLOEXEC));
	self->output = pipes[0];
	self->pid = fork();
	ASSERT_LE(0, self->pid);
	if (!self->pid)
		varstored(self->guest.dom, variant->limits, pipes[1]);
	close(pipes[1]);
}

FIXTURE_TEARDOWN(varstored)
{
	kill(self->pid, SIGKILL);
	waitpid(self->pid, NULL, 0);
	EXPECT_EQ(0, guest_destroy(&self->guest));
}

TEST_F(varstored, serves_its_guest)
{
	unsigned int commands;
	int status;
	char ready;

	ASSERT_EQ(sizeof(ready), read(self->output, &ready, sizeof(ready)));
	ASSERT_EQ(0, guest_run(&self->guest));
	EXPECT_TRUE(guest_finishes(&self->guest));
	ASSERT_EQ(0, kill(self->pid, SIGTERM));
	ASSERT_EQ(sizeof(commands), read(self->output, &commands, sizeof(commands)));
	/* Each vCPU writes to the port once in a round. */
	EXPECT_EQ(VCPUS * ROUNDS, commands);
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
