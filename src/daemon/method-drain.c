/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Drain, Undrain: an admin lets nothing more start, for an upgrade or for work on the machine. It is written to the disk before
 * it is answered, and read again at the next start of the daemon.
 */

#include <stdio.h>

#include "daemon/log.h"
#include "daemon/methods.h"
#include "daemon/records.h"
#include "util/clock.h"

/* Offers that nobody has accepted yet are no starts, and shall become none. */
static void take_offers_back(Daemon *daemon) {
        for (Record *record = daemon->records; record; record = record->hh.next) {
                Event event = daemon_event(EVENT_OFFER_RETURNED, record->task_id);

                if (!record->offer)
                        continue;
                record_close_offer(record);
                (void)core_apply(daemon->core, &event);
        }
}

static void set_drain(Peer *peer, CallType type, const Drain *drain) {
        Daemon *daemon = peer_daemon(peer);
        Event event = daemon_event(EVENT_DRAINED, 0);

        event.drain = drain;
        (void)core_apply(daemon->core, &event);
        if (drain->on)
                take_offers_back(daemon);
        daemon->drain_dirty = daemon->write_wanted = daemon->sync_wanted = true;
        if (records_write(daemon))
                peer_reply(peer, &(Reply){ .to = type });
        else
                peer_refuse(peer, type, ERROR_FAILED,
                            "it is done, but cannot be written to '%s' now: if the daemon ended "
                            "before it can, the next one would not know",
                            daemon->state_dir);
        daemon_want_turn(daemon);
}

void method_drain(Peer *peer, Call *call, bool resumed) {
        Drain drain = { .on = true, .by_uid = peer->uid, .at_us = clock_realtime_us() };

        (void)snprintf(drain.reason, sizeof(drain.reason), "%s", call->drain.reason);
        log_info("drained by uid %u, pid %d%s%s", peer->uid, peer->pid, drain.reason[0] ? ": " : "",
                 drain.reason);
        set_drain(peer, CALL_DRAIN, &drain);
}

void method_undrain(Peer *peer, Call *call, bool resumed) {
        log_info("undrained by uid %u, pid %d", peer->uid, peer->pid);
        set_drain(peer, CALL_UNDRAIN, &(Drain){});
}
