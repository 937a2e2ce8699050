/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/audit.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/ref.h"
#include "daemon/accounts.h"
#include "daemon/log.h"
#include "util/clock.h"

void audit_act(const Peer *peer, CallType act, uint64_t task_id, uid_t owner) {
        char id[TASK_REF_FORMAT_MAX];

        if (peer->uid != owner)
                log_info("%s of task %s of uid %u by uid %u, pid %d", call_type_to_string(act),
                         task_ref_format(id, sizeof(id), task_id), owner, peer->uid, peer->pid);
}

/* Whether a line may be written, after a word about those that were not. */
static bool may_log(Peer *peer) {
        uint64_t n_unsaid = 0;

        if (!account_may_log(peer->account, clock_boottime_us(), &n_unsaid))
                return false;
        if (n_unsaid > 0)
                log_info("uid %u was refused %" PRIu64 " times more", peer->uid, n_unsaid);
        return true;
}

void audit_refused(Peer *peer, CallType act, uint64_t task_id, uid_t owner) {
        char id[TASK_REF_FORMAT_MAX];

        if (may_log(peer))
                log_info("refused: %s of task %s of uid %u by uid %u, pid %d",
                         call_type_to_string(act), task_ref_format(id, sizeof(id), task_id), owner,
                         peer->uid, peer->pid);
}

void audit_kept_out(Peer *peer, CallType act) {
        if (may_log(peer))
                log_info("refused: %s by uid %u, pid %d", call_type_to_string(act), peer->uid,
                         peer->pid);
}
