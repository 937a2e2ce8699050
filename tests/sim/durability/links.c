/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "wire/frame.h"

#include "host.h"

enum {
        LINKS_MAX = 256,
};

typedef struct Message {
        struct Message *next;
        uint64_t at_us; /* when it has arrived */
        int fd;
        size_t n;
        char bytes[];
} Message;

typedef struct Queue {
        Message *first, *last;
        uint64_t last_us; /* when the last one arrives: nothing overtakes */
} Queue;

/* The daemon's side of a link. */
struct Channel {
        Link *link;
        Queue unsent;
        size_t n_unsent;
        Message *taken; /* what was given out last */
};

struct Link {
        bool used;
        uint64_t gen;
        const Actor *actor;
        Proc proc;
        uid_t uid;
        link_fn on_message;
        void *userdata;
        bool client_open, daemon_open;
        Channel *channel;        /* the daemon's, once it has let it in */
        uint64_t client_gone_us; /* not client_open: when the daemon sees it */
        uint64_t accept_us;
        Queue to_daemon, to_client;
};

static Link links[LINKS_MAX];

static void drop_queue(Queue *queue) {
        while (queue->first) {
                Message *message = queue->first;

                queue->first = message->next;
                free(message);
        }
        *queue = (Queue){ 0 };
}

static void append(Queue *queue, Message *message) {
        message->next = NULL;
        if (queue->first)
                queue->last->next = message;
        else
                queue->first = message;
        queue->last = message;
}

static Message *take(Queue *queue) {
        Message *message = queue->first;

        if (message)
                queue->first = message->next;
        return message;
}

static Message *message_new(const char *bytes, size_t n, int fd) {
        Message *message = malloc(sizeof(*message) + n + 1);

        if (!message)
                abort();
        *message = (Message){ .fd = fd, .n = n };
        memcpy(message->bytes, bytes, n);
        message->bytes[n] = '\0';
        return message;
}

/* On its way. */
static void post(Queue *queue, Message *message) {
        message->at_us = MAX(queue->last_us, world.now_us + world_moment_us());
        queue->last_us = message->at_us;
        append(queue, message);
}

static void free_if_unused(Link *link) {
        if (link->client_open || link->daemon_open)
                return;
        drop_queue(&link->to_daemon);
        drop_queue(&link->to_client);
        link->used = false;
}

void links_begin(void) {
        links_drop_all();
}

void links_end(void) {
        links_drop_all();
}

void links_drop_all(void) {
        for (size_t i = 0; i < LINKS_MAX; i++) {
                links[i].client_open = links[i].daemon_open = false;
                if (links[i].used)
                        free_if_unused(&links[i]);
                links[i].gen++;
        }
}

static int fd_of(const Link *link) {
        return FD_LINK + (int)(link - links);
}

static Link *link_of(int fd) {
        return &links[fd - FD_LINK];
}

/* -- the other side than the daemon's -- */

/* A message, or the end, has reached the client. */
static void ring(void *userdata, uint64_t gen) {
        Link *link = userdata;
        Message *message;

        if (!link->used || link->gen != gen || !link->client_open)
                return;
        message = link->to_client.first && link->to_client.first->at_us <= world.now_us ?
                          take(&link->to_client) :
                          NULL;
        if (message) {
                link->on_message(link->userdata, link, message->bytes, message->n);
                free(message);
                return;
        }
        if (link->daemon_open || link->to_client.first || world.now_us < link->to_client.last_us)
                return;
        link->client_open = false;
        free_if_unused(link);
        link->on_message(link->userdata, link, NULL, 0);
}

static void ring_later(Link *link) {
        world_alarm(link->to_client.last_us - world.now_us, NULL, ring, link, link->gen);
}

static void on_accept(void *userdata, uint64_t gen) {
        Link *link = userdata;

        if (!link->used || link->gen != gen || !link->daemon_open ||
            !world_step(&world.daemon, "lets somebody in", (uint64_t)(link - links), 0))
                return;
        host_accept(fd_of(link));
}

Link *link_connect(const Actor *actor, Proc proc, uid_t uid, link_fn on_message, void *userdata) {
        Link *link = links;

        if (!actor_lives(&world.daemon))
                return NULL;
        while (link->used)
                if (++link == links + LINKS_MAX)
                        abort();
        *link = (Link){ .used = true,
                        .gen = link->gen + 1,
                        .actor = actor,
                        .proc = proc,
                        .uid = uid,
                        .on_message = on_message,
                        .userdata = userdata,
                        .client_open = true,
                        .daemon_open = true };
        world_alarm(world_moment_us(), &world.daemon, on_accept, link, link->gen);
        return link;
}

void link_say(Link *link, const Call *call, Proc proc) {
        char *bytes;
        size_t n;

        if (!actor_lives(link->actor) || !link->daemon_open)
                return;
        if (call_encode(call, &bytes, &n) < 0)
                abort();
        post(&link->to_daemon, message_new(bytes, n, proc ? proc_fd(proc) : -1));
        free(bytes);
        host_wake_at(link->to_daemon.last_us);
}

void link_close(Link *link) {
        link->client_open = false;
        link->client_gone_us = MAX(link->to_daemon.last_us, world.now_us + world_moment_us());
        drop_queue(&link->to_client);
        if (link->daemon_open)
                host_wake_at(link->client_gone_us);
        free_if_unused(link);
}

/* -- the daemon's side -- */

void links_credentials(int fd, pid_t *ret_pid, uid_t *ret_uid) {
        *ret_pid = proc_pid(link_of(fd)->proc);
        *ret_uid = link_of(fd)->uid;
}

static bool is_at_end(const Link *link) {
        return !link->client_open && link->client_gone_us <= world.now_us;
}

uint32_t links_events(int fd) {
        const Link *link = link_of(fd);
        uint32_t events = EPOLLOUT;

        if ((link->to_daemon.first && link->to_daemon.first->at_us <= world.now_us) ||
            is_at_end(link))
                events |= EPOLLIN;
        if (is_at_end(link))
                events |= EPOLLRDHUP | (link->to_daemon.first ? 0 : EPOLLHUP);
        return events;
}

uint64_t links_next_us(int fd) {
        const Link *link = link_of(fd);

        if (link->to_daemon.first)
                return link->to_daemon.first->at_us;
        return link->client_open ? UINT64_MAX : link->client_gone_us;
}

/* What it had sent arrives, then the end. */
static void close_daemon_side(Link *link) {
        link->daemon_open = false;
        link->channel = NULL;
        drop_queue(&link->to_daemon);
        link->to_client.last_us = MAX(link->to_client.last_us, world.now_us + world_moment_us());
        if (link->client_open)
                ring_later(link);
        free_if_unused(link);
}

void links_daemon_gone(void) {
        for (size_t i = 0; i < LINKS_MAX; i++)
                if (links[i].used && links[i].daemon_open)
                        close_daemon_side(&links[i]);
}

int channel_new(Channel **ret, int fd, size_t queue_max_bytes) {
        Channel *channel = calloc(1, sizeof(*channel));

        if (!channel)
                return -ENOMEM;
        channel->link = link_of(fd);
        channel->link->channel = channel;
        *ret = channel;
        return 0;
}

/* Of a daemon that is dead the world closes the links. */
Channel *channel_free(Channel *channel) {
        if (!channel)
                return NULL;
        if (channel->link->channel == channel && actor_lives(&world.daemon))
                close_daemon_side(channel->link);
        drop_queue(&channel->unsent);
        free(channel->taken);
        free(channel);
        return NULL;
}

int channel_fd(const Channel *channel) {
        return fd_of(channel->link);
}

int channel_receive(Channel *channel, const char **ret, size_t *ret_n) {
        Link *link = channel->link;

        free(channel->taken);
        channel->taken = NULL;
        if (!actor_lives(&world.daemon))
                return FRAME_E_AGAIN;
        if (!link->to_daemon.first || link->to_daemon.first->at_us > world.now_us)
                return is_at_end(link) ? FRAME_E_CLOSED : FRAME_E_AGAIN;
        channel->taken = take(&link->to_daemon);
        if (!world_step(&world.daemon, "hears something", (uint64_t)(link - links), 0))
                return FRAME_E_AGAIN;
        *ret = channel->taken->bytes;
        *ret_n = channel->taken->n;
        return 0;
}

bool channel_has_message(const Channel *channel) {
        const Link *link = channel->link;

        return link->to_daemon.first && link->to_daemon.first->at_us <= world.now_us;
}

int channel_take_fd(Channel *channel) {
        int fd = channel->taken ? channel->taken->fd : -1;

        if (channel->taken)
                channel->taken->fd = -1;
        return fd;
}

static int send_one(Channel *channel, Message *message) {
        Link *link = channel->link;

        if (!actor_lives(&world.daemon) || !link->client_open) {
                free(message);
                return 0;
        }
        post(&link->to_client, message);
        ring_later(link);
        (void)world_step(&world.daemon, "says something", (uint64_t)(link - links), 0);
        return 0;
}

int channel_queue(Channel *channel, const char *bytes, size_t n, int fd) {
        Message *message = message_new(bytes, n, fd);

        if (world.mutant == MUTANT_ANSWER_BEFORE_COMMIT)
                return send_one(channel, message);
        append(&channel->unsent, message);
        channel->n_unsent += n;
        return 0;
}

int channel_flush(Channel *channel) {
        Message *message;

        while ((message = take(&channel->unsent)))
                (void)send_one(channel, message);
        channel->n_unsent = 0;
        return 0;
}

int channel_send(Channel *channel, const char *bytes, size_t n, int fd) {
        (void)channel_flush(channel);
        return send_one(channel, message_new(bytes, n, fd));
}

size_t channel_n_unsent_bytes(const Channel *channel) {
        return channel->n_unsent;
}

/* Messages come whole here, and memory is not what is looked for. */
size_t channel_n_unread_bytes(const Channel *channel) {
        return 0;
}

size_t channel_in_size(const Channel *channel) {
        return 0;
}

size_t channel_out_size(const Channel *channel) {
        return 0;
}

void channel_drop_unsent(Channel *channel) {
        drop_queue(&channel->unsent);
        channel->n_unsent = 0;
}

/* Nobody sends half a message here. */
void channel_drop_unread(Channel *channel) {
}
