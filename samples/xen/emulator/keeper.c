// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process that makes the ioreq server, watches over it and destroys it.  It
 * may use the operations that this takes, fewer of them once it only watches, and
 * reads nothing that the guest writes.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* For HVM_IOREQSRV_BUFIOREQ_OFF. */
#define __XEN_TOOLS__
#include <xendevicemodel.h>
#include <xenforeignmemory.h>
#include <xen/memory.h>

#include "emulator.h"

struct keeper {
	const struct options *options;
	domid_t dom;
	ioservid_t id;
	xendevicemodel_handle *dmod;
	xenforeignmemory_handle *fmem;
	/* A file that ends with the domain, and one that is readable after a signal. */
	int privcmd, signals;
};

static const char *reason(int err)
{
	switch (err) {
	case EPERM:
		return "the domain that this runs in has no privilege over it";
	case EINVAL:
		return "it is a PV domain, which has no device model";
	case ENOENT:
		return "it has no such ioreq server";
	case ESRCH:
		return "there is no such domain";
	default:
		return strerror(err);
	}
}

static bool server_exists(const struct keeper *keeper)
{
	return !xendevicemodel_get_ioreq_server_info(keeper->dmod, keeper->dom,
						     keeper->id, NULL, NULL, NULL);
}

static bool obtain_server(struct keeper *keeper)
{
	if (keeper->options->adopt) {
		keeper->id = keeper->options->adopted;
		if (server_exists(keeper))
			return true;
		complain("cannot adopt ioreq server %u of domain %u: %s",
			 keeper->id, keeper->dom, reason(errno));
		return false;
	}
	if (!xendevicemodel_create_ioreq_server(keeper->dmod, keeper->dom,
						HVM_IOREQSRV_BUFIOREQ_OFF,
						&keeper->id))
		return true;
	complain("cannot create an ioreq server for domain %u: %s", keeper->dom,
		 reason(errno));
	return false;
}

static bool claim_range(const struct keeper *keeper, bool is_mmio, __u64 start)
{
	__u64 end = start + DEVICE_LENGTH - 1;

	if (!xendevicemodel_map_io_range_to_ioreq_server(keeper->dmod,
							 keeper->dom,
							 keeper->id, is_mmio,
							 start, end))
		return true;
	/* An adopted server has its ranges already. */
	if (errno == EEXIST && keeper->options->adopt)
		return true;
	complain("cannot claim the %s from %#llx of domain %u: %s",
		 is_mmio ? "memory" : "ports", (unsigned long long)start,
		 keeper->dom, strerror(errno));
	return false;
}

/*
 * Enabling makes Xen write the event channels' ports into the ioreq server's
 * pages, which it allocates when they are mapped for the first time.
 */
static bool enable_server(const struct keeper *keeper)
{
	xenforeignmemory_resource_handle *page;
	void *addr = NULL;

	page = xenforeignmemory_map_resource(keeper->fmem, keeper->dom,
					     XENMEM_resource_ioreq_server,
					     keeper->id,
					     XENMEM_resource_ioreq_server_frame_ioreq(0),
					     1, &addr, PROT_READ, 0);
	if (!page ||
	    xendevicemodel_set_ioreq_server_state(keeper->dmod, keeper->dom,
						  keeper->id, 1)) {
		complain("cannot enable ioreq server %u of domain %u: %s",
			 keeper->id, keeper->dom, strerror(errno));
		return false;
	}
	xenforeignmemory_unmap_resource(keeper->fmem, page);
	return true;
}

static sigset_t awaited_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	return signals;
}

/* The kernel's own driver does not: it calls a file readable at any time. */
static bool driver_tells_of_death(const struct keeper *keeper)
{
	struct pollfd file = { .fd = keeper->privcmd, .events = POLLIN };
	const struct timespec at_once = {};

	return !(ppoll(&file, 1, &at_once, NULL) && file.revents & POLLIN);
}

/* Waits for a signal, whose number it answers with, or for the domain's death: 0. */
static int wait_for_signal_or_death(const struct keeper *keeper, bool told,
				    bool driver_tells)
{
	struct pollfd files[] = {
		{ .fd = keeper->signals, .events = POLLIN },
		/* It stays so for ever: only the worker's end is left to wait for. */
		{ .fd = told ? -1 : keeper->privcmd },
	};
	const struct timespec second = { .tv_sec = 1 }, at_once = {};
	sigset_t signals = awaited_signals();
	int signal;

	do {
		ppoll(files, 2, driver_tells ? NULL : &second, NULL);
		signal = sigtimedwait(&signals, NULL, &at_once);
		if (signal > 0)
			return signal;
	} while (driver_tells ? !(files[1].revents & POLLHUP) :
				!told && server_exists(keeper));
	return 0;
}

/*
 * Ends when the worker has.  The worker is told to by closing the pipe: when
 * somebody asks for it, or when the domain is gone, with which its ioreq servers
 * go.
 */
static enum exit_status watch(const struct keeper *keeper, pid_t worker, int pipe)
{
	bool driver_tells = driver_tells_of_death(keeper);
	bool told = false;
	int status, signal;

	while (waitpid(worker, &status, WNOHANG) != worker) {
		signal = wait_for_signal_or_death(keeper, told, driver_tells);
		if (told || signal == SIGCHLD)
			continue;
		if (signal) {
			/*
			 * From here on no new requests come.  The worker
			 * answers those that are there, since a vCPU that waits
			 * for an ioreq server waits beyond its end.
			 */
			xendevicemodel_set_ioreq_server_state(keeper->dmod,
							      keeper->dom,
							      keeper->id, 0);
		}
		close(pipe);
		told = true;
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	complain("killed by signal %d while serving: go on with --adopt=%u",
		 WTERMSIG(status), keeper->id);
	return WORKER_DIED;
}

enum exit_status keeper(const struct options *options, pid_t worker, int pipe)
{
	struct keeper keeper = { .options = options, .dom = options->dom };
	sigset_t signals = awaited_signals();
	enum exit_status status = NOT_STARTED;

	keeper.signals = signalfd(-1, &signals, SFD_CLOEXEC);
	if (keeper.signals < 0)
		fail(NOT_STARTED, "cannot wait for signals: %s", strerror(errno));
	keeper.privcmd = sandbox_open_privcmd();
	keeper.dmod = xendevicemodel_open(NULL, 0);
	keeper.fmem = xenforeignmemory_open(NULL, 0);
	if (!keeper.dmod || !keeper.fmem)
		fail(NOT_STARTED, "cannot open Xen's interfaces: %s",
		     strerror(errno));
	sandbox_restrict(options->dom);
	sandbox_limit(KEEPER_STARTS);
	sandbox_drop_privileges(options->uid);
	sandbox_filter_keeper();

	if (!obtain_server(&keeper))
		return NOT_STARTED;
	if (claim_range(&keeper, false, options->ports) &&
	    claim_range(&keeper, true, options->memory) &&
	    enable_server(&keeper)) {
		sandbox_limit(KEEPER_WATCHES);
		if (write(pipe, &keeper.id, sizeof(keeper.id)) == sizeof(keeper.id))
			status = watch(&keeper, worker, pipe);
	}
	if (!server_exists(&keeper))
		return status == DONE ? DOMAIN_GONE : status;
	if (status == DONE || (status == NOT_STARTED && !options->adopt))
		xendevicemodel_destroy_ioreq_server(keeper.dmod, keeper.dom,
						    keeper.id);
	return status;
}
