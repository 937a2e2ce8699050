/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/rows.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/peers.h"
#include "daemon/records.h"

enum {
        ROW_US = 20 * 1000, /* all of a row together, by how long the last one took */
        ROW_MAX = 32,       /* behind the first */
};

static unsigned length_after(const Task *task, uint64_t ended_at_us) {
        uint64_t us;

        if (task->started_at_us == 0 || ended_at_us < task->started_at_us)
                return 0; /* the clock was set */
        us = ended_at_us - task->started_at_us;
        return us > ROW_US ? 0 : (unsigned)MIN(ROW_US / MAX(us, (uint64_t)1), (uint64_t)ROW_MAX);
}

void rows_note_first(Peer *agent, uint64_t task_id) {
        Daemon *daemon = peer_daemon(agent);

        if (agent->row_length > 0 && daemon->n_rows < ELEMENTSOF(daemon->rows))
                daemon->rows[daemon->n_rows++] = task_id;
}

void rows_note_end(Peer *agent, const Task *task, uint64_t ended_at_us) {
        uint64_t behind = core_find_behind(peer_daemon(agent)->core, task->id);

        agent->ended_in_turn = peer_daemon(agent)->n_turns;
        agent->row_length = length_after(task, ended_at_us);
        if (behind != 0)
                rows_note_first(agent, behind);
}

/* Offers it. Return: whether that could be. */
static bool line_up(Daemon *daemon, PlanOffer *offer) {
        Record *record = record_find(daemon, offer->task_id);
        int r = 0;

        if (!record || !record->owner)
                return false;
        if (offer->index >= 0)
                r = record_split(record, (uint32_t)offer->index, &record);
        if (r == 0)
                r = record_offer(record, offer);
        if (r < 0)
                log_error("cannot grant task %" PRIu64 " its start: %s", offer->task_id,
                          strerror(-r));
        return r == 0;
}

static void fill(Daemon *daemon, uint64_t task_id) {
        const Record *first = record_find(daemon, task_id);
        PlanOffer offer;
        size_t n;

        if (!first || !first->owner || first->owner->ended_in_turn != daemon->n_turns)
                return;
        for (n = core_n_behind(daemon->core, task_id); n < first->owner->row_length; n++)
                if (!core_next_in_row(daemon->core, task_id, &offer) || !line_up(daemon, &offer))
                        return;
}

void rows_fill(Daemon *daemon) {
        for (size_t i = 0; i < daemon->n_rows; i++)
                fill(daemon, daemon->rows[i]);
        daemon->n_rows = 0;
}
