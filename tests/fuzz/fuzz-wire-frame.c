/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Frames: bytes go through a socket in pieces (the first byte says how large), some with a descriptor, and must come out
 * as the messages that they are; then they go back through the queue.
 */

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/frame.h"

#include "fuzz.h"

typedef struct Reading {
        Channel *channel;
        const uint8_t *data; /* what is to come out */
        size_t n;
        size_t n_seen;
} Reading;

static void give(int fd, const uint8_t *bytes, size_t n, int passed_fd) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec part = { .iov_len = n };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

        memcpy(&part.iov_base, &bytes, sizeof(bytes));
        if (passed_fd >= 0) {
                message.msg_control = &control;
                message.msg_controllen = sizeof(control);
                control.align.cmsg_level = SOL_SOCKET;
                control.align.cmsg_type = SCM_RIGHTS;
                control.align.cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(&control.align), &passed_fd, sizeof(passed_fd));
        }
        assert(sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)n);
}

/* Takes all messages that are there. Return: the outcome that ended it. */
static int take(Reading *reading) {
        const char *bytes;
        size_t n;
        int r;

        while ((r = channel_receive(reading->channel, &bytes, &n)) == 0) {
                int fd = channel_take_fd(reading->channel);

                assert(reading->n_seen + n < reading->n);
                assert(memcmp(bytes, reading->data + reading->n_seen, n) == 0);
                assert(bytes[n] == '\0' && reading->data[reading->n_seen + n] == '\0');
                reading->n_seen += n + 1;
                if (fd >= 0)
                        (void)close(fd);
        }
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        Reading reading = {};
        Channel *sender;
        size_t n_piece;
        int fds[2], r = FRAME_E_AGAIN;

        if (n < 1 || n > 100000)
                return 0;

        n_piece = data[0] ? data[0] : 4096;
        reading.data = ++data;
        reading.n = --n;
        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        assert(channel_new(&reading.channel, fds[0], 1 << 20) == 0);
        for (size_t i = 0; i < n && r == FRAME_E_AGAIN; i += n_piece) {
                size_t n_now = n - i < n_piece ? n - i : n_piece;

                give(fds[1], data + i, n_now, data[i] == 'f' ? fds[1] : -1);
                r = take(&reading);
        }
        assert(r == FRAME_E_AGAIN || r == FRAME_E_BAD);

        /* And back, each message with its NUL. */
        assert(channel_new(&sender, fds[1], 1 << 20) == 0);
        for (size_t i = 0; i < reading.n_seen;) {
                size_t n_message = strlen((const char *)data + i);

                r = channel_send(sender, (const char *)data + i, n_message,
                                 data[i] == 'f' ? fds[1] : -1);
                assert(r == 0 || r == FRAME_E_FULL);
                i += n_message + 1;
        }
        r = channel_flush(sender);
        assert(r == 0 || r == FRAME_E_AGAIN);

        channel_free(sender);
        channel_free(reading.channel);
        return 0;
}
