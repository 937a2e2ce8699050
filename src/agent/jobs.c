/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/jobs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/conversation.h"
#include "agent/queue.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "store/spool.h"
#include "util/boot.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/units.h"

#define CLOCK_KEY "clock" /* of the spool's meta */

Job *job_new(Agent *agent, const uint8_t key[static TASK_KEY_BYTES]) {
        Job *job;

        job = calloc(1, sizeof(*job));
        if (!job)
                return NULL;
        job->agent = agent;
        (void)memcpy(job->key, key, sizeof(job->key));
        HASH_ADD(hh_key, agent->jobs_by_key, key, sizeof(job->key), job);
        return job;
}

Job *job_find_key(const Agent *agent, const uint8_t key[static TASK_KEY_BYTES]) {
        Job *job = NULL;

        HASH_FIND(hh_key, agent->jobs_by_key, key, TASK_KEY_BYTES, job);
        return job;
}

Job *job_find(const Agent *agent, uint64_t ref) {
        uint64_t id = task_ref_id(ref);
        Job *job = NULL;

        HASH_FIND(hh_id, agent->jobs_by_id, &id, sizeof(id), job);
        return job;
}

static void forget_id(Job *job) {
        if (job->id == 0)
                return;
        HASH_DELETE(hh_id, job->agent->jobs_by_id, job);
        job->id = 0;
}

void job_set_id(Job *job, uint64_t id) {
        Agent *agent = job->agent;
        Job *other;

        job->foreign = false;
        if (job->id == id)
                return;
        forget_id(job);
        other = job_find(agent, id);
        if (other) /* of another database, or of a copy of this one */
                forget_id(other);
        job->id = id;
        HASH_ADD(hh_id, agent->jobs_by_id, id, sizeof(job->id), job);
}

void job_note_id(Job *job, uint64_t id) {
        int r;

        job_set_id(job, id);
        r = spool_set_id(job->agent->spool, job->row, job->key, id);
        if (r < 0 && r != -ENOENT && r != -ERANGE)
                queue_on_commit(job->agent, r);
        /* By its key it is found again, so this need not succeed. */
        agent_want_turn(job->agent);
}

void job_set_foreign(Job *job) {
        job->foreign |= job->id != 0;
        forget_id(job);
        job->give_up_source = sd_event_source_disable_unref(job->give_up_source);
}

void job_keep(Job *job) {
        job->give_up_at_us = 0;
        job->give_up_source = sd_event_source_disable_unref(job->give_up_source);
}

static void job_free(Job *job) {
        job_keep(job);
        forget_id(job);
        HASH_DELETE(hh_key, job->agent->jobs_by_key, job);
        free(job);
}

void job_drop(Job *job) {
        Agent *agent = job->agent;
        uint64_t id = job->id;
        int r;

        r = spool_remove_task(agent->spool, job->row, job->key);
        if (r < 0) { /* the next agent asks about it, and removes it */
                say_error("task %" PRIu64 " is over, but stays in the spool: %s", job->id,
                          strerror(-r));
                queue_on_commit(agent, r);
        }
        job_free(job);
        runs_drop_claims(agent, id);
        agent_want_turn(agent);
}

static int on_give_up(sd_event_source *source, uint64_t usec, void *userdata) {
        char waited[UNITS_FORMAT_MAX], at[CLOCK_ISO_MAX] = "", reason[64];
        Job *job = userdata;

        (void)clock_format_iso(at, sizeof(at), job->give_up_at_us);
        if (job->wait_us != 0)
                (void)snprintf(reason, sizeof(reason), "not started within %s",
                               units_format_duration(waited, sizeof(waited), job->wait_us));
        else /* it was an earlier agent that was told so */
                (void)snprintf(reason, sizeof(reason), "not started by %s", at);
        conversation_withdraw(job->agent->conversation, job->id, reason);
        return 0;
}

void job_watch_time(Job *job) {
        uint64_t offset_us = job->agent->clock_offset_us;
        int r;

        if (job->give_up_at_us == 0)
                return;
        job->give_up_source = sd_event_source_disable_unref(job->give_up_source);
        r = sd_event_add_time(job->agent->event, &job->give_up_source, CLOCK_BOOTTIME,
                              job->give_up_at_us - MIN(offset_us, job->give_up_at_us), 0,
                              on_give_up, job);
        if (r < 0)
                say_error("task %" PRIu64 " will not be given up in time: %s", job->id,
                          strerror(-r));
}

/*
 * Of one key there may be two: one was removed, that was undone as the disk was full, and its command came once more. The other is
 * removed some day by an agent that does not find this one.
 */
static int load_one(const SpoolEntry *entry, void *userdata) {
        Agent *agent = userdata;
        Job *job = job_find_key(agent, entry->key);

        if (!job)
                job = job_new(agent, entry->key);
        if (!job)
                return -ENOMEM;
        job->row = entry->row;
        job->give_up_at_us = entry->give_up_at_us;
        if (entry->id != 0)
                job_set_id(job, entry->id);
        return 0;
}

uint64_t jobs_now_us(const Agent *agent) {
        return clock_boottime_us() + agent->clock_offset_us;
}

/* The agents of one boot have one clock: kept as BOOT_ID OFFSET. */
static int load_clock(Agent *agent) {
        uint64_t now_us = clock_realtime_us();
        char boot_id[BOOT_ID_SIZE], text[BOOT_ID_SIZE + 24];
        _cleanup_free_ char *kept = NULL;
        int r;

        r = boot_id_read(boot_id);
        if (r < 0)
                return r;
        r = spool_get_meta(agent->spool, CLOCK_KEY, &kept);
        if (r == 0 && strncmp(kept, boot_id, BOOT_ID_SIZE - 1) == 0 &&
            kept[BOOT_ID_SIZE - 1] == ' ' &&
            units_parse_uint(kept + BOOT_ID_SIZE, 0, INT64_MAX, &agent->clock_offset_us, NULL) >= 0)
                return 0;
        agent->clock_offset_us = now_us - MIN(now_us, clock_boottime_us());
        (void)snprintf(text, sizeof(text), "%s %" PRIu64, boot_id, agent->clock_offset_us);
        if (spool_put_meta(agent->spool, CLOCK_KEY, text) < 0)
                say_warning(
                        "cannot write to '%s/agent.db': -w of tasks that are queued now goes by a "
                        "clock that somebody may set",
                        agent->folder);
        return 0;
}

int jobs_load(Agent *agent) {
        int r = load_clock(agent);

        return r < 0 ? r : spool_each(agent->spool, load_one, agent);
}

void jobs_free_all(Agent *agent) {
        Job *job, *next;

        HASH_ITER(hh_key, agent->jobs_by_key, job, next) {
                job_free(job);
        }
}
