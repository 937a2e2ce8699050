#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Framing
 *
 * Messages on a stream socket: bytes ended by one NUL, as Varlink has it; and the descriptors that came with them. A channel
 * knows nothing of what the bytes say.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/macro.h"

enum {
        FRAME_MESSAGE_MAX = 1024 * 1024, /* bytes, NUL included (decisions.md 18) */
        FRAME_FDS_MAX = 4, /* descriptors that may wait to be taken; more: FRAME_E_BAD */
};

/* Channels: both halves of a connection, with buffers, over a descriptor that may block or not. */
typedef struct Channel Channel;

/* channel_receive(), channel_flush() */
enum {
        FRAME_E_AGAIN = 1, /* nothing (more) now: poll() */
        FRAME_E_CLOSED,    /* the peer has gone; what it sent before was given out already */
        FRAME_E_TOO_BIG,   /* a message over FRAME_MESSAGE_MAX */
        FRAME_E_BAD,       /* more descriptors than allowed */
        FRAME_E_FULL,      /* channel_send(): more than the limit waits to be sent */
};

/**
 * channel_new() - a channel over a connected stream socket
 * @fd:         taken on success
 * @queue_max_bytes:    how much may wait to be sent
 */
int channel_new(Channel **ret, int fd, size_t queue_max_bytes);
Channel *channel_free(Channel *channel); /* closes the socket and descriptors that nobody took */
DEFINE_CLEANUP(Channel *, channel_free);

int channel_fd(const Channel *channel); /* borrowed, for poll() */

/**
 * channel_receive() - the next whole message
 * @ret:        its bytes without the NUL, NUL-terminated; borrowed until the next call
 *
 * Reads at most once from the socket (so that one peer cannot keep us busy), never blocks (MSG_DONTWAIT).
 *
 * Return: 0, or an outcome, or negative errno.
 */
int channel_receive(Channel *channel, const char **ret, size_t *ret_n);

/* Whether a whole message waits in the buffer already, so that poll() must not be waited for. */
bool channel_has_message(const Channel *channel);

/* The (next) descriptor that came with the message last given out, -1: none. The caller closes it; what is not taken
 * before the next channel_receive() is closed there. */
int channel_take_fd(Channel *channel);

/**
 * channel_send() - queue a message and send what goes out without blocking
 * @bytes:      copied, without a NUL inside; the ending NUL is added
 * @fd:         goes with it (SCM_RIGHTS); borrowed, duplicated if it must wait; -1: none
 *
 * Return: 0, FRAME_E_FULL, FRAME_E_CLOSED, or negative errno.
 */
int channel_send(Channel *channel, const char *bytes, size_t n, int fd);

/* The same, but nothing goes out before channel_flush() or channel_send(). */
int channel_queue(Channel *channel, const char *bytes, size_t n, int fd);

/* Sends more of what waits. Return: 0 when all is out, FRAME_E_AGAIN, FRAME_E_CLOSED, or negative errno. */
int channel_flush(Channel *channel);

size_t channel_n_unsent_bytes(const Channel *channel);

/* Of what was received and not given out yet. */
size_t channel_n_unread_bytes(const Channel *channel);

/* Memory that the buffers take: of what was received, and of what waits to be sent. */
size_t channel_in_size(const Channel *channel);
size_t channel_out_size(const Channel *channel);

/* Drops what waits to be sent: a message may have gone out in part, so that nothing more can be said. */
void channel_drop_unsent(Channel *channel);

/* Drops what was received and not given out yet: no more is taken from this peer. */
void channel_drop_unread(Channel *channel);
