/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel says of processes.
 */

#ifndef SELFTESTS_XEN_PROC_H
#define SELFTESTS_XEN_PROC_H

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "soon.h"

/* The path of a file in the directory of the test program. */
static inline const char *path_beside_program(const char *name)
{
	static char path[PATH_MAX];
	char program[PATH_MAX] = "";

	if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s", dirname(program), name);
	return path;
}

/* A line of a file with a name for each, without the name; "" if there is none. */
static inline const char *proc_line(const char *path, const char *name)
{
	static char line[256];
	size_t len = strlen(name);
	FILE *file = fopen(path, "r");

	if (!file)
		return "";
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, len) || line[len] != ':')
			continue;
		fclose(file);
		line[strcspn(line, "\n")] = '\0';
		return line + len + 1 + strspn(line + len + 1, "\t ");
	}
	fclose(file);
	return "";
}

/* Of /proc/PID/status. */
static inline const char *proc_status(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return proc_line(path, name);
}

/* What a link below /proc/PID says, such as fd/0; "" if there is none. */
static inline const char *proc_link(pid_t pid, const char *name)
{
	static char target[PATH_MAX];
	char path[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	len = readlink(path, target, sizeof(target) - 1);
	target[len > 0 ? len : 0] = '\0';
	return target;
}

/* Whether a process that is no child of this one ends. */
static inline bool proc_ends(pid_t pid)
{
	return SOON(kill(pid, 0) && errno == ESRCH);
}

#endif /* SELFTESTS_XEN_PROC_H */
