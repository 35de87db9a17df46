// SPDX-License-Identifier: GPL-2.0-only
/*
 * To be run after other tests: is anything left over of what they did?  Nothing
 * may be leaked while the modules are loaded, they can be unloaded, nothing is
 * leaked then, and they can be loaded again.
 *
 * Needs a kernel with CONFIG_DEBUG_KMEMLEAK.
 */

#include "kselftest.h"
#include "modules.h"

#include <stdio.h>
#include <string.h>

#define KMEMLEAK	"/sys/kernel/debug/kmemleak"

/* What is younger is never reported. */
#define MIN_AGE_SECONDS	5

static bool scan(void)
{
	int fd = open(KMEMLEAK, O_WRONLY | O_CLOEXEC);
	bool good = fd >= 0 && write(fd, "scan", 4) == 4;

	if (fd >= 0)
		close(fd);
	return good;
}

/* Prints what was found; answers with whether that is nothing. */
static bool nothing_found(void)
{
	FILE *file = fopen(KMEMLEAK, "r");
	bool nothing = true;
	char line[256];

	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		ksft_print_msg("%s", line);
		nothing = false;
	}
	fclose(file);
	return nothing;
}

/* What moves while it is looked at is found by a second scan. */
static bool nothing_leaked(void)
{
	sleep(MIN_AGE_SECONDS + 1);
	return scan() && scan() && nothing_found();
}

static bool unload_modules(void)
{
	int ret = unload_xenfs();
	const char *stays = ret ? "xenfs" : "xen_privcmd";

	ret = ret ?: unload_module("xen_privcmd");
	if (ret)
		ksft_print_msg("%s: %s\n", stays, strerror(-ret));
	return !ret;
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	ksft_print_header();
	if (access(KMEMLEAK, R_OK | W_OK))
		ksft_exit_skip("this kernel does not look for leaks (CONFIG_DEBUG_KMEMLEAK)\n");

	ksft_set_plan(4);
	ksft_test_result(nothing_leaked(), "nothing_is_leaked\n");
	ksft_test_result(unload_modules(), "modules_can_be_unloaded\n");
	ksft_test_result(nothing_leaked(), "nothing_is_leaked_then\n");
	ksft_test_result(load_modules(), "modules_can_be_loaded_again\n");
	ksft_finished();
}
