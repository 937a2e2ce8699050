#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Messages with a descriptor on a SOCK_SEQPACKET socket
 */

#include <stddef.h>
#include <sys/types.h>

enum {
        PACKET_E_AGAIN = 1, /* the socket has no room now */
};

/**
 * packet_send() - send one, without waiting
 * @passed_fd:  goes with it; -1: none
 *
 * Return: 0, PACKET_E_AGAIN, or negative errno: -EPIPE if nobody will read it.
 */
int packet_send(int fd, const void *bytes, size_t n, int passed_fd);

/**
 * packet_receive() - take one
 * @flags:      MSG_DONTWAIT or 0
 * @ret_fd:     set to the descriptor that came with it, the caller's from here on; -1: none
 *
 * Return: how many bytes it has, cut to @n; 0 if the other end is gone; or negative errno.
 */
ssize_t packet_receive(int fd, void *bytes, size_t n, int flags, int *ret_fd);
