/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Running samples/xen/emulator.
 */

#ifndef SELFTESTS_XEN_EMULATOR_H
#define SELFTESTS_XEN_EMULATOR_H

#include <stdbool.h>
#include <sys/types.h>

/* The exit statuses that its help names. */
enum {
	EMULATOR_DONE,
	EMULATOR_DOMAIN_GONE,
	EMULATOR_BAD_USAGE,
	EMULATOR_NOT_STARTED,
	EMULATOR_WORKER_DIED,
};

#define EMULATOR_MAX_ARGS 6

struct emulator {
	/* The process that was started, and the one that it says serves. */
	pid_t pid;
	pid_t worker;
	bool ready;
	unsigned int dom;
	unsigned int vcpus;
	unsigned int server;
	/* When it has ended; -1 is by a signal, or not at all. */
	int status;
	/* All that it printed until it was ready, or in all when it has ended. */
	char out[2048];
	char err[1024];
	int out_fd;
	int err_fd;
};

/*
 * Runs it with these arguments, the last one NULL, until it is ready or has
 * ended.  On the stock driver it is told to do without interrupts.
 */
void emulator_start(struct emulator *emulator, const char *const *args);

#define EMULATOR_START(emulator, ...) \
	emulator_start(emulator, (const char *const []) { __VA_ARGS__, NULL })

/* The same, on any driver with these arguments alone. */
void emulator_start_as_told(struct emulator *emulator, const char *const *args);

/* Waits for its end and answers with its exit status; whether it has ended. */
int emulator_wait(struct emulator *emulator);
bool emulator_has_ended(struct emulator *emulator);

/* Sends it a signal and waits for its end. */
int emulator_end(struct emulator *emulator, int signal);

#endif /* SELFTESTS_XEN_EMULATOR_H */
