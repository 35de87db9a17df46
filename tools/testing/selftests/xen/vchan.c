// SPDX-License-Identifier: GPL-2.0-only
/*
 * Talks with another domU over libxenvchan, as Qubes' programs do: the library takes
 * /dev/xen/gntdev, gntalloc and evtchn, and whether the other domain lives is asked of
 * Xen by HYPERCALL, which takes a file of /dev/xen/privcmd without a restriction.
 *
 *	vchan server DOMID PATH		sends back what it gets; ends when the other
 *					domain is destroyed
 *	vchan client DOMID PATH		sends, and compares what it gets; ends when it
 *					is ended
 *
 * DOMID is the other domain's, PATH the server's in XenStore.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* First, as it says which of Xen's interfaces there are. */
#include <xenctrl.h>
#include <libxenvchan.h>

#define ROUNDS	256
#define CHUNK	4096
/* Less than a chunk, so that each takes several goes. */
#define RING	1024

static int fail(const char *what)
{
	fprintf(stderr, "vchan: %s: %s\n", what, strerror(errno));
	return 1;
}

/* 1 or 0; or a negative errno if Xen cannot be asked. */
static int other_lives(const struct libxenvchan *chan, domid_t other)
{
	xc_evtchn_status_t status = { .dom = DOMID_SELF, .port = chan->event_port };
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	int ret = -errno;

	if (!xch)
		return ret;
	ret = xc_evtchn_status(xch, &status) ? -errno :
	      status.status == EVTCHNSTAT_interdomain && status.u.interdomain.dom == other;
	xc_interface_close(xch);
	return ret;
}

static struct libxenvchan *connect_to(domid_t server, const char *path)
{
	struct libxenvchan *chan = NULL;

	/* It may not be there yet. */
	for (int i = 0; i < 600 && !chan; i++) {
		chan = libxenvchan_client_init(NULL, server, path);
		if (!chan)
			usleep(100000);
	}
	return chan;
}

static int transfer(struct libxenvchan *chan, bool receive, char *data)
{
	for (int done = 0; done < CHUNK;) {
		int ret = receive ? libxenvchan_read(chan, data + done, CHUNK - done) :
				    libxenvchan_write(chan, data + done, CHUNK - done);

		if (ret < 0)
			return -1;
		done += ret;
	}
	return 0;
}

static int client(domid_t server, const char *path)
{
	struct libxenvchan *chan = connect_to(server, path);
	char sent[CHUNK], got[CHUNK];

	if (!chan)
		return fail("cannot connect");
	chan->blocking = 1;
	for (int i = 0; i < ROUNDS; i++) {
		for (int byte = 0; byte < CHUNK; byte++)
			sent[byte] = 31 * i + byte + (byte >> 8);
		/* The server takes all of it before it answers. */
		if (transfer(chan, false, sent) || transfer(chan, true, got))
			return fail("the channel broke");
		if (memcmp(sent, got, CHUNK)) {
			fprintf(stderr, "vchan: chunk %d came back as another one\n", i);
			return 1;
		}
	}
	errno = 0;
	if (other_lives(chan, server) != 1)
		return fail("Xen does not say that the server lives");
	printf("vchan: %d bytes came back\n", ROUNDS * CHUNK);
	fflush(stdout);
	for (;;)
		pause();
}

static int server(domid_t client, const char *path)
{
	struct libxenvchan *chan = libxenvchan_server_init(NULL, client, path, RING, RING);
	char data[CHUNK];
	int lives;

	if (!chan)
		return fail("cannot serve");
	chan->blocking = 1;
	for (int i = 0; i < ROUNDS; i++)
		if (transfer(chan, true, data) || transfer(chan, false, data))
			return fail("the channel broke");
	printf("vchan: served\n");
	fflush(stdout);
	do {
		usleep(100000);
		lives = other_lives(chan, client);
	} while (lives == 1);
	errno = -lives;
	if (lives)
		return fail("Xen does not say whether the client lives");
	/* Nobody else tells: a domain that was destroyed has closed nothing. */
	printf("vchan: the client is gone, the channel %s\n",
	       libxenvchan_is_open(chan) == 1 ? "open" : "closed");
	libxenvchan_close(chan);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "server"))
		return server(atoi(argv[2]), argv[3]);
	if (argc == 4 && !strcmp(argv[1], "client"))
		return client(atoi(argv[2]), argv[3]);
	fputs("usage: vchan server|client DOMID PATH\n", stderr);
	return 2;
}
