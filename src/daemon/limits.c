/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * One timer for all: it goes off when the first of them may have been waited for long enough, looks at every connection, and is
 * armed again for the next. While nobody is waited for there is none.
 */

#include "daemon/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "daemon/log.h"
#include "util/clock.h"
#include "util/units.h"

enum {
        SWEEP_ACCURACY_US = 250 * 1000,
};

struct Limits {
        Daemon *daemon;
        sd_event_source *sweep_source;
        uint64_t sweep_boot_us; /* UINT64_MAX: not armed */
};

/* What the answer to its call is made of, and waits here. */
static size_t owed_bytes(const Peer *peer) {
        size_t n = 0;

        if (peer->cut)
                return 0; /* goes at the end of the turn */
        if (peer->lister)
                n += sizeof(*peer->lister) + peer->lister->n_ids * sizeof(*peer->lister->ids);
        if (peer->is_waiting)
                n += peer->waiting.wait.ids.n * sizeof(*peer->waiting.wait.ids.ids);
        if (peer->has_parked)
                n += PEER_PARKED_SIZE(peer->n_call_bytes);
        return n;
}

static Patience patience_of(const Peer *peer) {
        if (peer->ending)
                return PATIENCE_ENDING;
        if (peer->held)
                return PATIENCE_ENDLESS;
        if (channel_n_unsent_bytes(peer->channel) > 0)
                return PATIENCE_UNREAD;
        if (peer->waits_for_turn || peer->has_parked || peer->is_waiting || peer->lister)
                return PATIENCE_ENDLESS;
        if (channel_n_unread_bytes(peer->channel) > 0)
                return channel_has_message(peer->channel) ? PATIENCE_ENDLESS : PATIENCE_HALF;
        return peer->is_agent || peer->records ? PATIENCE_ENDLESS : PATIENCE_IDLE;
}

static uint64_t deadline_us(const Limits *limits, const Peer *peer) {
        uint64_t max_us = limits->daemon->settings.client_timeout_us;

        if (peer->patience == PATIENCE_ENDLESS)
                return UINT64_MAX;
        if (peer->patience == PATIENCE_ENDING)
                max_us = MIN(max_us, (uint64_t)LIMITS_ENDING_MAX_US);
        return peer->patience_boot_us + max_us;
}

static void arm(Limits *limits, uint64_t boot_us) {
        if (boot_us >= limits->sweep_boot_us)
                return;
        limits->sweep_boot_us = boot_us;
        (void)sd_event_source_set_time(limits->sweep_source, boot_us);
        (void)sd_event_source_set_enabled(limits->sweep_source, SD_EVENT_ONESHOT);
}

static void count(Limits *limits, Peer *peer, size_t n_in_bytes, size_t n_out_bytes) {
        Accounts *accounts = &limits->daemon->accounts;

        peer->account->n_in_bytes += n_in_bytes - peer->n_in_bytes;
        accounts->n_in_bytes += n_in_bytes - peer->n_in_bytes;
        peer->account->n_out_bytes += n_out_bytes - peer->n_out_bytes;
        accounts->n_out_bytes += n_out_bytes - peer->n_out_bytes;
        peer->n_in_bytes = n_in_bytes;
        peer->n_out_bytes = n_out_bytes;
}

/* What a user, or a connection, has of either kind. */
typedef enum Kind {
        KIND_IN,
        KIND_OUT,
} Kind;

static size_t bytes_of_account(const Account *account, Kind kind) {
        return kind == KIND_IN ? account->n_in_bytes : account->n_out_bytes;
}

static size_t bytes_of_peer(const Peer *peer, Kind kind) {
        return kind == KIND_IN ? peer->n_in_bytes : peer->n_out_bytes;
}

static const Account *find_greediest_account(const Accounts *accounts, Kind kind) {
        const Account *greediest = accounts->by_uid;

        for (const Account *a = greediest; a; a = a->hh.next)
                if (bytes_of_account(a, kind) > bytes_of_account(greediest, kind))
                        greediest = a;
        return greediest;
}

/* Of the user, or of the one who has most, the connection that has most. */
static Peer *find_greediest(const Limits *limits, const Account *account, Kind kind) {
        Peer *greediest = NULL;

        if (!account)
                account = find_greediest_account(&limits->daemon->accounts, kind);
        for (Peer *peer = peers_first(limits->daemon->peers); peer; peer = peer->next)
                if (peer->account == account && bytes_of_peer(peer, kind) > 0 && !peer->cut &&
                    (!greediest || bytes_of_peer(peer, kind) > bytes_of_peer(greediest, kind)))
                        greediest = peer;
        return greediest;
}

/* What waits to be sent, or to be answered, is too much: somebody does not read what he asked for. */
static void cut_greediest(Limits *limits, const Account *account, uint64_t max_bytes) {
        Peer *peer = find_greediest(limits, account, KIND_OUT);
        char max[UNITS_FORMAT_MAX];

        if (peer)
                peer_cut(peer, "of %s more than %s waits to be read",
                         account ? "its user" : "all users",
                         units_format_bytes(max, sizeof(max), max_bytes));
}

void limits_note(Limits *limits, Peer *peer) {
        const Account *account = peer->account;
        Patience patience = patience_of(peer);

        count(limits, peer, channel_in_size(peer->channel),
              channel_out_size(peer->channel) + owed_bytes(peer));
        if (patience != peer->patience) {
                peer->patience = patience;
                peer->patience_boot_us = clock_boottime_us();
                arm(limits, deadline_us(limits, peer));
        }
        if (peer->cut)
                return; /* one at a time: to cut is to note */
        if (account->n_out_bytes > ACCOUNT_OUT_BYTES_MAX)
                cut_greediest(limits, account, ACCOUNT_OUT_BYTES_MAX);
        else if (limits->daemon->accounts.n_out_bytes > ACCOUNTS_OUT_BYTES_MAX)
                cut_greediest(limits, NULL, ACCOUNTS_OUT_BYTES_MAX);
}

void limits_touch(Limits *limits, Peer *peer) {
        if (peer->patience != PATIENCE_ENDING)
                peer->patience_boot_us = clock_boottime_us();
}

void limits_forget(Limits *limits, Peer *peer) {
        count(limits, peer, 0, 0);
        if (peers_n(limits->daemon->peers) > 1)
                return;
        limits->sweep_boot_us = UINT64_MAX;
        (void)sd_event_source_set_enabled(limits->sweep_source, SD_EVENT_OFF);
}

/* Nothing more of what it sends is read. */
static void dismiss(Limits *limits, Peer *peer, const char *whose) {
        channel_drop_unread(peer->channel);
        if (peer->ending)
                limits_note(limits, peer); /* it has heard why */
        else
                peer_dismiss(peer, "too much of %s messages is not whole", whose);
}

void limits_check_received(Limits *limits, Peer *peer) {
        if (peer->account->n_in_bytes > ACCOUNT_IN_BYTES_MAX) {
                dismiss(limits, peer, "its user's");
        } else if (limits->daemon->accounts.n_in_bytes > ACCOUNTS_IN_BYTES_MAX) {
                peer = find_greediest(limits, NULL, KIND_IN);
                if (peer)
                        dismiss(limits, peer, "all users'");
        }
}

static void end_one(Limits *limits, Peer *peer) {
        char max[UNITS_FORMAT_MAX];

        (void)units_format_duration(max, sizeof(max), limits->daemon->settings.client_timeout_us);
        switch (peer->patience) {
        case PATIENCE_ENDLESS:
                return;
        case PATIENCE_HALF:
                peer_dismiss(peer, "half a message came, and no more of it within %s", max);
                return;
        case PATIENCE_IDLE:
                peer_dismiss(peer, "nothing was said for %s", max);
                return;
        case PATIENCE_UNREAD:
                peer_cut(peer, "it has read nothing of what it asked for within %s", max);
                return;
        case PATIENCE_ENDING:
                peer_cut(peer, "it does not read what was said at the end");
                return;
        }
}

static int on_sweep(sd_event_source *source, uint64_t usec, void *userdata) {
        Limits *limits = userdata;
        uint64_t now_us = clock_boottime_us();

        limits->sweep_boot_us = UINT64_MAX;
        for (Peer *peer = peers_first(limits->daemon->peers); peer; peer = peer->next) {
                if (peer->cut)
                        continue;
                if (deadline_us(limits, peer) <= now_us)
                        end_one(limits, peer);
                arm(limits, deadline_us(limits, peer));
        }
        return 0;
}

int limits_new(Limits **ret, Daemon *daemon) {
        Limits *limits = calloc(1, sizeof(*limits));
        int r;

        if (!limits)
                return -ENOMEM;
        limits->daemon = daemon;
        limits->sweep_boot_us = UINT64_MAX;
        r = sd_event_add_time(daemon->event, &limits->sweep_source, CLOCK_BOOTTIME, 0,
                              SWEEP_ACCURACY_US, on_sweep, limits);
        if (r < 0) {
                free(limits);
                return r;
        }
        (void)sd_event_source_set_description(limits->sweep_source, "limits-sweep");
        (void)sd_event_source_set_enabled(limits->sweep_source, SD_EVENT_OFF);
        *ret = limits;
        return 0;
}

Limits *limits_free(Limits *limits) {
        if (!limits)
                return NULL;
        (void)sd_event_source_disable_unref(limits->sweep_source);
        free(limits);
        return NULL;
}
