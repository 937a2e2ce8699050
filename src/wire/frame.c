/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Received bytes lie in one buffer, [in_start, in_end) of it, and are searched for the NUL once: in_scanned remembers how
 * far. They are read into the room that the buffer has left and, behind it, into a large array on the stack, so that the
 * buffer of a connection that says little stays as small as what it says, and one read() takes much from one that says a
 * lot. A buffer with nothing in it is freed: most connections are idle, and there may be thousands.
 *
 * What is sent goes straight from the caller's bytes to the socket; only what the socket does not take is copied.
 *
 * Which message a descriptor belongs to: the sender gives it with the first byte of its message and nothing behind that
 * message in the same sendmsg(); the kernel ends a read behind the piece that a descriptor came with, but what was sent
 * before may be in the same read. So it belongs to the last message that begins in what was read.
 */

#include "wire/frame.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "util/cleanup.h"
#include "util/fd.h"

enum {
        READ_BYTES = 4096, /* at once, and what there is room for: that doubles with what comes */
        IN_ROUND_BYTES = 256, /* buffers grow by at least this */
        OUT_FDS_MAX =
                256, /* messages with a descriptor that may wait to be sent: an agent has many tasks */
        OUT_FDS_ROUND = 16, /* room for them grows by so many */
};

/* A descriptor that came. */
typedef struct InFd {
        size_t at; /* where in `in` its message begins */
        int fd;    /* owned */
} InFd;

/* A descriptor that waits to be sent. */
typedef struct OutFd {
        size_t before;    /* bytes of `out` that go out before it */
        size_t n_message; /* bytes of its message, with the NUL */
        int fd;           /* owned */
} OutFd;

struct Channel {
        int fd;
        int failed; /* FRAME_E_TOO_BIG, FRAME_E_BAD: nothing more is taken from this peer; 0 */
        bool closed;

        char *in; /* NULL while nothing waits in it */
        size_t n_in_allocated;
        size_t in_start;         /* of the message that is next */
        size_t in_end;           /* of what was received */
        size_t in_scanned;       /* no NUL in [in_start, in_scanned) */
        InFd fds[FRAME_FDS_MAX]; /* in the order of their messages */
        unsigned n_fds;

        unsigned n_out_fds;
        unsigned n_out_fds_room;
        OutFd *out_fds;
        char *out; /* NULL while nothing waits */
        size_t n_out_allocated;
        size_t out_start;
        size_t out_end;
        size_t queue_max_bytes;
};

int channel_new(Channel **ret, int fd, size_t queue_max_bytes) {
        Channel *channel;

        channel = calloc(1, sizeof(*channel));
        if (!channel)
                return -ENOMEM;

        channel->fd = fd;
        channel->queue_max_bytes = queue_max_bytes;
        *ret = channel;
        return 0;
}

Channel *channel_free(Channel *channel) {
        if (!channel)
                return NULL;

        for (unsigned i = 0; i < channel->n_fds; i++)
                (void)fd_close(channel->fds[i].fd);
        for (unsigned i = 0; i < channel->n_out_fds; i++)
                (void)fd_close(channel->out_fds[i].fd);
        (void)fd_close(channel->fd);
        free(channel->out_fds);
        free(channel->in);
        free(channel->out);
        free(channel);
        return NULL;
}

int channel_fd(const Channel *channel) {
        return channel->fd;
}

/* Where the NUL is that ends the next message; NULL: not here yet. Looks at each byte once. */
static char *find_end(Channel *channel) {
        char *end;

        if (channel->in_scanned == channel->in_end)
                return NULL;

        end = memchr(channel->in + channel->in_scanned, 0, channel->in_end - channel->in_scanned);
        channel->in_scanned = end ? (size_t)(end - channel->in) : channel->in_end;
        return end;
}

/* The message that waits whole, if one does. */
static int next_message(Channel *channel, const char **ret, size_t *ret_n) {
        const char *end;
        size_t n;

        end = find_end(channel);
        n = channel->in_scanned - channel->in_start;
        if (n >= FRAME_MESSAGE_MAX)
                return channel->failed = FRAME_E_TOO_BIG;
        if (!end)
                return FRAME_E_AGAIN;

        *ret = channel->in + channel->in_start;
        *ret_n = n;
        channel->in_start = channel->in_scanned = channel->in_scanned + 1;
        return 0;
}

/* Moves what is there to the front, and frees a buffer that has nothing in it. */
static void tidy_in(Channel *channel) {
        size_t n = channel->in_end - channel->in_start;

        if (n == 0) {
                free(channel->in);
                channel->in = NULL;
                channel->n_in_allocated = 0;
        } else if (channel->in_start > 0)
                memmove(channel->in, channel->in + channel->in_start, n);

        for (unsigned i = 0; i < channel->n_fds; i++)
                channel->fds[i].at -= channel->in_start;
        channel->in_scanned -= channel->in_start;
        channel->in_end = n;
        channel->in_start = 0;
}

/* Twice as much as there was, so that a long message is not moved for each piece of it. */
static int grow(char **buffer, size_t *n_allocated, size_t n_needed) {
        size_t n;
        char *p;

        if (n_needed <= *n_allocated)
                return 0;

        n = (MAX(n_needed, *n_allocated * 2) + IN_ROUND_BYTES - 1) & ~(size_t)(IN_ROUND_BYTES - 1);
        if (*n_allocated == 0)
                n = (n_needed + 31) &
                    ~(size_t)31; /* most messages come whole: no more than they need */
        p = realloc(*buffer, n);
        if (!p)
                return -ENOMEM;

        *buffer = p;
        *n_allocated = n;
        return 0;
}

/* Keeps a descriptor that came if one more is allowed, else closes it. */
static void take_fd(Channel *channel, int fd) {
        if (channel->n_fds < FRAME_FDS_MAX && !channel->failed) {
                channel->fds[channel->n_fds++] = (InFd){ .at = SIZE_MAX, .fd = fd };
                return;
        }

        (void)fd_close(fd);
        channel->failed = FRAME_E_BAD;
}

static void take_control(Channel *channel, struct msghdr *message) {
        if (message->msg_flags & MSG_CTRUNC)
                channel->failed = FRAME_E_BAD;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;

                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
                        take_fd(channel, fd);
                }
        }
}

/* Says of the descriptors that came with the last @n bytes which message is theirs. */
static void place_fds(Channel *channel, size_t n) {
        const char *from = channel->in + channel->in_end - n, *end;
        size_t at = channel->in_end - n;

        if (channel->n_fds == 0 || channel->fds[channel->n_fds - 1].at != SIZE_MAX)
                return;

        end = memrchr(from, 0, n - 1);
        if (end)
                at = (size_t)(end + 1 - channel->in);
        for (unsigned i = 0; i < channel->n_fds; i++)
                channel->fds[i].at = MIN(channel->fds[i].at, at);
}

/* One read. Return: 0, FRAME_E_AGAIN, FRAME_E_CLOSED, FRAME_E_BAD, or negative errno. */
static int read_some(Channel *channel) {
        char more[READ_BYTES];
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
        } control;
        struct iovec parts[2];
        struct msghdr message = { .msg_control = &control, .msg_controllen = sizeof(control) };
        size_t n_room, n_in;
        ssize_t n;
        int r;

        n_room = channel->n_in_allocated - channel->in_end;
        if (n_room > 0)
                parts[message.msg_iovlen++] =
                        (struct iovec){ channel->in + channel->in_end, n_room };
        parts[message.msg_iovlen++] = (struct iovec){ more, sizeof(more) };
        message.msg_iov = parts;

        do
                n = recvmsg(channel->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0) {
                if (errno == EAGAIN)
                        return FRAME_E_AGAIN;
                if (errno == ECONNRESET)
                        return FRAME_E_CLOSED;
                return -errno;
        }

        take_control(channel, &message);
        if (channel->failed)
                return channel->failed;
        if (n == 0)
                return FRAME_E_CLOSED;

        n_in = MIN((size_t)n, n_room);
        channel->in_end += n_in;
        r = grow(&channel->in, &channel->n_in_allocated, channel->in_end + ((size_t)n - n_in));
        if (r < 0) {
                channel->failed =
                        FRAME_E_BAD; /* bytes were lost: nothing that follows can be trusted */
                return r;
        }

        if ((size_t)n > n_in)
                memcpy(channel->in + channel->in_end, more, (size_t)n - n_in);
        channel->in_end += (size_t)n - n_in;
        place_fds(channel, (size_t)n);
        return 0;
}

/* The oldest descriptor, out of the list. */
static int pop_fd(Channel *channel) {
        int fd = channel->fds[0].fd;

        channel->n_fds--;
        memmove(channel->fds, channel->fds + 1, channel->n_fds * sizeof(channel->fds[0]));
        return fd;
}

/* Whether there is one that belongs to a message that was given out. */
static bool has_given_fd(const Channel *channel) {
        return channel->n_fds > 0 && channel->fds[0].at < channel->in_start;
}

int channel_receive(Channel *channel, const char **ret, size_t *ret_n) {
        int r;

        if (channel->failed)
                return channel->failed;

        while (has_given_fd(channel))
                (void)fd_close(pop_fd(channel));
        r = next_message(channel, ret, ret_n);
        if (r != FRAME_E_AGAIN)
                return r;
        if (channel->closed)
                return FRAME_E_CLOSED;

        tidy_in(channel);
        r = read_some(channel);
        if (r == FRAME_E_CLOSED)
                channel->closed = true;
        if (r != 0)
                return r;

        return next_message(channel, ret, ret_n);
}

bool channel_has_message(const Channel *channel) {
        return !channel->failed && channel->in_scanned < channel->in_end &&
               memchr(channel->in + channel->in_scanned, 0, channel->in_end - channel->in_scanned);
}

int channel_take_fd(Channel *channel) {
        return has_given_fd(channel) ? pop_fd(channel) : -1;
}

/* Sends what it can at once, *ret_n bytes. Return: 0, FRAME_E_AGAIN, FRAME_E_CLOSED, or negative errno. */
static int send_some(Channel *channel, struct iovec *parts, size_t n_parts, int fd, size_t *ret_n) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = n_parts };
        ssize_t n;

        if (fd >= 0) {
                struct cmsghdr *c = &control.align;

                message.msg_control = &control;
                message.msg_controllen = sizeof(control);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(c), &fd, sizeof(fd));
        }

        do
                n = sendmsg(channel->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n >= 0) {
                *ret_n = (size_t)n;
                return 0;
        }

        switch (errno) {
        case EAGAIN:
                return FRAME_E_AGAIN;
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN:
                return FRAME_E_CLOSED;
        default:
                return -errno;
        }
}

/* Room for one more descriptor that must wait. */
static int grow_out_fds(Channel *channel) {
        unsigned n = channel->n_out_fds_room + OUT_FDS_ROUND;
        OutFd *out_fds;

        if (channel->n_out_fds == OUT_FDS_MAX)
                return FRAME_E_FULL;
        if (channel->n_out_fds < channel->n_out_fds_room)
                return 0;
        out_fds = reallocarray(channel->out_fds, n, sizeof(*out_fds));
        if (!out_fds)
                return -ENOMEM;
        channel->out_fds = out_fds;
        channel->n_out_fds_room = n;
        return 0;
}

/* Keeps what the socket did not take: the bytes from @n_sent on and a NUL; the descriptor if nothing went out. */
static int keep_rest(Channel *channel, const char *bytes, size_t n, size_t n_sent, int fd) {
        _cleanup_close_ int kept = -1;
        size_t n_waiting = channel->out_end - channel->out_start, n_rest = n + 1 - n_sent;
        int r;

        if (fd >= 0 && n_sent == 0) {
                r = grow_out_fds(channel);
                if (r != 0)
                        return r;
                kept = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                if (kept < 0)
                        return -errno;
        }

        if (channel->out_end + n_rest > channel->n_out_allocated && channel->out_start > 0) {
                memmove(channel->out, channel->out + channel->out_start, n_waiting);
                channel->out_start = 0;
                channel->out_end = n_waiting;
        }
        r = grow(&channel->out, &channel->n_out_allocated, channel->out_end + n_rest);
        if (r < 0)
                return r;

        if (kept >= 0) {
                OutFd *last = &channel->out_fds[channel->n_out_fds++];

                *last = (OutFd){ .before = n_waiting, .n_message = n_rest, .fd = TAKE_FD(kept) };
        }
        memcpy(channel->out + channel->out_end, bytes + n_sent, n_rest - 1);
        channel->out[channel->out_end + n_rest - 1] = '\0';
        channel->out_end += n_rest;
        return 0;
}

static bool is_full(const Channel *channel, size_t n) {
        return channel_n_unsent_bytes(channel) + n + 1 > channel->queue_max_bytes;
}

int channel_queue(Channel *channel, const char *bytes, size_t n, int fd) {
        assert(n < FRAME_MESSAGE_MAX);
        return is_full(channel, n) ? FRAME_E_FULL : keep_rest(channel, bytes, n, 0, fd);
}

int channel_send(Channel *channel, const char *bytes, size_t n, int fd) {
        char end = '\0';
        struct iovec parts[2] = { { .iov_len = n }, { &end, 1 } };
        size_t n_sent = 0;
        int r;

        assert(n < FRAME_MESSAGE_MAX);
        memcpy(&parts[0].iov_base, &bytes,
               sizeof(bytes)); /* without its const: sendmsg() only reads */

        r = channel_flush(channel);
        if (r != 0 && r != FRAME_E_AGAIN)
                return r;

        if (r == FRAME_E_AGAIN) {
                if (is_full(channel, n))
                        return FRAME_E_FULL;
        } else {
                r = send_some(channel, parts, ELEMENTSOF(parts), fd, &n_sent);
                if (r != 0 && r != FRAME_E_AGAIN)
                        return r;
        }

        if (n_sent == n + 1)
                return 0;
        return keep_rest(channel, bytes, n, n_sent, fd);
}

/* After @n bytes have gone out. */
static void forget_sent(Channel *channel, size_t n, bool with_fd) {
        if (with_fd) {
                (void)fd_close(channel->out_fds[0].fd);
                channel->n_out_fds--;
                memmove(channel->out_fds, channel->out_fds + 1,
                        channel->n_out_fds * sizeof(channel->out_fds[0]));
        }

        for (unsigned i = 0; i < channel->n_out_fds; i++)
                channel->out_fds[i].before -= n;
        channel->out_start += n;
}

int channel_flush(Channel *channel) {
        while (channel->out_end > channel->out_start) {
                size_t n = channel->out_end - channel->out_start;
                struct iovec part;
                bool with_fd;
                int r;

                /* A message with a descriptor alone, or as far as the next one. */
                with_fd = channel->n_out_fds > 0 && channel->out_fds[0].before == 0;
                if (channel->n_out_fds > 0)
                        n = with_fd ? channel->out_fds[0].n_message : channel->out_fds[0].before;

                part = (struct iovec){ channel->out + channel->out_start, n };
                r = send_some(channel, &part, 1, with_fd ? channel->out_fds[0].fd : -1, &n);
                if (r != 0)
                        return r;
                forget_sent(channel, n, with_fd);
        }

        free(channel->out);
        channel->out = NULL;
        channel->n_out_allocated = channel->out_start = channel->out_end = 0;
        return 0;
}

size_t channel_n_unsent_bytes(const Channel *channel) {
        return channel->out_end - channel->out_start;
}

size_t channel_n_unread_bytes(const Channel *channel) {
        return channel->in_end - channel->in_start;
}

size_t channel_in_size(const Channel *channel) {
        return channel->n_in_allocated;
}

size_t channel_out_size(const Channel *channel) {
        return channel->n_out_allocated;
}

void channel_drop_unsent(Channel *channel) {
        while (channel->n_out_fds > 0)
                (void)fd_close(channel->out_fds[--channel->n_out_fds].fd);
        free(channel->out);
        channel->out = NULL;
        channel->n_out_allocated = channel->out_start = channel->out_end = 0;
}

void channel_drop_unread(Channel *channel) {
        free(channel->in);
        channel->in = NULL;
        channel->n_in_allocated = channel->in_start = channel->in_end = channel->in_scanned = 0;
}
