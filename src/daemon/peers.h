#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Peers
 *
 * The connections. Who a peer is comes from the kernel at accept() and from nothing else. Each is served one message at a
 * time, and one user's connections are bounded.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/daemon.h"
#include "wire/frame.h"
#include "wire/message.h"

enum {
        PEER_QUEUE_MAX_BYTES = 4 * 1024 * 1024, /* a reader slower than this is cut */
        PEER_BACKLOG_BYTES = 64 * 1024, /* with so much to be read, no more calls are served */
};

/* About what a call that was read takes while it is parked: @n bytes of text, and the structs. */
#define PEER_PARKED_SIZE(n) (4096 + 2 * (n))

/* What a peer is waited for. */
typedef enum Patience {
        PATIENCE_ENDLESS, /* it waits for us, or is a runner: these say nothing for hours */
        PATIENCE_HALF,    /* the rest of a message */
        PATIENCE_UNREAD,  /* that it reads what it asked for */
        PATIENCE_IDLE,    /* that it asks for something */
        PATIENCE_ENDING,  /* that it reads our last words */
} Patience;

/* A list that is being sent in several replies. */
typedef struct Lister {
        CallType type; /* LIST or AGENT */
        bool explain;
        bool ended;
        bool has_uid;
        uid_t uid;
        size_t n_ids, next;
        uint64_t *ids;         /* of active tasks, taken at the start */
        uint64_t ended_before; /* next page of ended ones */
        bool ended_done;
        bool sorted; /* @ids, of which those that were not sent are 0 */
} Lister;

struct Peer {
        Peers *peers;
        Peer *prev, *next;
        Channel *channel;
        sd_event_source *io;
        pid_t pid;
        uid_t uid;
        Account *account; /* of the uid */
        gid_t gid;
        bool is_admin;
        bool is_allowed;   /* by the settings to use the daemon */
        bool is_agent;     /* of its user: owns the detached tasks */
        unsigned n_silent; /* records whose offer it did not answer */
        uint64_t
                ended_in_turn; /* of an agent: in which it said last that a task has ended; 0: never */
        unsigned row_length; /* of those that may follow it, see rows.h */
        Record *records;     /* of the tasks that this connection runs, by owner_next */

        bool waits_for_turn; /* service.h */
        TAILQ_ENTRY(Peer) turn_link;

        /* limits.h */
        size_t n_in_bytes, n_out_bytes; /* of memory, as its account has them */
        Patience patience;
        uint64_t patience_boot_us; /* since when */

        /* While one of these stands, no further message is read: replies keep the order of their calls. */
        bool has_parked;
        Call parked;                  /* waits for a look at the GPUs */
        size_t n_call_bytes;          /* of the call that is served, or parked */
        bool resume_due, looked;      /* it may go on; after a look */
        sd_event_source *park_source; /* how long at most; NULL: as long as the probe may take */
        uint64_t
                park_end_boot_us; /* of the call that is served: it is parked no longer than until then; 0: never was */
        bool is_waiting;
        Call waiting;  /* WAIT, until its tasks have ended */
        bool wait_due; /* one of them has */
        Lister *lister;

        bool served; /* just now */
        bool ending; /* closed as soon as all is sent */
        bool cut;    /* and nothing more is sent */
        bool held;   /* what it is told waits for a commit, see peers_release() */
        Peer *held_next;
};

/* The core knows what the settings say of the peer's user. Call it before a task of its comes. */
void peer_tell_rules(Peer *peer);

int peers_new(Peers **ret, Daemon *daemon);
Peers *peers_free(Peers *peers); /* ends every connection */
DEFINE_CLEANUP(Peers *, peers_free);

/**
 * peers_add() - somebody was let in
 * @fd:         taken in any case
 *
 * Its first message is served at once, if it is there. A user with too many connections is told so and left out.
 *
 * Return: 0, or negative errno: out of descriptors or memory.
 */
int peers_add(Peers *peers, int fd);

size_t peers_n(const Peers *peers);

/*
 * Sends what was kept, after the commit. @written: else agents are cut instead, who must be told nothing that is not on the
 * disk: they ask again, and hear why it can't be.
 */
void peers_release(Peers *peers, bool written);

/* Who is an admin and who is let in, by settings that were read again. */
void peers_judge(Peers *peers);

/* Every connection, by ->next, in no order. */
Peer *peers_first(Peers *peers);

/*
 * Sends a reply or a oneway call. A peer that reads too slowly is cut. While something is to be written at the end of the turn
 * it is kept until then: nobody is told of a change that a daemon killed now would not remember.
 */
void peer_reply(Peer *peer, const Reply *reply);
void peer_send(Peer *peer, const Call *call);

/* Whether the other side is gone, also if that was not noticed yet. */
bool peer_has_hung_up(const Peer *peer);

/* Ends the connection at the end of the turn, when what was said is out. */
void peer_end(Peer *peer);

/* Ends it without a word to it, but one in the log; closed at the end of the turn. */
void peer_cut(Peer *peer, const char *fmt, ...) _printf_(2, 3);

/* Ends it with an error sentence, which also goes to the log. */
void peer_dismiss(Peer *peer, const char *fmt, ...) _printf_(2, 3);

/* Does what there is to do for it: sends what waits, goes on with a list, serves its messages. It may be gone then. */
void peer_work(Peer *peer);

/* Replies with an error sentence. */
void peer_refuse(Peer *peer, CallType to, ErrorName name, const char *fmt, ...) _printf_(4, 5);

/* The call waits for a look at the GPUs, but not longer than @max_us (TASK_TIME_INF: as long as the probe may take), also if
 * it is parked again; taken. */
void peer_park(Peer *peer, Call *call, uint64_t max_us);

/* Whether the call was parked for as long as it may be. */
bool peer_park_is_over(const Peer *peer);

/* Serves the parked calls again, each in its turn. @looked: after a look at the GPUs, whatever it brought. */
void peers_resume_parked(Peers *peers, bool looked);

/* A task has ended: whoever waits for it may be answered. */
void peers_task_ended(Peers *peers, uint64_t task_id);

/* The oldest descriptor that came with its messages, -1: none; the caller closes it. */
int peer_take_fd(Peer *peer);

/* The daemon it talks to. */
Daemon *peer_daemon(const Peer *peer);
