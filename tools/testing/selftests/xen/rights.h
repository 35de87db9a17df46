/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Descriptors that are passed over a socket.
 */

#ifndef SELFTESTS_XEN_RIGHTS_H
#define SELFTESTS_XEN_RIGHTS_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define MOST_DESCRIPTORS 2

/* A message of one byte with descriptors. */
struct rights {
	union {
		char buf[CMSG_SPACE(MOST_DESCRIPTORS * sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec iov;
	struct msghdr msg;
};

static inline void rights_init(struct rights *rights, unsigned int num)
{
	memset(rights, 0, sizeof(*rights));
	rights->iov = (struct iovec) { .iov_base = &rights->byte, .iov_len = 1 };
	rights->msg = (struct msghdr) {
		.msg_iov = &rights->iov,
		.msg_iovlen = 1,
		.msg_control = rights->control.buf,
		.msg_controllen = CMSG_SPACE(num * sizeof(int)),
	};
}

/* Answers with 0 or with a negative errno. */
static inline int send_descriptors(int socket, const int *fds, unsigned int num)
{
	struct rights rights;
	struct cmsghdr *cmsg;

	rights_init(&rights, num);
	cmsg = CMSG_FIRSTHDR(&rights.msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(num * sizeof(*fds));
	memcpy(CMSG_DATA(cmsg), fds, num * sizeof(*fds));
	return sendmsg(socket, &rights.msg, 0) == 1 ? 0 : -errno;
}

/* Answers with a descriptor as the recipient gets it, or with a negative errno. */
static inline int receive_descriptor(int socket)
{
	struct rights rights;
	int fd;

	rights_init(&rights, 1);
	if (recvmsg(socket, &rights.msg, 0) != 1)
		return -errno;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&rights.msg)), sizeof(fd));
	return fd;
}

#endif /* SELFTESTS_XEN_RIGHTS_H */
