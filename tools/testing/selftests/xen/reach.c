// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which domains files of /dev/xen/privcmd reach.  In a domU:
 *
 *	reach early			XenStore is not there yet
 *	reach wait			the same; waits for it with a request, which
 *					is refused then, as it names no target
 *	reach alone			XenStore names no target
 *	reach target DOMID VCPUS	it names this domain, which has so many vCPUs
 *	reach stubdom DOMID VCPUS OTHER	drive-guest made it, and there is another one
 *	reach unrestricted DOMID VCPUS	the module was loaded with unrestricted=1
 *
 * In the last three the domU has privilege over the first domain.  In dom0, by way
 * of copy-files, for files that another process has restricted to a domain:
 *
 *	reach copies DOMID VCPUS OTHER [CLASS FD INFO]...
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <xen/xen.h>
#include <xen/memory.h>
#include <xendevicemodel.h>

#include "guest/layout.h"
#include "proc.h"
#include "requests.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Beyond what Xen hands out in a test run. */
#define NO_SUCH_DOMAIN 0x7fef

/* A frame that the domain has, and what it begins with where that is known. */
static unsigned long frame = 8;
static const char *content = "";

/* The file that a test asks. */
static int fd;

/* The files that each test asks in turn; if there are none, it opens its own. */
static int copies[512];
static size_t ncopies;

struct domain {
	const char *name;
	domid_t domid;
};

static const struct domain no_such_domain = { "no_such_domain", NO_SUCH_DOMAIN };

static const struct domain others[] = {
	{ "dom0", 0 },
	{ "no_such_domain", NO_SUCH_DOMAIN },
	{ "self", DOMID_SELF },
	{ "io", DOMID_IO },
};

static int map(unsigned int cmd, domid_t dom, void *addr)
{
	unsigned long number = frame;
	int err = 0;
	struct privcmd_mmapbatch batch = {
		.num = 1, .dom = dom, .addr = (unsigned long)addr, .arr = &number,
	};
	struct privcmd_mmapbatch_v2 batch_v2 = {
		.num = 1, .dom = dom, .addr = (unsigned long)addr, .arr = &number, .err = &err,
	};
	struct privcmd_mmap_resource resource = {
		.dom = dom, .type = XENMEM_resource_grant_table, .num = 1,
		.addr = (unsigned long)addr,
	};

	/* It says with a bit of the frame's number that it failed, but not why. */
	if (cmd == IOCTL_PRIVCMD_MMAPBATCH)
		return request(fd, cmd, &batch) ?: number == frame ? 0 : -EIO;
	if (cmd == IOCTL_PRIVCMD_MMAPBATCH_V2)
		return request(fd, cmd, &batch_v2) ?: err;
	return request(fd, cmd, &resource);
}

static int frame_request(unsigned int cmd, domid_t dom)
{
	char *addr = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	int ret;

	if (addr == MAP_FAILED)
		return -errno;
	ret = map(cmd, dom, addr);
	if (!ret && cmd != IOCTL_PRIVCMD_MMAP_RESOURCE &&
	    memcmp(addr, content, strlen(content)))
		ret = -ENOEXEC;
	munmap(addr, PAGE);
	return ret;
}

static int batch_v1(domid_t dom)
{
	return frame_request(IOCTL_PRIVCMD_MMAPBATCH, dom);
}

static int batch_v2(domid_t dom)
{
	return frame_request(IOCTL_PRIVCMD_MMAPBATCH_V2, dom);
}

static int resource(domid_t dom)
{
	return frame_request(IOCTL_PRIVCMD_MMAP_RESOURCE, dom);
}

/* Enters so many frames that hold their numbers, all of them there, and looks at each. */
static int enter_numbered(domid_t dom, unsigned int num, const char *addr)
{
	static xen_pfn_t frames[NUMBERED_FRAMES];
	static int err[NUMBERED_FRAMES];
	struct privcmd_mmapbatch_v2 batch = {
		.num = num, .dom = dom, .addr = (unsigned long)addr, .arr = frames, .err = err,
	};
	int ret;

	for (unsigned int i = 0; i < num; i++)
		frames[i] = NUMBERED_FRAME + i;
	ret = request(fd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch);
	for (unsigned int i = 0; i < num && !ret; i++) {
		ret = err[i];
		if (!ret && *(const xen_pfn_t *)(addr + i * PAGE) != frames[i])
			ret = -ENOEXEC;
	}
	return ret;
}

static int map_numbered(domid_t dom, unsigned int num)
{
	char *addr = mmap(NULL, num * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	int ret = addr == MAP_FAILED ? -errno : enter_numbered(dom, num, addr);

	return ret ?: munmap(addr, num * PAGE);
}

static int batch_of_64(domid_t dom)
{
	return map_numbered(dom, 64);
}

static int batch_of_1024(domid_t dom)
{
	return map_numbered(dom, 1024);
}

/* The status of a process that has so much mapped when it ends, by a signal if not 0. */
static int end_while_mapped(domid_t dom, int signal)
{
	const size_t size = NUMBERED_FRAMES * PAGE;
	pid_t child = fork();
	int status;

	if (!child) {
		char *addr = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

		if (addr == MAP_FAILED || enter_numbered(dom, NUMBERED_FRAMES, addr))
			_exit(1);
		raise(signal);
		_exit(0);
	}
	return waitpid(child, &status, 0) == child ? status : -errno;
}

static int exit_while_mapped(domid_t dom)
{
	return end_while_mapped(dom, 0);
}

static int killed_while_mapped(domid_t dom)
{
	return end_while_mapped(dom, SIGKILL);
}

static int run(domid_t dom)
{
	char *addr = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	struct privcmd_mmap_entry entry = {
		.va = (unsigned long)addr, .mfn = frame, .npages = 1,
	};
	struct privcmd_mmap arg = { .num = 1, .dom = dom, .entry = &entry };
	int ret = addr == MAP_FAILED ? -errno : request(fd, IOCTL_PRIVCMD_MMAP, &arg);

	if (!ret && memcmp(addr, content, strlen(content)))
		ret = -ENOEXEC;
	munmap(addr, PAGE);
	return ret;
}

static int resource_size(domid_t dom)
{
	struct privcmd_mmap_resource arg = {
		.dom = dom, .type = XENMEM_resource_grant_table,
	};

	return request(fd, IOCTL_PRIVCMD_MMAP_RESOURCE, &arg);
}

static int untyped(domid_t dom)
{
	return dm_op_nr_vcpus(fd, dom);
}

static int typed(domid_t dom)
{
	return nr_vcpus(fd, dom);
}

static int restriction(domid_t dom)
{
	return restrict_to(fd, dom);
}

static int version(domid_t dom)
{
	(void)dom;
	return hypercall_xen_version(fd);
}

static int bad_hypercall(domid_t dom)
{
	(void)dom;
	return request(fd, IOCTL_PRIVCMD_HYPERCALL, NULL);
}

static int nothing(domid_t dom)
{
	return dm_op(fd, dom, 0, NULL);
}

/* Whether the kernel holds the file's domain, which it says. */
static int is_held(domid_t dom)
{
	int ret = typed(dom);
	const char *state;
	char path[64];

	if (ret < 0)
		return ret;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (atoi(proc_line(path, "domid")) != dom)
		return -EXDEV;
	state = proc_line(path, "state");
	if (!strcmp(state, "bound, held by the kernel"))
		return 1;
	return strcmp(state, "bound, not held by the kernel") ? -EBADMSG : 0;
}

/* The library itself, which opens the device on its own. */
static int library(domid_t dom)
{
	xendevicemodel_handle *handle = xendevicemodel_open(NULL, 0);
	unsigned int vcpus;
	int ret;

	if (!handle)
		return -ENOTCONN;
	ret = xendevicemodel_nr_vcpus(handle, dom, &vcpus);
	ret = ret ? -errno : (int)vcpus;
	xendevicemodel_close(handle);
	return ret;
}

/* For a request that names no domain. */
static const struct domain none = { "", 0 };

static int tests, failures;

static int ask_own_file(int (*ask)(domid_t dom), domid_t dom)
{
	int ret;

	fd = privcmd_open();
	ret = fd < 0 ? fd : ask(dom);
	close(fd);
	return ret;
}

static int ask_copies(int (*ask)(domid_t dom), domid_t dom, int want)
{
	int ret = want;

	for (size_t i = 0; i < ncopies && ret == want; i++) {
		fd = copies[i];
		ret = ask(dom);
	}
	return ret;
}

static void report(const char *what, const struct domain *dom, bool good)
{
	failures += !good;
	printf("%sok %d %s%s\n", good ? "" : "not ", ++tests, what, dom->name);
}

static void expect(const char *what, int (*ask)(domid_t dom), const struct domain *dom,
		   int want)
{
	int got = ncopies ? ask_copies(ask, dom->domid, want) :
			    ask_own_file(ask, dom->domid);

	if (got != want)
		printf("# got %d (%s), expected %d\n", got,
		       got < 0 ? strerror(-got) : "no error", want);
	report(what, dom, got == want);
}

static bool on_stock(void)
{
	const char *driver = getenv("PRIVCMD_DRIVER");

	return driver && !strcmp(driver, "stock");
}

/* What Debian's own driver does not have, or does otherwise. */
static void expect_of_ours(const char *what, int (*ask)(domid_t dom),
			   const struct domain *dom, int want)
{
	if (on_stock())
		printf("ok %d %s%s # SKIP not on the stock driver\n", ++tests,
		       what, dom->name);
	else
		expect(what, ask, dom, want);
}

/* Whether a process ends, and with which status. */
static bool ends(pid_t child, int *status)
{
	return SOON(waitpid(child, status, WNOHANG) == child);
}

/* What a request in a process of its own comes to, which may be that it waits. */
enum outcome {
	ANSWERS,
	WAITS,
	UNKILLABLE,
};

static enum outcome outcome_of(int (*ask)(domid_t dom), domid_t dom, enum outcome want)
{
	pid_t child = fork();

	if (!child) {
		ask(dom);
		_exit(0);
	}
	/* That it waits is told by time alone. */
	if (want != ANSWERS)
		sleep(2);
	if (want == ANSWERS ? ends(child, NULL) : waitpid(child, NULL, WNOHANG) == child)
		return ANSWERS;
	kill(child, SIGKILL);
	return ends(child, NULL) ? WAITS : UNKILLABLE;
}

static void expect_outcome(const char *what, int (*ask)(domid_t dom),
			   const struct domain *dom, enum outcome want)
{
	static const char *const names[] = { "it answers", "it waits", "it cannot be killed" };
	enum outcome got = outcome_of(ask, dom->domid, want);

	if (got != want)
		printf("# %s, expected: %s\n", names[got], names[want]);
	report(what, dom, got == want);
}

static int opening(domid_t dom)
{
	(void)dom;
	close(privcmd_open());
	return 0;
}

/* Other devices of the same kind, which share a lock with this one. */
static int opening_others(domid_t dom)
{
	static const char *const paths[] = {
		"/dev/cpu_dma_latency", "/dev/xen/xenbus", "/dev/xen/hypercall",
	};

	(void)dom;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		close(open(paths[i], O_RDWR | O_CLOEXEC));
	return 0;
}

/* Opens this one and asks by it. */
static int opening_and_asking(domid_t dom)
{
	return ask_own_file(untyped, dom);
}

static void expect_others_to_open_meanwhile(void)
{
	pid_t child = fork();

	if (!child)
		_exit(opening_and_asking(0) != 0);
	usleep(500000);
	expect_outcome("open_of_other_devices", opening_others, &none, ANSWERS);
	kill(child, SIGKILL);
	report("wait_can_be_killed", &none, ends(child, NULL));
}

/* Whether a process that waits with a request dies of a signal. */
static bool wait_ends_by(int signal)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(opening_and_asking(0) != 0);
	usleep(500000);
	kill(child, signal);
	return ends(child, &status) && WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

/*
 * What needs no target ends at once; what does waits for it, whatever domain it
 * names, and can be killed.
 */
static void expect_to_wait_for_the_target(void)
{
	const struct domain *dom = &others[0];

	if (on_stock()) {
		printf("ok %d open # SKIP the stock driver waits in open()\n", ++tests);
		return;
	}
	expect_outcome("open", opening, &none, ANSWERS);
	expect_others_to_open_meanwhile();
	report("wait_ends_by_sigterm", &none, wait_ends_by(SIGTERM));
	report("wait_ends_by_sigkill", &none, wait_ends_by(SIGKILL));
	if (failures)
		return;
	fd = privcmd_open();
	copies[ncopies++] = fd;
	expect("dm_op_of_nothing", nothing, &none, 0);
	expect("hypercall", version, &none, -EPERM);
	expect("hypercall_with_bad_pointer", bad_hypercall, &none, -EPERM);
	expect_outcome("dm_op_of_", untyped, dom, WAITS);
	expect_outcome("dm_nr_vcpus_of_", typed, dom, WAITS);
	expect_outcome("mmapbatch_of_", batch_v1, dom, WAITS);
	expect_outcome("mmapbatch_v2_of_", batch_v2, dom, WAITS);
	expect_outcome("mmap_resource_of_", resource, dom, WAITS);
	expect_outcome("resource_size_of_", resource_size, dom, WAITS);
	expect_outcome("restrict_to_", restriction, dom, WAITS);
	/* None of them has changed anything. */
	expect("hypercall_after_that", version, &none, -EPERM);
}

/* The first request of the file; stock waits when it is opened. */
static int wait_for_target(void)
{
	int ret;

	fd = privcmd_open();
	if (fd < 0)
		return fd;
	ret = untyped(0);
	if (ret == -EPERM)
		ret = version(0);
	return ret == -EPERM ? 0 : ret;
}

/* What kind of a domain this is: PV, PVH or HVM. */
static bool is_pv(void)
{
	FILE *file = fopen("/sys/hypervisor/guest_type", "r");
	char type[8] = "";

	if (!file || fscanf(file, "%7s", type) != 1)
		fputs("cannot read what kind of a domain this is\n", stderr);
	if (file)
		fclose(file);
	return !strcmp(type, "PV");
}

/* The command is for PV callers. */
static int unless_pv(int answer)
{
	return is_pv() ? answer : -ENOSYS;
}

static void expect_refusal_of(const struct domain *dom)
{
	expect("dm_op_of_", untyped, dom, -EPERM);
	expect_of_ours("dm_nr_vcpus_of_", typed, dom, -EPERM);
	expect("mmap_of_", run, dom, unless_pv(-EPERM));
	expect("mmapbatch_of_", batch_v1, dom, -EPERM);
	expect("mmapbatch_v2_of_", batch_v2, dom, -EPERM);
	expect("mmap_resource_of_", resource, dom, -EPERM);
	expect("resource_size_of_", resource_size, dom, -EPERM);
	expect("restrict_to_", restriction, dom, -EINVAL);
}

static void expect_one_domain_at_most(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		expect_refusal_of(&others[i]);
	expect("hypercall", version, &none, -EPERM);
	expect("hypercall_with_bad_pointer", bad_hypercall, &none, -EPERM);
}

/* It opens the device, and asks DM_OP of no domain whether there is a DM_OP. */
static void expect_library_to_work(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		expect_of_ours("library_asks_", library, &others[i], -EPERM);
	expect_of_ours("dm_op_of_nothing", nothing, &none, 0);
}

/* What only privilege over the domain gives: from Xen, and from the file. */
static void expect_answers_of(const struct domain *dom, int vcpus)
{
	expect("dm_op_of_", untyped, dom, vcpus);
	expect_of_ours("dm_nr_vcpus_of_", typed, dom, vcpus);
	expect("restrict_to_", restriction, dom, 0);
}

/* An older Xen lets a domU that is not PV map nothing of another domain. */
static bool xen_maps_for_domus(void)
{
	FILE *file = fopen("/sys/hypervisor/version/minor", "r");
	int minor = 0;

	if (!file || fscanf(file, "%d", &minor) != 1)
		fputs("cannot read Xen's version\n", stderr);
	if (file)
		fclose(file);
	return minor >= 19 || is_pv();
}

/* The kernel holds a domain by mapping something of it. */
static void expect_mapping_of(const struct domain *dom, bool maps)
{
	expect_of_ours("kernel_holds_", is_held, dom, maps);
	expect("mmap_of_", run, dom, unless_pv(0));
	expect("mmapbatch_of_", batch_v1, dom, maps ? 0 : -EIO);
	expect("mmapbatch_v2_of_", batch_v2, dom, maps ? 0 : -EPERM);
	expect("mmap_resource_of_", resource, dom, maps ? 0 : -EACCES);
}

/* Of the files of all classes those of privcmd. */
static void take_copies(char **args)
{
	for (; args[0] && args[1] && args[2]; args += 3)
		if (!strcmp(args[0], "privcmd") && ncopies < ARRAY_SIZE(copies))
			copies[ncopies++] = atoi(args[1]);
	printf("# %zu files\n", ncopies);
}

static int bad_usage(void)
{
	fputs("usage: reach early | wait | alone | target DOMID VCPUS |\n"
	      "             stubdom DOMID VCPUS OTHER | unrestricted DOMID VCPUS |\n"
	      "             copies DOMID VCPUS OTHER [CLASS FD INFO]...\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	const char *situation = argc > 1 ? argv[1] : "";
	struct domain target = { "target", 0 }, other = { "other", 0 };
	int vcpus = 0;

	if (argc > 3) {
		target.domid = atoi(argv[2]);
		vcpus = atoi(argv[3]);
	}
	if (argc > 4)
		other.domid = atoi(argv[4]);

	if (argc == 2 && !strcmp(situation, "wait"))
		return wait_for_target() != 0;

	if (argc == 2 && !strcmp(situation, "early")) {
		expect_to_wait_for_the_target();
	} else if (argc == 2 && !strcmp(situation, "alone")) {
		expect_one_domain_at_most();
		expect_library_to_work();
	} else if (argc == 4 && !strcmp(situation, "target")) {
		expect_one_domain_at_most();
		expect_library_to_work();
		expect_answers_of(&target, vcpus);
		expect_of_ours("library_asks_", library, &target, vcpus);
		/* Its kernel, an ELF file, begins at 1 MiB. */
		frame = 0x100;
		content = "\177ELF";
		expect_mapping_of(&target, xen_maps_for_domus());
	} else if (argc == 4 && !strcmp(situation, "unrestricted")) {
		expect_answers_of(&target, vcpus);
		expect("library_asks_", library, &target, vcpus);
		/* It is Xen now that says no. */
		expect("dm_op_of_", untyped, &no_such_domain, -ESRCH);
		expect("hypercall_with_bad_pointer", bad_hypercall, &none, -EFAULT);
	} else if (argc == 5 && !strcmp(situation, "stubdom")) {
		expect_one_domain_at_most();
		expect_refusal_of(&other);
		expect_library_to_work();
		expect_answers_of(&target, vcpus);
		expect_of_ours("library_asks_", library, &target, vcpus);
		expect_mapping_of(&target, true);
		expect("batch_of_64_frames_of_", batch_of_64, &target, 0);
		expect("batch_of_1024_frames_of_", batch_of_1024, &target, 0);
		expect("exit_with_1024_frames_of_", exit_while_mapped, &target, 0);
		expect("killed_with_1024_frames_of_", killed_while_mapped, &target, SIGKILL);
		expect("batch_after_that_of_", batch_of_1024, &target, 0);
	} else if (argc > 5 && !strcmp(situation, "copies")) {
		take_copies(argv + 5);
		if (!ncopies)
			return bad_usage();
		expect_one_domain_at_most();
		expect_refusal_of(&other);
		expect_answers_of(&target, vcpus);
		expect_mapping_of(&target, true);
	} else {
		return bad_usage();
	}

	printf("1..%d\n", tests);
	return failures != 0;
}
