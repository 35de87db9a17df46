/* SPDX-License-Identifier: GPL-2.0-only */
/* How long a test waits for what comes by itself. */

#ifndef SELFTESTS_XEN_SOON_H
#define SELFTESTS_XEN_SOON_H

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Milliseconds.  They end what hangs, and judge no speed: a busy machine is slow.  With
 * a driver that is broken on purpose it does not come, and PATIENCE says how many seconds
 * are enough.
 */
static inline int limit_ms(void)
{
	const char *seconds = getenv("PATIENCE");

	return 1000 * (seconds ? atoi(seconds) : 120);
}

/* Whether something comes true within the limit. */
#define SOON(condition) ({						\
	bool _true = false;						\
									\
	for (int _ms = 0; !_true && _ms < limit_ms(); _ms += 10) {	\
		_true = (condition);					\
		if (!_true)						\
			usleep(10000);					\
	}								\
	_true;								\
})

#endif /* SELFTESTS_XEN_SOON_H */
