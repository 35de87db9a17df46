// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs a command with copies of another process's files of Xen's devices:
 *
 *	copy-files PID COMMAND...
 *
 * For each of them the command gets three more arguments: the device's name, the
 * copy's number and what it is a copy of, as Xen's depriv-fd-checker wants them.
 */

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "proc.h"

#define MAX_ARGS 1024

/* The device's name, or NULL if it is no file of these. */
static char *class_of(pid_t pid, int fd)
{
	static char *const classes[] = { "privcmd", "evtchn", "gntdev" };
	char link[32];
	const char *name;

	snprintf(link, sizeof(link), "fd/%d", fd);
	name = strrchr(proc_link(pid, link), '/');
	for (int i = 0; name && i < 3; i++)
		if (!strcmp(name + 1, classes[i]))
			return classes[i];
	return NULL;
}

/* The copy stays open for the command, unlike what pidfd_getfd() makes. */
static int duplicate(int pidfd, int fd)
{
	int copied = syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	if (copied < 0 || fcntl(copied, F_SETFD, 0)) {
		fprintf(stderr, "copy-files: cannot copy file %d: %s\n", fd,
			strerror(errno));
		exit(1);
	}
	return copied;
}

int main(int argc, char **argv)
{
	char *args[MAX_ARGS + 1] = {};
	struct dirent *entry;
	char path[32];
	int pidfd;
	pid_t pid;
	DIR *dir;
	int n = 0;

	if (argc < 3) {
		fputs("usage: copy-files PID COMMAND...\n", stderr);
		return 2;
	}
	pid = atoi(argv[1]);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (!dir || pidfd < 0) {
		fprintf(stderr, "copy-files: cannot look into process %s: %s\n",
			argv[1], strerror(errno));
		return 1;
	}

	for (int i = 2; i < argc && n < MAX_ARGS; i++)
		args[n++] = argv[i];
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);
		char *class = class_of(pid, fd);

		if (entry->d_name[0] == '.' || !class)
			continue;
		if (n + 3 > MAX_ARGS) {
			fputs("copy-files: too many files\n", stderr);
			return 1;
		}
		args[n++] = class;
		if (asprintf(&args[n++], "%d", duplicate(pidfd, fd)) < 0 ||
		    asprintf(&args[n++], "file %d of process %d", fd, pid) < 0)
			return 1;
	}
	execvp(args[0], args);
	fprintf(stderr, "copy-files: cannot run %s: %s\n", args[0], strerror(errno));
	return 1;
}
