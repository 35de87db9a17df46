// SPDX-License-Identifier: GPL-2.0-only
/*
 * Domains that run: the guest of guest/.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xen/hvm/save.h>

#include "guest.h"
#include "proc.h"
#include "soon.h"

#define PAGES (GUEST_MEMORY / XC_PAGE_SIZE)

#define CR0_PE		0x01
#define CR0_ET		0x10
/* Present, ring 0, accessed, 32 bit, limit in pages: as Xen packs it. */
#define FLAT_CODE	0xc9b
#define FLAT_DATA	0xc93
#define BUSY_TSS	0x08b
/* Their values after a reset. */
#define RFLAGS_RESET	0x2
#define DR6_RESET	0xffff0ff0
#define DR7_RESET	0x400

static int load_program(void *addr)
{
	int fd = open(path_beside_program("guest.bin"), O_RDONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (read(fd, addr, GUEST_ORDERS - GUEST_START) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

#ifdef __x86_64__

/* Sets vCPU 0's registers; the other vCPUs wait for SIPI. */
static int set_registers(xc_interface *xch, domid_t dom)
{
	struct {
		struct hvm_save_descriptor header;
		struct hvm_save_header header_record;
		struct hvm_save_descriptor cpu;
		struct hvm_hw_cpu cpu_record;
		struct hvm_save_descriptor end;
	} context = {
		.cpu = {
			.typecode = HVM_SAVE_CODE(CPU),
			.length = HVM_SAVE_LENGTH(CPU),
		},
		.cpu_record = {
			.cr0 = CR0_PE | CR0_ET,
			.rip = GUEST_ENTRY,
			.rflags = RFLAGS_RESET,
			.dr6 = DR6_RESET,
			.dr7 = DR7_RESET,
			.cs_limit = -1,
			.ds_limit = -1,
			.es_limit = -1,
			.ss_limit = -1,
			.tr_limit = 0x67,
			.cs_arbytes = FLAT_CODE,
			.ds_arbytes = FLAT_DATA,
			.es_arbytes = FLAT_DATA,
			.ss_arbytes = FLAT_DATA,
			.tr_arbytes = BUSY_TSS,
		},
		.end = { .typecode = HVM_SAVE_CODE(END) },
	};
	int size = xc_domain_hvm_getcontext(xch, dom, NULL, 0);
	void *now = size < 0 ? NULL : calloc(1, size);
	int ret = 0;

	if (!now)
		return -errno;
	/* What is saved begins with a header, which Xen wants to see again. */
	if (xc_domain_hvm_getcontext(xch, dom, now, size) < 0) {
		ret = -errno;
	} else {
		memcpy(&context, now, offsetof(typeof(context), cpu));
		if (xc_domain_hvm_setcontext(xch, dom, (void *)&context,
					     sizeof(context)))
			ret = -errno;
	}
	free(now);
	return ret;
}

#else

/* Sets vCPU 0's registers; the other vCPUs wait for PSCI. */
static int set_registers(xc_interface *xch, domid_t dom)
{
	vcpu_guest_context_any_t context = {
		.c = {
			.flags = VGCF_online,
			.user_regs.pc64 = GUEST_START,
			.user_regs.cpsr = PSR_GUEST64_INIT,
			.sctlr = SCTLR_GUEST_INIT,
		},
	};

	return xc_vcpu_setcontext(xch, dom, 0, &context) ? -errno : 0;
}

#endif

static int map_memory(struct guest *guest, const xen_pfn_t *frames)
{
	guest->fmem = xenforeignmemory_open(NULL, 0);
	if (!guest->fmem)
		return -errno;
	guest->memory = xenforeignmemory_map(guest->fmem, guest->dom,
					     PROT_READ | PROT_WRITE, PAGES,
					     frames, NULL);
	if (!guest->memory)
		return -errno;
	guest->orders = guest->memory + GUEST_ORDERS;
	guest->reports = guest->memory + GUEST_REPORTS;
	return 0;
}

int guest_create(struct guest *guest, unsigned int vcpus)
{
	xen_pfn_t frames[PAGES];
	xc_interface *xch;
	int ret;

	memset(guest, 0, sizeof(*guest));
	guest->dom = domain_create(DOMAIN_PVH, vcpus);
	if (guest->dom < 0)
		return guest->dom;
	snprintf(guest->text, sizeof(guest->text), "%d", guest->dom);
	xch = xc_interface_open(NULL, NULL, 0);
	if (!xch)
		return -errno;
	ret = xc_domain_max_vcpus(xch, guest->dom, vcpus) ? -errno : 0;
	ret = ret ?: domain_populate(guest->dom, PAGES, frames);
	ret = ret ?: map_memory(guest, frames);
	ret = ret ?: load_program(guest->memory + GUEST_START);
	ret = ret ?: set_registers(xch, guest->dom);
	/* On Arm the first instructions are not read through the cache. */
	if (!ret && xc_domain_cacheflush(xch, guest->dom, 0, PAGES))
		ret = -errno;
	xc_interface_close(xch);
	if (ret)
		return ret;
	guest->orders->ports = DEVICE_PORTS;
	guest->orders->memory = DEVICE_MEMORY;
	guest->orders->start[0] = 1;
	return 0;
}

int guest_run(const struct guest *guest)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int ret;

	if (!xch)
		return -errno;
	ret = xc_domain_unpause(xch, guest->dom) ? -errno : 0;
	xc_interface_close(xch);
	return ret;
}

void guest_unmap(struct guest *guest)
{
	if (guest->memory)
		xenforeignmemory_unmap(guest->fmem, guest->memory, PAGES);
	guest->memory = NULL;
	if (guest->fmem)
		xenforeignmemory_close(guest->fmem);
	guest->fmem = NULL;
}

int guest_destroy(struct guest *guest)
{
	guest_unmap(guest);
	return guest->dom > 0 ? domain_destroy(guest->dom) : 0;
}

static bool has_finished(const struct guest *guest)
{
	for (unsigned int vcpu = 0; vcpu < GUEST_MAX_VCPUS; vcpu++)
		if (guest->orders->start[vcpu] && !guest->reports[vcpu].finished)
			return false;
	return true;
}

bool guest_finishes(const struct guest *guest)
{
	return SOON(has_finished(guest));
}

static bool has_reached(const struct guest *guest, const unsigned int *before, unsigned int rounds)
{
	for (unsigned int vcpu = 0; vcpu < GUEST_MAX_VCPUS; vcpu++)
		if (guest->orders->start[vcpu] &&
		    guest->reports[vcpu].rounds - before[vcpu] < rounds)
			return false;
	return true;
}

bool guest_gets_to(const struct guest *guest, unsigned int rounds)
{
	static const unsigned int none[GUEST_MAX_VCPUS];

	return SOON(has_reached(guest, none, rounds));
}

static void note_rounds(const struct guest *guest, unsigned int *rounds)
{
	for (unsigned int i = 0; i < GUEST_MAX_VCPUS; i++)
		rounds[i] = guest->reports[i].rounds;
}

bool guest_goes_on(const struct guest *guest, unsigned int rounds)
{
	unsigned int before[GUEST_MAX_VCPUS];

	note_rounds(guest, before);
	return SOON(has_reached(guest, before, rounds));
}

bool guest_waits(const struct guest *guest)
{
	unsigned int before[GUEST_MAX_VCPUS];

	note_rounds(guest, before);
	sleep(1);
	return !has_reached(guest, before, 1);
}
