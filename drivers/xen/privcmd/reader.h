/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Doorbells, and the readers that ring them.
 */

#ifndef XEN_PRIVCMD_READER_H
#define XEN_PRIVCMD_READER_H

#include <linux/hashtable.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include <xen/interface/event_channel.h>

#include "privcmd_private.h"

struct eventfd_ctx;
struct ioreq;

/**
 * struct doorbell - An eventfd and the write that signals it.
 * @node: in its reader's doorbells.
 * @eventfd: the eventfd.
 * @addr: the guest address.
 * @size: the write's size in bytes.
 * @value: the lower 16 bits of what is written, or all if it is a byte.
 */
struct doorbell {
	struct hlist_node node;
	struct eventfd_ctx *eventfd;
	u64 addr;
	u32 size;
	u32 value;
};

/* Four in each place, where a file has the most that it can. */
#define DOORBELL_BITS 8

struct reader;

/**
 * struct reader_port - The event channel of a vCPU.
 * @reader: the reader.
 * @slot: the vCPU's slot.
 * @port: the event channel.
 * @irq: the interrupt that it is here.
 */
struct reader_port {
	struct reader *reader;
	struct ioreq *slot;
	evtchn_port_t port;
	unsigned int irq;
};

/**
 * struct reader - Serves doorbells of an ioreq server.
 * @list: in its file's readers; the file's eventfds_lock protects it.
 * @server: the server.
 * @ioreq: where the caller maps its slots, by which it names the server.
 * @ioreqs: the slots.
 * @lock: protects @doorbells.
 * @doorbells: those that are served, by address and value.
 * @vcpus: number of entries in @ports that are in use.
 * @ports: the event channels, by vCPU.
 */
struct reader {
	struct list_head list;
	struct privcmd_ioreq_server server;
	unsigned long ioreq;
	struct privcmd_ioreqs *ioreqs;
	/* Taken in interrupts. */
	spinlock_t lock;
	DECLARE_HASHTABLE(doorbells, DOORBELL_BITS);
	unsigned int vcpus;
	struct reader_port ports[];
};

/* Of what is written; what stands above a value of one byte is not part of it. */
static inline u32 doorbell_mask(u32 size)
{
	return size == 1 ? U8_MAX : U16_MAX;
}

struct reader *privcmd_reader_create(const struct privcmd_ioeventfd *req,
				     const struct privcmd_ioreq_server *server,
				     const u32 *ports);
void privcmd_reader_destroy(struct reader *reader);
struct doorbell *privcmd_reader_find(const struct reader *reader, u64 addr, u32 size, u32 value);
void privcmd_reader_add(struct reader *reader, struct doorbell *doorbell);
void privcmd_reader_remove(struct reader *reader, struct doorbell *doorbell);

#endif /* XEN_PRIVCMD_READER_H */
