/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Replies come in the order of their calls, and in between the daemon may call us: what client_call() reads while it waits
 * for its own reply, and is something else, stays in a queue until client_next() asks for it.
 */

#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/connect.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "wire/frame.h"

enum {
        QUEUE_BYTES_MAX =
                8 * 1024 * 1024, /* that may wait to be sent: a runner reports little and often */
        KEPT_MAX = 4096, /* a daemon that says more while we wait for a reply is none of ours */
        OUTSTANDING_FIRST = 4,
};

/* Something that came while another thing was waited for. */
typedef struct Kept {
        struct Kept *next;
        Incoming incoming;
} Kept;

struct Client {
        Channel *channel;
        bool held; /* nothing is sent, see client_hold() */
        DaemonKind kind;
        const char *who; /* the other side, in sentences */
        char *path;

        /* types of the calls not yet answered, oldest first: a ring */
        CallType *outstanding;
        size_t n_allocated; /* 0, or a power of two */
        size_t first;
        size_t n_outstanding;

        Kept *kept; /* oldest first */
        Kept **kept_end;
        size_t n_kept;
};

int client_new(Client **ret, Place *place, const char *who, Error *error) {
        _cleanup_(client_freep) Client *client = NULL;

        client = calloc(1, sizeof(*client));
        if (!client || channel_new(&client->channel, place->fd, QUEUE_BYTES_MAX) < 0) {
                place->fd = fd_close(place->fd);
                free(TAKE_PTR(place->path));
                return error_set(error, -ENOMEM, "out of memory");
        }

        client->kind = place->kind;
        client->who = who;
        client->path = TAKE_PTR(place->path);
        client->kept_end = &client->kept;
        place->fd = -1;
        *ret = TAKE_PTR(client);
        return 0;
}

int client_connect(Client **ret, unsigned flags, Error *error) {
        Place place = { .fd = -1 };
        int r;

        r = connect_daemon(flags, &place, error);
        return r != 0 ? r : client_new(ret, &place, "the daemon", error);
}

Client *client_free(Client *client) {
        Kept *next;

        if (!client)
                return NULL;

        for (Kept *kept = client->kept; kept; kept = next) {
                next = kept->next;
                incoming_done(&kept->incoming);
                free(kept);
        }
        channel_free(client->channel);
        free(client->outstanding);
        free(client->path);
        free(client);
        return NULL;
}

int client_fd(const Client *client) {
        return channel_fd(client->channel);
}

short client_poll_events(const Client *client) {
        return channel_n_unsent_bytes(client->channel) > 0 ? POLLIN | POLLOUT : POLLIN;
}

DaemonKind client_kind(const Client *client) {
        return client->kind;
}

const char *client_path(const Client *client) {
        return client->path;
}

size_t client_n_outstanding(const Client *client) {
        return client->n_outstanding;
}

static CallType *outstanding_at(const Client *client, size_t i) {
        return &client->outstanding[(client->first + i) & (client->n_allocated - 1)];
}

/* Room for one more in the ring. */
static int grow_outstanding(Client *client) {
        size_t n = client->n_allocated ? client->n_allocated * 2 : OUTSTANDING_FIRST;
        CallType *outstanding;

        if (client->n_outstanding < client->n_allocated)
                return 0;

        outstanding = calloc(n, sizeof(*outstanding));
        if (!outstanding)
                return -ENOMEM;

        for (size_t i = 0; i < client->n_outstanding; i++)
                outstanding[i] = *outstanding_at(client, i);
        free(client->outstanding);
        client->outstanding = outstanding;
        client->n_allocated = n;
        client->first = 0;
        return 0;
}

static void push_outstanding(Client *client, CallType type) {
        *outstanding_at(client, client->n_outstanding++) = type;
}

static void pop_outstanding(Client *client) {
        client->first = (client->first + 1) & (client->n_allocated - 1);
        client->n_outstanding--;
}

/* What the wire says, as we say it. */
static int from_frame(const Client *client, int r, Error *error) {
        switch (r) {
        case FRAME_E_AGAIN:
                return CLIENT_E_AGAIN;
        case FRAME_E_CLOSED:
                return error_set(error, CLIENT_E_CLOSED, "%s has ended the connection",
                                 client->who);
        case FRAME_E_TOO_BIG:
                return error_set(error, CLIENT_E_BAD, "%s's message is longer than 1 MiB",
                                 client->who);
        case FRAME_E_BAD:
                return error_set(error, CLIENT_E_BAD, "%s sent descriptors that nobody asked for",
                                 client->who);
        case FRAME_E_FULL:
                return error_set(error, -ENOBUFS, "%s does not read what it is sent", client->who);
        default:
                if (r < 0)
                        return error_set(error, r, "cannot talk with %s: %s", client->who,
                                         strerror(-r));
                return r;
        }
}

int client_send(Client *client, const Call *call, int fd, Error *error) {
        bool oneway = call->oneway || call_type_is_oneway(call->type);
        _cleanup_free_ char *bytes = NULL;
        size_t n;
        int r;

        r = call_encode(call, &bytes, &n);
        if (r == -E2BIG)
                return error_set(error, r, "the request is longer than 1 MiB");
        if (r == 0 && !oneway)
                r = grow_outstanding(client);
        if (r < 0)
                return error_set(error, r, "out of memory");

        r = client->held ? channel_queue(client->channel, bytes, n, fd) :
                           channel_send(client->channel, bytes, n, fd);
        if (r == FRAME_E_CLOSED && !oneway)
                r = 0; /* it may have said why before it closed: whoever waits for the reply reads that */
        if (r != 0)
                return from_frame(client, r, error);

        if (!oneway)
                push_outstanding(client, call->type);
        return 0;
}

void client_hold(Client *client) {
        client->held = true;
}

int client_let_go(Client *client, Error *error) {
        int r;

        client->held = false;
        r = channel_flush(client->channel);
        return r < 0 ? from_frame(client, r, error) : 0;
}

/* What of ours is refused as nonsense is newer, or older, than whoever refuses it. */
static int note_version(const Client *client, Reply *reply) {
        char *message;

        if (reply->error != ERROR_BAD_REQUEST && reply->error != ERROR_METHOD_NOT_FOUND)
                return 0;
        if (asprintf(&message,
                     "%s (%s and this taskflow are of different versions: 'taskflow doctor' says "
                     "which, and what to do)",
                     reply->message ? reply->message : error_name_to_string(reply->error),
                     client->who) < 0)
                return -ENOMEM;
        free(reply->message);
        reply->message = message;
        return 0;
}

static int decode(Client *client, const char *bytes, size_t n, Incoming *ret, Error *error) {
        int r;

        if (message_is_call(bytes, n)) {
                ret->is_call = true;
                r = call_decode(bytes, n, &ret->call, error);
                if (r == MESSAGE_E_METHOD_NOT_FOUND)
                        return CLIENT_E_AGAIN; /* of a newer daemon, and has no reply */
                return r > 0 ? CLIENT_E_BAD : r;
        }

        if (client->n_outstanding == 0)
                return error_set(error, CLIENT_E_BAD, "a reply that belongs to no call");

        ret->is_call = false;
        r = reply_decode(client->outstanding[client->first], bytes, n, &ret->reply, error);
        if (r != 0)
                return r > 0 ? CLIENT_E_BAD : r;

        if (!ret->reply.continues)
                pop_outstanding(client);
        r = note_version(client, &ret->reply);
        if (r < 0)
                reply_done(&ret->reply);
        return r;
}

/* The next message of the socket, past those that were kept. */
static int receive(Client *client, Incoming *ret, Error *error) {
        const char *bytes;
        size_t n;
        int r;

        do {
                r = channel_receive(client->channel, &bytes, &n);
                if (r != 0)
                        return from_frame(client, r, error);
                r = decode(client, bytes, n, ret, error);
        } while (r == CLIENT_E_AGAIN);

        if (r == CLIENT_E_BAD) {
                error_prefix(error, "%s at '%s' does not make sense: ", client->who, client->path);
                (void)error_set(error, r,
                                "%s; if it is not of the version of this taskflow, restart it",
                                error->text);
        } else if (r < 0) {
                (void)error_set(error, r, "out of memory");
        }
        return r;
}

int client_next(Client *client, Incoming *ret, Error *error) {
        Kept *kept = client->kept;
        int r;

        r = channel_flush(client->channel);
        if (r < 0)
                return from_frame(client, r, error);

        if (kept) {
                *ret = kept->incoming;
                client->kept = kept->next;
                if (!client->kept)
                        client->kept_end = &client->kept;
                client->n_kept--;
                free(kept);
                return 0;
        }

        return receive(client, ret, error);
}

static int keep(Client *client, Incoming *incoming, Error *error) {
        Kept *kept;

        kept = client->n_kept < KEPT_MAX ? calloc(1, sizeof(*kept)) : NULL;
        if (!kept) {
                incoming_done(incoming);
                return error_set(error, -ENOMEM, "out of memory");
        }

        kept->incoming = *incoming;
        *client->kept_end = kept;
        client->kept_end = &kept->next;
        client->n_kept++;
        return 0;
}

/* The next message, however long it takes. */
static int receive_waiting(Client *client, Incoming *ret, Error *error) {
        for (;;) {
                struct pollfd pollfd = { .fd = client_fd(client) };
                int r;

                /* Closed for what we send may still have something to say: why. */
                r = channel_flush(client->channel);
                if (r < 0)
                        return from_frame(client, r, error);

                pollfd.events = client_poll_events(client);
                if (r == FRAME_E_CLOSED)
                        pollfd.events = POLLIN;
                if (!channel_has_message(client->channel) && poll(&pollfd, 1, -1) < 0 &&
                    errno != EINTR)
                        return error_set(error, -errno, "cannot wait for %s: %s", client->who,
                                         strerror(errno));

                r = receive(client, ret, error);
                if (r != CLIENT_E_AGAIN)
                        return r;
        }
}

/* Our reply comes after those to @n_before calls that were sent earlier. */
static int await_reply(Client *client, size_t n_before, Reply *reply, Error *error) {
        for (;;) {
                size_t n_outstanding = client->n_outstanding;
                Incoming incoming = {};
                int r;

                r = receive_waiting(client, &incoming, error);
                if (r != 0)
                        return r;

                if (!incoming.is_call && n_before == 0) {
                        *reply = incoming.reply;
                        return 0;
                }

                n_before -= n_outstanding - client->n_outstanding;
                r = keep(client, &incoming, error);
                if (r < 0)
                        return r;
        }
}

int client_read_reply(Client *client, Reply *reply, Error *error) {
        return await_reply(client, 0, reply, error);
}

int client_call(Client *client, const Call *call, Reply *reply, Error *error) {
        return client_call_fd(client, call, -1, reply, error);
}

int client_call_fd(Client *client, const Call *call, int fd, Reply *reply, Error *error) {
        size_t n_before = client->n_outstanding;
        int r;

        r = client_send(client, call, fd, error);
        if (r != 0)
                return r;

        return await_reply(client, n_before, reply, error);
}

void incoming_done(Incoming *incoming) {
        if (incoming->is_call)
                call_done(&incoming->call);
        else
                reply_done(&incoming->reply);
}
