// SPDX-License-Identifier: GPL-2.0-only
/*
 * samples/xen/emulator is in the sandbox that it says, can do nothing to other
 * domains, and is not impressed by what it finds in the pages that it shares.
 */

#include "common.h"
#include "emulator.h"
#include "guest.h"
#include "limits.h"
#include "mapping.h"

#include <dirent.h>
#include <grp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <xendevicemodel.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/sys/evtchn.h>

#define OWN_VCPUS	3
#define OTHER_VCPUS	2
#define ROUNDS		3

/* Two guests, each with an emulator. */
FIXTURE(sandbox)
{
	struct guest guests[2];
	struct emulator emulators[2];
};

FIXTURE_SETUP(sandbox)
{
	static const unsigned int vcpus[] = { OWN_VCPUS, OTHER_VCPUS };
	const gid_t group = 1000;

	/* For the emulators to inherit, which must not keep them. */
	ASSERT_LE(0, open("/", O_RDONLY));
	ASSERT_EQ(0, setgroups(1, &group));
	for (int i = 0; i < 2; i++) {
		struct guest *guest = &self->guests[i];

		ASSERT_EQ(0, guest_create(guest, vcpus[i]));
		memset(guest->orders->start, 1, vcpus[i]);
		guest->orders->scratch = 1;
		guest->orders->rounds = ROUNDS;
		EMULATOR_START(&self->emulators[i], "--uid=1234", guest->text);
		ASSERT_TRUE(self->emulators[i].ready) {
			TH_LOG("%s", self->emulators[i].err);
		}
	}
}

FIXTURE_TEARDOWN(sandbox)
{
	for (int i = 0; i < 2; i++) {
		emulator_end(&self->emulators[i], SIGKILL);
		EXPECT_EQ(0, guest_destroy(&self->guests[i]));
	}
}

TEST_F(sandbox, is_what_it_should_be)
{
	const pid_t pids[] = {
		self->emulators[0].pid,
		self->emulators[0].worker,
	};
	char network[64];

	snprintf(network, sizeof(network), "%s", proc_link(getpid(), "ns/net"));
	EXPECT_NE('\0', network[0]);
	EXPECT_NE(pids[0], pids[1]);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		pid_t pid = pids[i];
		const char *root;

		EXPECT_STREQ("1234\t1234\t1234\t1234", proc_status(pid, "Uid"));
		EXPECT_STREQ("1234\t1234\t1234\t1234", proc_status(pid, "Gid"));
		EXPECT_STREQ("", proc_status(pid, "Groups"));
		EXPECT_STREQ("0000000000000000", proc_status(pid, "CapPrm"));
		EXPECT_STREQ("0000000000000000", proc_status(pid, "CapEff"));
		EXPECT_STREQ("0000000000000000", proc_status(pid, "CapInh"));
		EXPECT_STREQ("0000000000000000", proc_status(pid, "CapAmb"));
		EXPECT_STREQ("1", proc_status(pid, "NoNewPrivs"));
		EXPECT_STREQ("2", proc_status(pid, "Seccomp"));
		root = strstr(proc_link(pid, "root"), " (deleted)");
		EXPECT_NE(NULL, root);
		EXPECT_EQ(0, strncmp("net:", proc_link(pid, "ns/net"), 4));
		EXPECT_STRNE(network, proc_link(pid, "ns/net"));
	}
}

/* Answers with the next open file's number, or -1. */
static int next_file(DIR *dir)
{
	struct dirent *entry;

	do {
		entry = readdir(dir);
		if (!entry)
			return -1;
	} while (entry->d_name[0] == '.');
	return atoi(entry->d_name);
}

static DIR *open_files(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	return opendir(path);
}

static const char *file_name(pid_t pid, int fd)
{
	char name[32];

	snprintf(name, sizeof(name), "fd/%d", fd);
	return proc_link(pid, name);
}

/* This process's copy of another's file. */
static int copy_file(pid_t pid, int fd)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	int copy = syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	close(pidfd);
	return copy;
}

/* Whether it is the keeper's or the worker's to have. */
static bool is_expected(const char *name)
{
	return !strcmp(name, "/dev/null") ||
	       !strcmp(name, "/dev/xen/privcmd") ||
	       !strcmp(name, "/dev/xen/evtchn") ||
	       !strcmp(name, "/dev/xen/hypercall") ||
	       !strncmp(name, "/memfd:std", 10) ||
	       !strcmp(name, "anon_inode:[signalfd]") ||
	       !strncmp(name, "pipe:", 5);
}

TEST_F(sandbox, holds_no_other_files)
{
	const pid_t pids[] = {
		self->emulators[0].pid,
		self->emulators[0].worker,
	};

	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		DIR *dir = open_files(pids[i]);
		int fd;

		ASSERT_NE(NULL, dir);
		while ((fd = next_file(dir)) >= 0) {
			EXPECT_TRUE(is_expected(file_name(pids[i], fd))) {
				TH_LOG("%s", file_name(pids[i], fd));
			}
		}
		closedir(dir);
	}
}

/* What a file of /dev/xen/privcmd cannot do that is restricted to a domain. */
static bool privcmd_does_not_reach(int fd, domid_t other)
{
	char *page = map_file(fd, 1);
	struct privcmd_mmap_resource resource = {
		.dom = other,
		.type = XENMEM_resource_ioreq_server,
		.idx = XENMEM_resource_ioreq_server_frame_ioreq(0),
		.num = 1,
		.addr = (uintptr_t)page,
	};

	return page && ask(fd, other) == -EPERM &&
	       ask_for_operation(fd, other, XEN_DMOP_inject_msi) == -EPERM &&
	       map_resource(fd, resource) == -EPERM &&
	       map_frames(fd, other, page, 0, 1) == -EPERM &&
	       hypercall_xen_version(fd) == -EPERM &&
	       restrict_to(fd, other) == (on_stock_driver() ? -EINVAL : -EPERM);
}

static bool evtchn_does_not_reach(int fd, domid_t other)
{
	struct ioctl_evtchn_bind_interdomain interdomain = {
		.remote_domain = other,
		.remote_port = 1,
	};
	struct ioctl_evtchn_bind_unbound_port unbound = {
		.remote_domain = other,
	};
	struct ioctl_evtchn_bind_virq virq = {};

	return request(fd, IOCTL_EVTCHN_BIND_INTERDOMAIN, &interdomain) == -EACCES &&
	       request(fd, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &unbound) == -EACCES &&
	       request(fd, IOCTL_EVTCHN_BIND_VIRQ, &virq) == -EACCES;
}

TEST_F(sandbox, has_files_that_reach_no_other_domain)
{
	const pid_t pids[] = {
		self->emulators[0].pid,
		self->emulators[0].worker,
	};
	domid_t other = self->guests[1].dom;
	unsigned int privcmds = 0, evtchns = 0;

	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		DIR *dir = open_files(pids[i]);
		int fd;

		ASSERT_NE(NULL, dir);
		while ((fd = next_file(dir)) >= 0) {
			const char *name = file_name(pids[i], fd);
			int copy = copy_file(pids[i], fd);

			ASSERT_LE(0, copy);
			if (!strcmp(name, PRIVCMD_DEVICE)) {
				EXPECT_TRUE(privcmd_does_not_reach(copy, other));
				privcmds++;
			} else if (!strcmp(name, "/dev/xen/evtchn")) {
				EXPECT_TRUE(evtchn_does_not_reach(copy, other));
				evtchns++;
			}
			close(copy);
		}
		closedir(dir);
	}
	/* Each one's own and two of its libraries. */
	EXPECT_EQ(6, privcmds);
	EXPECT_EQ(1, evtchns);
}

#define BIT(number) (1ULL << (number))

/* What emulator.rst says of each process. */
FIXTURE(rights)
{
	struct guest guest;
	struct emulator emulator;
	pid_t pid;
};

FIXTURE_VARIANT(rights)
{
	const char *option;
	bool keeper;
	struct privcmd_limit left;
};

FIXTURE_VARIANT_ADD(rights, of_the_keeper)
{
	.keeper = true,
	.left.commands = BIT(5),
	.left.dm_ops = BIT(XEN_DMOP_get_ioreq_server_info) |
		       BIT(XEN_DMOP_set_ioreq_server_state) |
		       BIT(XEN_DMOP_destroy_ioreq_server),
};

FIXTURE_VARIANT_ADD(rights, of_the_worker)
{
	.left.commands = BIT(5) | BIT(7) | BIT(32),
	.left.dm_ops = BIT(XEN_DMOP_inject_msi),
	.left.resources = BIT(XENMEM_resource_ioreq_server),
};

FIXTURE_VARIANT_ADD(rights, of_a_worker_without_interrupts)
{
	.option = "--no-interrupts",
	.left.commands = BIT(7) | BIT(32),
	.left.resources = BIT(XENMEM_resource_ioreq_server),
};

FIXTURE_SETUP(rights)
{
	ASSERT_EQ(0, guest_create(&self->guest, OWN_VCPUS));
	EMULATOR_START(&self->emulator, self->guest.text, variant->option);
	ASSERT_TRUE(self->emulator.ready) {
		TH_LOG("%s", self->emulator.err);
	}
	self->pid = variant->keeper ? self->emulator.pid : self->emulator.worker;
}

FIXTURE_TEARDOWN(rights)
{
	emulator_end(&self->emulator, SIGKILL);
	EXPECT_EQ(0, guest_destroy(&self->guest));
}

/* This process has no filter: what is refused, the file refuses. */
TEST_F(rights, are_few)
{
	DIR *dir = open_files(self->pid);
	unsigned int found = 0;
	int fd, copy;

	if (on_stock_driver())
		SKIP(return, NO_LIMITS);
	ASSERT_NE(NULL, dir);
	while ((fd = next_file(dir)) >= 0) {
		if (strcmp(file_name(self->pid, fd), PRIVCMD_DEVICE))
			continue;
		copy = copy_file(self->pid, fd);
		ASSERT_LE(0, copy);
		EXPECT_EQ(0, try_all(copy, self->guest.dom, &variant->left));
		close(copy);
		found++;
	}
	closedir(dir);
	EXPECT_LT(0, found);
}

TEST_F(sandbox, does_not_keep_two_from_serving_at_once)
{
	ASSERT_EQ(0, guest_run(&self->guests[0]));
	ASSERT_EQ(0, guest_run(&self->guests[1]));
	for (int i = 0; i < 2; i++) {
		struct guest *guest = &self->guests[i];

		EXPECT_TRUE(guest_finishes(guest));
		for (unsigned int vcpu = 0; guest->orders->start[vcpu]; vcpu++) {
			EXPECT_EQ(ROUNDS, guest->reports[vcpu].rounds);
			EXPECT_EQ(0, guest->reports[vcpu].wrong);
		}
	}
}

/* What inject() answers with when the process did not survive it. */
#define KILLED_BY_FILTER	(-10000)
#define NOT_INJECTED		(-10001)

#define SYSCALL_LENGTH		2
#define SYSCALL			0x050f
/* Below what a function may use without moving the stack pointer. */
#define BELOW_STACK		1024

struct call {
	long number;
	unsigned long args[6];
	/* If given, the third argument points to it. */
	const void *data;
	size_t size;
};

/* Answers with whether the process is stopped in a system call, and its registers. */
static bool stop_in_call(pid_t pid, struct user_regs_struct *regs)
{
	int status;

	return !ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) &&
	       waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status) &&
	       !ptrace(PTRACE_GETREGS, pid, NULL, regs) &&
	       (ptrace(PTRACE_PEEKTEXT, pid, regs->rip - SYSCALL_LENGTH, NULL) &
		0xffff) == SYSCALL;
}

/* It may not have come so far. */
static bool comes_to_call(pid_t pid, struct user_regs_struct *regs)
{
	bool there = stop_in_call(pid, regs);

	if (!there)
		ptrace(PTRACE_CONT, pid, NULL, NULL);
	return there;
}

/* Has a process that waits in a system call make another one. */
static long inject(pid_t pid, const struct call *call)
{
	struct user_regs_struct saved, regs;
	long ret = NOT_INJECTED;
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
		return NOT_INJECTED;
	if (!SOON(comes_to_call(pid, &saved)))
		return NOT_INJECTED;
	regs = saved;
	regs.rip -= SYSCALL_LENGTH;
	/* There is no system call to restart. */
	regs.orig_rax = -1;
	regs.rax = call->number;
	regs.rdi = call->args[0];
	regs.rsi = call->args[1];
	regs.rdx = call->args[2];
	regs.r10 = call->args[3];
	regs.r8 = call->args[4];
	regs.r9 = call->args[5];
	for (size_t i = 0; i < call->size; i += sizeof(long)) {
		long word;

		memcpy(&word, call->data + i, sizeof(word));
		regs.rdx = saved.rsp - BELOW_STACK;
		if (ptrace(PTRACE_POKEDATA, pid, regs.rdx + i, word))
			goto detach;
	}
	if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) ||
	    ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) ||
	    waitpid(pid, &status, __WALL) != pid)
		goto detach;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED_BY_FILTER :
						    NOT_INJECTED;
	if (!ptrace(PTRACE_GETREGS, pid, NULL, &regs) &&
	    !ptrace(PTRACE_SETREGS, pid, NULL, &saved))
		ret = regs.rax;
detach:
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return ret;
}

/* The first file of /dev/xen/privcmd that a process has. */
static int privcmd_of(pid_t pid)
{
	DIR *dir = open_files(pid);
	int fd;

	if (!dir)
		return -1;
	do {
		fd = next_file(dir);
	} while (fd >= 0 && strcmp(file_name(pid, fd), PRIVCMD_DEVICE));
	closedir(dir);
	return fd;
}

static long inject_ioctl(pid_t pid, unsigned int command, const void *data,
			 size_t size)
{
	struct call call = {
		.number = SYS_ioctl,
		.args = { privcmd_of(pid), command },
		.data = data,
		.size = size,
	};

	return inject(pid, &call);
}

static long inject_nr_vcpus(pid_t pid, domid_t dom)
{
	struct privcmd_dm_nr_vcpus query = { .dom = dom };

	return inject_ioctl(pid, IOCTL_PRIVCMD_DM_NR_VCPUS, &query,
			    sizeof(query));
}

/* With the one address that is sure to be no mapping: it is refused before. */
static long inject_map_resource(pid_t pid, domid_t dom, __u32 type)
{
	struct privcmd_mmap_resource resource = {
		.dom = dom,
		.type = type,
		.idx = XENMEM_resource_ioreq_server_frame_ioreq(0),
		.num = 1,
	};

	return inject_ioctl(pid, IOCTL_PRIVCMD_MMAP_RESOURCE, &resource,
			    sizeof(resource));
}

/* A page of its own, for what a request points to; its filter lets it have one. */
static unsigned long inject_page(pid_t pid)
{
	const struct call call = {
		.number = SYS_mmap,
		.args = { 0, XC_PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1 },
	};

	return inject(pid, &call);
}

static bool write_memory(pid_t pid, unsigned long addr, const void *data, size_t size)
{
	struct iovec local = { .iov_base = (void *)data, .iov_len = size };
	struct iovec remote = { .iov_base = (void *)addr, .iov_len = size };

	return process_vm_writev(pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* The page is the process's. */
static long inject_dm_op(pid_t pid, unsigned long page, domid_t dom, const struct xen_dm_op *op)
{
	const struct {
		struct privcmd_dm_op_buf buf;
		struct xen_dm_op op;
	} data = {
		.buf = {
			.uptr = (void *)(page + sizeof(data.buf)),
			.size = sizeof(data.op),
		},
		.op = *op,
	};
	const struct privcmd_dm_op arg = {
		.dom = dom,
		.num = 1,
		.ubufs = (void *)page,
	};

	if (!write_memory(pid, page, &data, sizeof(data)))
		return NOT_INJECTED;
	return inject_ioctl(pid, IOCTL_PRIVCMD_DM_OP, &arg, sizeof(arg));
}

/* The filter lets operations through; the file knows one of them. */
TEST_F(sandbox, lets_a_hijacked_worker_interrupt_its_own_domain_only)
{
	struct xen_dm_op msi = {
		.op = XEN_DMOP_inject_msi,
		.u.inject_msi = { .addr = 0xfee00000, .data = GUEST_INTERRUPT },
	};
	pid_t worker = self->emulators[0].worker;
	domid_t own = self->guests[0].dom;
	unsigned long page;

	if (on_stock_driver())
		SKIP(return, NO_LIMITS);
	page = inject_page(worker);
	ASSERT_EQ(0, page % XC_PAGE_SIZE);
	self->guests[0].orders->work[0] = GUEST_TAKES_INTERRUPTS;
	self->guests[0].orders->start[1] = 0;
	self->guests[0].orders->start[2] = 0;
	ASSERT_EQ(0, guest_run(&self->guests[0]));
	ASSERT_TRUE(guest_gets_to(&self->guests[0], 1));
	EXPECT_EQ(0, inject_dm_op(worker, page, own, &msi));
	EXPECT_TRUE(SOON(self->guests[0].reports[0].interrupts));
	EXPECT_EQ(-EPERM, inject_dm_op(worker, page, self->guests[1].dom, &msi));

	memset(&msi.u, 0xff, sizeof(msi.u));
	for (msi.op = 0; msi.op < 64; msi.op++) {
		if (msi.op == XEN_DMOP_inject_msi)
			continue;
		EXPECT_EQ(-EPERM, inject_dm_op(worker, page, own, &msi)) {
			TH_LOG("operation %u", msi.op);
		}
	}
	for (__u32 type = 1; type < 32; type++) {
		EXPECT_EQ(-EPERM, inject_map_resource(worker, own, type)) {
			TH_LOG("resource %u", type);
		}
	}
}

TEST_F(sandbox, lets_a_hijacked_worker_ask_about_its_own_domain_only)
{
	pid_t worker = self->emulators[0].worker;
	domid_t own = self->guests[0].dom, other = self->guests[1].dom;

	EXPECT_EQ(on_stock_driver() ? -ENOTTY : 0, inject_nr_vcpus(worker, own));
	EXPECT_EQ(on_stock_driver() ? -ENOTTY : -EPERM,
		  inject_nr_vcpus(worker, other));
	EXPECT_EQ(-EPERM, inject_map_resource(worker, other,
					      XENMEM_resource_ioreq_server));
	/* No harm was done. */
	ASSERT_EQ(0, guest_run(&self->guests[0]));
	EXPECT_TRUE(guest_finishes(&self->guests[0]));
	EXPECT_EQ(0, self->guests[0].reports[0].wrong);
}

#define CALL(name, ...)	.call = { .number = SYS_##name, .args = { __VA_ARGS__ } }

enum process {
	KEEPER = 1,
	WORKER = 2,
	INTERRUPTING_WORKER = 4,
	WORKERS = WORKER | INTERRUPTING_WORKER,
};

/* None of these needs to succeed: the filter comes first. */
static const struct {
	struct call call;
	/* An enum process, or several. */
	unsigned int allowed_to;
} forbidden[] = {
	{ CALL(ioctl, -1, IOCTL_PRIVCMD_HYPERCALL) },
	{ CALL(ioctl, -1, IOCTL_PRIVCMD_RESTRICT) },
	{ CALL(ioctl, -1, IOCTL_PRIVCMD_MMAPBATCH_V2) },
	{ CALL(ioctl, -1, IOCTL_EVTCHN_BIND_VIRQ) },
	{ CALL(openat, AT_FDCWD) },
	{ CALL(socket, AF_UNIX, SOCK_STREAM) },
	{ CALL(clone, SIGCHLD) },
	{ CALL(execve, 0) },
	{ CALL(kill, 1, 0) },
	{ CALL(ptrace, 0) },
	{ CALL(mmap, 0, XC_PAGE_SIZE, PROT_READ | PROT_EXEC,
	       MAP_PRIVATE | MAP_ANONYMOUS, -1) },
	{ CALL(mprotect, 0, XC_PAGE_SIZE, PROT_EXEC) },
	{ CALL(ioctl, -1, IOCTL_PRIVCMD_LIMIT), .allowed_to = KEEPER },
	{ CALL(ioctl, -1, IOCTL_PRIVCMD_DM_OP), .allowed_to = KEEPER | INTERRUPTING_WORKER },
	{ CALL(ioctl, -1, IOCTL_PRIVCMD_DM_NR_VCPUS), .allowed_to = WORKERS },
	{ CALL(read, -1), .allowed_to = WORKERS },
};

FIXTURE(filter)
{
	struct guest guest;
	struct emulator emulator;
};

FIXTURE_VARIANT(filter)
{
	enum process process;
	const char *option;
};

FIXTURE_VARIANT_ADD(filter, of_the_worker)
{
	.process = INTERRUPTING_WORKER,
};

FIXTURE_VARIANT_ADD(filter, of_a_worker_without_interrupts)
{
	.process = WORKER,
	.option = "--no-interrupts",
};

FIXTURE_VARIANT_ADD(filter, of_the_keeper)
{
	.process = KEEPER,
};

FIXTURE_SETUP(filter)
{
	ASSERT_EQ(0, guest_create(&self->guest, OWN_VCPUS));
}

FIXTURE_TEARDOWN(filter)
{
	emulator_end(&self->emulator, SIGKILL);
	EXPECT_EQ(0, guest_destroy(&self->guest));
}

TEST_F(filter, kills_for_all_else)
{
	char adopt[32] = "--uid=65534";
	struct emulator *emulator = &self->emulator;
	bool keeper = variant->process == KEEPER;

	if (variant->process == INTERRUPTING_WORKER && on_stock_driver())
		SKIP(return, NO_LIMITS);
	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		if (forbidden[i].allowed_to & variant->process)
			continue;
		EMULATOR_START(emulator, adopt, self->guest.text, variant->option);
		ASSERT_TRUE(emulator->ready) {
			TH_LOG("%s", emulator->err);
		}
		EXPECT_EQ(KILLED_BY_FILTER,
			  inject(keeper ? emulator->pid : emulator->worker,
				 &forbidden[i].call)) {
			TH_LOG("call no. %zu", i);
		}
		if (keeper) {
			/* A child of this process, whose end inject() has seen. */
			emulator->pid = 0;
			EXPECT_TRUE(proc_ends(emulator->worker));
		} else {
			EXPECT_EQ(EMULATOR_WORKER_DIED,
				  emulator_wait(emulator));
		}
		snprintf(adopt, sizeof(adopt), "--adopt=%u", emulator->server);
	}
}

/*
 * A guest that does not run, and an ioreq server that is as the test wants it
 * when the emulator adopts it: Xen does not look there.
 */
FIXTURE(page)
{
	struct guest guest;
	struct emulator emulator;
	xendevicemodel_handle *dmod;
	struct ioreq *slots;
	char server[32];
};

#define SLOTS		128
#define SCRATCH		0x10
#define ALL_ONES	0xffffffffffffffffULL
/* What a request holds as data before it is answered. */
#define ASKED		0x5a5a5a5a5a5a5a5aULL

static struct ioreq *map_slots(domid_t dom, ioservid_t id)
{
	xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
	void *addr = NULL;

	if (fmem)
		xenforeignmemory_map_resource(fmem, dom,
					      XENMEM_resource_ioreq_server, id,
					      XENMEM_resource_ioreq_server_frame_ioreq(0),
					      1, &addr, PROT_READ | PROT_WRITE,
					      0);
	return addr;
}

FIXTURE_SETUP(page)
{
	ioservid_t id;

	ASSERT_EQ(0, guest_create(&self->guest, SLOTS));
	self->dmod = xendevicemodel_open(NULL, 0);
	ASSERT_NE(NULL, self->dmod);
	ASSERT_EQ(0, xendevicemodel_create_ioreq_server(self->dmod,
							self->guest.dom,
							HVM_IOREQSRV_BUFIOREQ_OFF,
							&id));
	self->slots = map_slots(self->guest.dom, id);
	ASSERT_NE(NULL, self->slots);
	ASSERT_EQ(0, xendevicemodel_set_ioreq_server_state(self->dmod,
							   self->guest.dom, id,
							   1));
	snprintf(self->server, sizeof(self->server), "--adopt=%u", id);
}

FIXTURE_TEARDOWN(page)
{
	emulator_end(&self->emulator, SIGKILL);
	EXPECT_EQ(0, guest_destroy(&self->guest));
}

struct request {
	uint8_t state;
	uint8_t type;
	uint8_t dir;
	uint8_t df;
	uint8_t data_is_ptr;
	uint32_t size;
	uint32_t count;
	uint64_t addr;
	/* Afterwards. */
	uint64_t data;
};

#define REQUEST(direction, size_, addr_, data_) {			\
	.state = STATE_IOREQ_READY, .type = IOREQ_TYPE_COPY,		\
	.dir = (direction), .count = 1, .size = (size_), .addr = (addr_),	\
	.data = (data_)							\
}

#define READ(size, offset, data)					\
	REQUEST(IOREQ_READ, size, DEVICE_MEMORY + (offset), data)

#define BAD(...) {							\
	.state = STATE_IOREQ_READY, .type = IOREQ_TYPE_COPY,		\
	.dir = IOREQ_READ, .count = 1, .size = 4, .addr = DEVICE_MEMORY,	\
	.data = ALL_ONES, __VA_ARGS__					\
}

#pragma GCC diagnostic push
/* A bad request is a good one, overridden in part. */
#pragma GCC diagnostic ignored "-Woverride-init"

/* Each has a slot of its own, and is answered as the comment on the device says. */
static const struct request requests[] = {
	/* Good ones, and that the slot's number is the vCPU's. */
	READ(1, 0x00, 'X'), READ(2, 0x01, 0x4d45), READ(4, 0x00, 0x554d4558),
	READ(4, 0x08, 3), READ(1, 0x08, 4), READ(8, 0x08, 0xffffffff00000005),
	READ(8, SCRATCH, 0), READ(4, 0x0c, 0xffffffff), READ(8, 0x18, ALL_ONES),
	READ(1, 0x1f, 0xff), READ(4, 0x0e, 0x0000ffff), READ(8, 0x14, 0xffffffff00000000),
	REQUEST(IOREQ_WRITE, 8, DEVICE_MEMORY + SCRATCH, ASKED),
	REQUEST(IOREQ_WRITE, 4, DEVICE_MEMORY, ASKED),
	/* One that an emulator has taken and not answered. */
	BAD(.state = STATE_IOREQ_INPROCESS, .data = 0x554d4558),
	/* The direction of a string instruction means nothing for one element. */
	BAD(.df = 1, .data = 0x554d4558),
	BAD(.type = IOREQ_TYPE_PIO, .addr = DEVICE_PORTS, .data = 0x554d4558),

	/* Not requests. */
	BAD(.state = STATE_IOREQ_NONE, .data = ASKED),
	BAD(.state = STATE_IORESP_READY, .data = ASKED),
	BAD(.state = 4, .data = ASKED), BAD(.state = 15, .data = ASKED),

	/* Sizes. */
	BAD(.size = 0), BAD(.size = 3), BAD(.size = 5), BAD(.size = 16),
	BAD(.size = 32), BAD(.size = 33), BAD(.size = 4096),
	BAD(.size = 0x80000000), BAD(.size = 0xffffffff),
	/* Counts. */
	BAD(.count = 0), BAD(.count = 2), BAD(.count = 0x80000000),
	BAD(.count = 0xffffffff),
	/* Places. */
	BAD(.addr = 0), BAD(.addr = ALL_ONES), BAD(.addr = ALL_ONES - 3),
	BAD(.addr = DEVICE_MEMORY - 1), BAD(.addr = DEVICE_MEMORY - 4),
	BAD(.addr = DEVICE_MEMORY + 29), BAD(.addr = DEVICE_MEMORY + 32),
	BAD(.addr = DEVICE_MEMORY + 25, .size = 8),
	BAD(.addr = DEVICE_MEMORY + (1ULL << 32)),
	BAD(.addr = DEVICE_MEMORY + (1ULL << 63)),
	BAD(.addr = DEVICE_PORTS),
	BAD(.type = IOREQ_TYPE_PIO),
	BAD(.type = IOREQ_TYPE_PIO, .addr = DEVICE_PORTS + 0x10000),
	BAD(.type = IOREQ_TYPE_PIO, .addr = DEVICE_PORTS - 2),
	BAD(.dir = IOREQ_WRITE, .addr = ALL_ONES, .data = ASKED),
	BAD(.dir = IOREQ_WRITE, .addr = DEVICE_MEMORY + 32, .data = ASKED),
	BAD(.dir = IOREQ_WRITE, .size = 4096, .data = ASKED),
	BAD(.dir = IOREQ_WRITE, .size = 0xffffffff, .data = ASKED),
	/* Types, those that go to all ioreq servers among them. */
	BAD(.type = IOREQ_TYPE_PCI_CONFIG), BAD(.type = IOREQ_TYPE_TIMEOFFSET),
	BAD(.type = IOREQ_TYPE_INVALIDATE), BAD(.type = 3), BAD(.type = 255),
	/* Data in the guest's memory: the address stays. */
	BAD(.data_is_ptr = 1, .data = ASKED),
	BAD(.data_is_ptr = 1, .count = 1000, .data = ASKED),
	BAD(.data_is_ptr = 1, .dir = IOREQ_WRITE, .count = 1000, .data = ASKED),
	BAD(.data_is_ptr = 1, .dir = IOREQ_WRITE, .data = ASKED),

	/* The device has seen the good ones, this one included, and no other. */
	READ(4, 0x04, 18),
};

#pragma GCC diagnostic pop

TEST_F(page, full_of_requests_good_and_bad_is_answered)
{
	struct ioreq before[SLOTS] = {};

	ASSERT_GE(SLOTS, ARRAY_SIZE(requests));
	for (size_t i = 0; i < SLOTS; i++) {
		const struct request *request = &requests[i];

		before[i].vp_eport = self->slots[i].vp_eport;
		if (i >= ARRAY_SIZE(requests))
			continue;
		before[i].state = request->state;
		before[i].type = request->type;
		before[i].dir = request->dir;
		before[i].df = request->df;
		before[i].data_is_ptr = request->data_is_ptr;
		before[i].size = request->size;
		before[i].count = request->count;
		before[i].addr = request->addr;
		before[i].data = ASKED;
	}
	memcpy(self->slots, before, sizeof(before));

	EMULATOR_START(&self->emulator, self->server, self->guest.text);
	ASSERT_TRUE(self->emulator.ready) {
		TH_LOG("%s", self->emulator.err);
	}
	for (size_t i = 0; i < SLOTS; i++) {
		struct ioreq expected = before[i], got;

		if (i < ARRAY_SIZE(requests)) {
			expected.data = requests[i].data;
			if (expected.state == STATE_IOREQ_READY ||
			    expected.state == STATE_IOREQ_INPROCESS)
				expected.state = STATE_IORESP_READY;
		}
		memcpy(&got, &self->slots[i], sizeof(got));
		EXPECT_EQ(0, memcmp(&expected, &got, sizeof(got))) {
			TH_LOG("request no. %zu: state %u, data %#llx", i,
			       got.state, (unsigned long long)got.data);
		}
	}
	EXPECT_EQ(EMULATOR_DONE, emulator_end(&self->emulator, SIGTERM));
}

TEST_F(page, with_a_bad_event_channel_is_refused)
{
	evtchn_port_t port = self->slots[1].vp_eport;
	static const evtchn_port_t bad[] = { 0, 0xffff, 0xffffffff };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		self->slots[1].vp_eport = bad[i];
		EMULATOR_START(&self->emulator, self->server, self->guest.text);
		EXPECT_FALSE(self->emulator.ready);
		EXPECT_EQ(EMULATOR_NOT_STARTED, self->emulator.status);
		EXPECT_NE(NULL, strstr(self->emulator.err,
				       "cannot bind vCPU 1's event channel"));
	}
	self->slots[1].vp_eport = port;
	EMULATOR_START(&self->emulator, self->server, self->guest.text);
	EXPECT_TRUE(self->emulator.ready);
}

/* Writes into slots while they are in use. */
struct scribbler {
	struct ioreq *slots;
	atomic_bool stop;
};

static void *scribble(void *arg)
{
	struct scribbler *scribbler = arg;
	unsigned int seed = 1;

	while (!scribbler->stop) {
		struct ioreq *slot =
			&scribbler->slots[rand_r(&seed) % OWN_VCPUS];

		/* Neither state nor port: Xen would have the guest pay. */
		slot->addr = rand_r(&seed) % 2 ? DEVICE_MEMORY + rand_r(&seed) % 64
					       : (uint64_t)rand_r(&seed) << 33;
		slot->size = rand_r(&seed) % 4 ? 1 << rand_r(&seed) % 8
					       : rand_r(&seed);
		slot->count = rand_r(&seed) % 4 ? 1 : rand_r(&seed);
		slot->data = (uint64_t)rand_r(&seed) << 33;
		slot->type = rand_r(&seed) % 4 ? IOREQ_TYPE_COPY : rand_r(&seed);
	}
	return NULL;
}

TEST_F(sandbox, survives_a_page_that_changes_all_the_time)
{
	struct guest *guest = &self->guests[0];
	struct emulator *emulator = &self->emulators[0];
	struct scribbler scribbler = {
		.slots = map_slots(guest->dom, emulator->server),
	};
	uint32_t wrong;
	pthread_t thread;

	ASSERT_NE(NULL, scribbler.slots);
	guest->orders->rounds = 0;
	guest->orders->scratch = 0;
	ASSERT_EQ(0, guest_run(guest));
	ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, &scribbler));
	EXPECT_TRUE(guest_goes_on(guest, 10));
	scribbler.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));

	/* Requests that were under way may still be answered wrongly. */
	EXPECT_TRUE(guest_goes_on(guest, 2));
	wrong = guest->reports[0].wrong;
	EXPECT_LT(0, wrong);
	EXPECT_TRUE(guest_goes_on(guest, 2));
	EXPECT_EQ(wrong, guest->reports[0].wrong);
	EXPECT_EQ(EMULATOR_DONE, emulator_end(emulator, SIGTERM));
}

TEST_HARNESS_MAIN
