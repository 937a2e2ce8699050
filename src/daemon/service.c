/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A peer that waits for its turn is not watched: its socket stays readable, and would wake us for nothing. Turns are given
 * behind all that became ready meanwhile, so that a user who has credit waits for one of them at the most. Many such users
 * could put them off, so that so many messages bring a turn on.
 */

#include "daemon/service.h"

#include <errno.h>
#include <stdlib.h>

#include "util/clock.h"

enum {
        PRIORITY_BEHIND = SD_EVENT_PRIORITY_NORMAL + 5, /* before the daemon's own turn */
        PRIORITY_NOW = SD_EVENT_PRIORITY_NORMAL - 5,
        SERVED_PER_TURN = 64,
};

struct Service {
        Daemon *daemon;
        AccountRing ring;  /* those with peers that wait */
        unsigned n_served; /* with credit, since the last turn */
        sd_event_source *source;
};

static uint64_t credit_us(Account *account, uint64_t now_boot_us) {
        uint64_t gained_us = (now_boot_us - account->credit_boot_us) / SERVICE_CREDIT_SHARE;

        if (gained_us > 0) {
                account->credit_us =
                        MIN(account->credit_us + (int64_t)MIN(gained_us, (uint64_t)INT32_MAX),
                            (int64_t)SERVICE_CREDIT_MAX_US);
                account->credit_boot_us = now_boot_us;
        }
        return account->credit_us > 0 ? (uint64_t)account->credit_us : 0;
}

/* A debt is paid back by waiting for turns; more than a few of them are forgiven. */
static void charge(Account *account, uint64_t us) {
        account->credit_us = MAX(account->credit_us - (int64_t)MIN(us, (uint64_t)INT32_MAX),
                                 -(int64_t)SERVICE_CREDIT_MAX_US);
}

void service_queue(Service *service, Peer *peer) {
        Account *account = peer->account;

        if (peer->waits_for_turn)
                return;
        if (TAILQ_EMPTY(&service->ring))
                service->n_served = 0;
        if (TAILQ_EMPTY(&account->waiting))
                TAILQ_INSERT_TAIL(&service->ring, account, ring_link);
        TAILQ_INSERT_TAIL(&account->waiting, peer, turn_link);
        peer->waits_for_turn = true;
        (void)sd_event_source_set_enabled(peer->io, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(service->source, SD_EVENT_ONESHOT);
}

static void take_out(Service *service, Peer *peer) {
        Account *account = peer->account;

        TAILQ_REMOVE(&account->waiting, peer, turn_link);
        peer->waits_for_turn = false;
        if (TAILQ_EMPTY(&account->waiting))
                TAILQ_REMOVE(&service->ring, account, ring_link);
}

void service_forget(Service *service, Peer *peer) {
        if (peer->waits_for_turn)
                take_out(service, peer);
}

void service_peer(Service *service, Peer *peer) {
        Account *account = peer->account;
        uint64_t start_us = clock_boottime_us();

        if (peer->waits_for_turn)
                return;
        if (credit_us(account, start_us) == 0) {
                service_queue(service, peer);
                return;
        }
        peer_work(peer);
        charge(account, clock_boottime_us() - start_us);
        daemon_hurry_turn(service->daemon);
        if (++service->n_served == SERVED_PER_TURN && !TAILQ_EMPTY(&service->ring))
                (void)sd_event_source_set_priority(service->source, PRIORITY_NOW);
}

static void go_to_the_end(Service *service, Account *account) {
        if (TAILQ_EMPTY(&account->waiting))
                return;
        TAILQ_REMOVE(&service->ring, account, ring_link);
        TAILQ_INSERT_TAIL(&service->ring, account, ring_link);
}

/* Serves a user until his turn is over, whatever the clock says of that. */
static void give_turn(Service *service, Account *account) {
        uint64_t start_us = clock_boottime_us(), us = 0;
        unsigned n = 0;

        while (!TAILQ_EMPTY(&account->waiting) && (int64_t)us < account->turn_us &&
               n++ < SERVED_PER_TURN) {
                Peer *peer = TAILQ_FIRST(&account->waiting);

                take_out(service, peer);
                (void)sd_event_source_set_enabled(peer->io, SD_EVENT_ON);
                peer_work(peer);
                daemon_hurry_turn(service->daemon);
                us = clock_boottime_us() - start_us;
        }
        account->turn_us -= (int64_t)MIN(us, (uint64_t)INT32_MAX);
        charge(account, us);
}

/* One user's. What he took beyond his last turn is taken off: he is left out until it is made up for, if others wait. */
static int on_turn(sd_event_source *source, void *userdata) {
        Service *service = userdata;
        Account *account = TAILQ_FIRST(&service->ring);

        if (service->n_served >= SERVED_PER_TURN)
                (void)sd_event_source_set_priority(source, PRIORITY_BEHIND);
        service->n_served = 0;
        if (!account)
                return 0;
        account->turn_us = MIN(account->turn_us + SERVICE_TURN_US, (int64_t)SERVICE_TURN_US);
        if (account->turn_us <= 0 && !TAILQ_NEXT(account, ring_link))
                account->turn_us = SERVICE_TURN_US;
        if (account->turn_us > 0)
                give_turn(service, account);
        go_to_the_end(service, account);
        if (!TAILQ_EMPTY(&service->ring))
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

int service_new(Service **ret, Daemon *daemon) {
        Service *service = calloc(1, sizeof(*service));
        int r;

        if (!service)
                return -ENOMEM;
        service->daemon = daemon;
        TAILQ_INIT(&service->ring);
        r = sd_event_add_defer(daemon->event, &service->source, on_turn, service);
        if (r < 0) {
                free(service);
                return r;
        }
        (void)sd_event_source_set_description(service->source, "service");
        (void)sd_event_source_set_priority(service->source, PRIORITY_BEHIND);
        (void)sd_event_source_set_enabled(service->source, SD_EVENT_OFF);
        *ret = service;
        return 0;
}

Service *service_free(Service *service) {
        if (!service)
                return NULL;
        (void)sd_event_source_disable_unref(service->source);
        free(service);
        return NULL;
}
