// SPDX-License-Identifier: GPL-2.0-only
/*
 * Running samples/xen/emulator.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emulator.h"
#include "proc.h"
#include "soon.h"

static void collect(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	text[n > 0 ? n : 0] = '\0';
}

static void look(struct emulator *emulator)
{
	collect(emulator->out_fd, emulator->out, sizeof(emulator->out));
	collect(emulator->err_fd, emulator->err, sizeof(emulator->err));
}

bool emulator_has_ended(struct emulator *emulator)
{
	int status;

	if (!emulator->pid)
		return true;
	if (waitpid(emulator->pid, &status, WNOHANG) != emulator->pid)
		return false;
	emulator->pid = 0;
	emulator->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return true;
}

static bool is_ready(struct emulator *emulator)
{
	look(emulator);
	emulator->ready = sscanf(emulator->out,
				 "ready: domain %u, %u vCPUs, ioreq server %u, served by process %d\n",
				 &emulator->dom, &emulator->vcpus,
				 &emulator->server, &emulator->worker) == 4;
	return emulator->ready;
}

static bool on_stock_driver(void)
{
	const char *driver = getenv("PRIVCMD_DRIVER");

	return driver && !strncmp(driver, "stock", strlen("stock"));
}

void emulator_start_as_told(struct emulator *emulator, const char *const *args)
{
	const char *argv[EMULATOR_MAX_ARGS + 2] = { "emulator" };

	for (int i = 0; i < EMULATOR_MAX_ARGS && args[i]; i++)
		argv[i + 1] = args[i];
	memset(emulator, 0, sizeof(*emulator));
	emulator->status = -1;
	emulator->out_fd = memfd_create("stdout", MFD_CLOEXEC);
	emulator->err_fd = memfd_create("stderr", MFD_CLOEXEC);
	emulator->pid = fork();
	if (!emulator->pid) {
		dup2(emulator->out_fd, STDOUT_FILENO);
		dup2(emulator->err_fd, STDERR_FILENO);
		execv(path_beside_program("emulator"), (char **)argv);
		_exit(127);
	}
	(void)SOON(is_ready(emulator) || emulator_has_ended(emulator));
	look(emulator);
}

void emulator_start(struct emulator *emulator, const char *const *args)
{
	const char *argv[EMULATOR_MAX_ARGS + 1] = {};
	int n = 0;

	if (on_stock_driver())
		argv[n++] = "--no-interrupts";
	for (int i = 0; n < EMULATOR_MAX_ARGS && args[i]; i++)
		argv[n++] = args[i];
	emulator_start_as_told(emulator, argv);
}

int emulator_wait(struct emulator *emulator)
{
	(void)SOON(emulator_has_ended(emulator));
	look(emulator);
	return emulator->status;
}

int emulator_end(struct emulator *emulator, int signal)
{
	if (emulator->pid)
		kill(emulator->pid, signal);
	return emulator_wait(emulator);
}
