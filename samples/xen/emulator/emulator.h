/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the emulator know of each other.
 */

#ifndef EMULATOR_H
#define EMULATOR_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include <linux/types.h>
#include <xendevicemodel.h>

enum exit_status {
	DONE,
	DOMAIN_GONE,
	BAD_USAGE,
	NOT_STARTED,
	WORKER_DIED,
};

struct options {
	domid_t dom;
	bool adopt;
	ioservid_t adopted;
	__u64 ports;
	__u64 memory;
	bool interrupts;
	uid_t uid;
};

/* One line on stderr. */
#define complain(fmt, ...) \
	fprintf(stderr, "emulator: " fmt "\n", ##__VA_ARGS__)

#define fail(status, fmt, ...) do {	\
	complain(fmt, ##__VA_ARGS__);	\
	exit(status);			\
} while (0)

/* keeper.c, worker.c: the two processes, and what joins them */
enum exit_status keeper(const struct options *options, pid_t worker, int pipe);
enum exit_status worker(const struct options *options, int pipe);

/* What a process may still do with its files of /dev/xen/privcmd. */
enum rights {
	KEEPER_STARTS,
	KEEPER_WATCHES,
	WORKER_SERVES,
	WORKER_SERVES_AND_INTERRUPTS,
};

/* sandbox.c: failing is fatal in all of these */
void sandbox_check_devices(const struct options *options);
int sandbox_open_privcmd(void);
void sandbox_restrict(domid_t dom);
void sandbox_limit(enum rights rights);
void sandbox_drop_privileges(uid_t uid);
void sandbox_filter_keeper(void);
void sandbox_filter_worker(bool interrupts);

/* device.c: the device that is emulated */
#define DEVICE_LENGTH 32

struct device {
	__u32 accesses;
	/* One for each vCPU. */
	__u64 *scratch;
};

/* A size is 1, 2, 4 or 8, and offset + size at most DEVICE_LENGTH. */
__u64 device_read(struct device *device, unsigned int vcpu,
		  unsigned int offset, unsigned int size);
/* Answers with the vector of the interrupt that the vCPU gets, or with 0. */
__u8 device_write(struct device *device, unsigned int vcpu,
		  unsigned int offset, unsigned int size, __u64 value);

#endif /* EMULATOR_H */
