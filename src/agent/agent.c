/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/conversation.h"
#include "agent/epoch.h"
#include "agent/jobs.h"
#include "agent/logs.h"
#include "agent/orders.h"
#include "agent/queue.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "agent/server.h"
#include "agent/stop.h"
#include "store/spool.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/units.h"

#define LOOK_INTERVAL_US (10 * US_PER_SEC) /* until the daemon says how often */
#define WRITE_AGAIN_US   (5 * US_PER_SEC)  /* after the disk was full */

bool agent_has_work(const Agent *agent) {
        return agent->jobs_by_key || agent->runs || agent->submissions;
}

/* What happened is written down; then records go whose ends the daemon knows, after what made their tasks wait. */
static void commit(Agent *agent) {
        bool dirty = spool_is_dirty(agent->spool);
        int r = 0;

        if (dirty || agent->sync_wanted)
                r = spool_commit(agent->spool, agent->sync_wanted);
        agent->sync_wanted = false;
        if (r < 0) { /* the records of what is over wait for it */
                (void)sd_event_source_set_time_relative(agent->write_source, WRITE_AGAIN_US);
                (void)sd_event_source_set_enabled(agent->write_source, SD_EVENT_ONESHOT);
        }
        if (r < 0 || agent->submissions)
                queue_on_commit(agent, r);
        if (spool_is_broken(agent->spool) && !agent->restart) {
                say_error(
                        "what was written to '%s/agent.db' may not be on the disk: beginning anew",
                        agent->folder);
                agent->restart = true;
                (void)sd_event_exit(agent->event, 0);
        }
        if (r == 0)
                runs_drop_over(agent);
}

static void arrange_idle(Agent *agent) {
        bool idle = !agent_has_work(agent) && server_n_peers(agent->server) == 0;
        int enabled = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(agent->idle_source, &enabled);
        if (!idle) {
                (void)sd_event_source_set_enabled(agent->idle_source, SD_EVENT_OFF);
        } else if (enabled == SD_EVENT_OFF) {
                (void)sd_event_source_set_time_relative(agent->idle_source, agent->idle_us);
                (void)sd_event_source_set_enabled(agent->idle_source, SD_EVENT_ONESHOT);
        }
}

static void turn(Agent *agent) {
        agent->n_wanted = 0;
        (void)sd_event_source_set_enabled(agent->turn_source, SD_EVENT_OFF);
        orders_send(agent);
        tell_due(agent);
        conversation_pump(agent->conversation);
        rows_drop_claims(agent);
        commit(agent);
        if (agent_has_work(agent) && !agent->stopping)
                conversation_want(agent->conversation);
        server_answer_status(agent->server);
        arrange_idle(agent);
        stop_go_on(agent);
}

static int on_write(sd_event_source *source, uint64_t usec, void *userdata) {
        agent_want_turn(userdata);
        return 0;
}

static int on_turn(sd_event_source *source, void *userdata) {
        turn(userdata);
        return 0;
}

void agent_want_turn(Agent *agent) {
        if (!agent->turn_source)
                return; /* it is being made */
        (void)sd_event_source_set_enabled(agent->turn_source, SD_EVENT_ONESHOT);
        if (++agent->n_wanted == AGENT_HURRY)
                (void)sd_event_source_set_priority(agent->turn_source, SD_EVENT_PRIORITY_IMPORTANT);
        else if (agent->n_wanted == 1)
                (void)sd_event_source_set_priority(agent->turn_source, SD_EVENT_PRIORITY_IDLE);
}

void agent_remove_spool(Agent *agent) {
        static const char *const files[] = { "agent.db", "agent.db-wal", "agent.db-shm" };

        agent->spool = spool_free(agent->spool);
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s", agent->folder, files[i]) >= 0)
                        (void)unlink(path);
        }
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Agent *agent = userdata;

        if (agent_has_work(agent) || !server_close_if_unused(agent->server))
                return 0;
        agent_remove_spool(agent);
        return sd_event_exit(agent->event, 0);
}

/* TASKFLOW_AGENT_IDLE_MS, see taskflow-agent(8). */
static uint64_t idle_us(void) {
        const char *word = getenv("TASKFLOW_AGENT_IDLE_MS");
        uint64_t ms;

        if (!word || units_parse_uint(word, 0, AGENT_IDLE_US / 1000, &ms, NULL) < 0)
                return AGENT_IDLE_US;
        return ms * US_PER_MSEC;
}

static int open_run(Agent *agent) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/run", agent->folder) < 0)
                return -ENOMEM;
        r = fd_mkdir_p(path, 0700);
        if (r < 0)
                return r;
        agent->run_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return agent->run_fd < 0 ? -errno : 0;
}

/* A timer that is off. */
static int add_timer(Agent *agent, sd_event_source **ret, sd_event_time_handler_t handler) {
        int r;

        r = sd_event_add_time(agent->event, ret, CLOCK_MONOTONIC, 0, US_PER_MSEC, handler, agent);
        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int make_sources(Agent *agent) {
        int r;

        r = add_timer(agent, &agent->idle_source, on_idle);
        if (r >= 0)
                r = add_timer(agent, &agent->write_source, on_write);
        if (r >= 0)
                r = add_timer(agent, &agent->row_source, rows_on_time);
        if (r < 0)
                return r;
        return sd_event_add_defer(agent->event, &agent->turn_source, on_turn, agent);
}

static int open_spool(Agent *agent, Error *error) {
        Error said = {};
        int r;

        r = spool_open(&agent->spool, agent->folder, &said);
        if (r != 0)
                return error_set(error, r < 0 ? r : -EBUSY, "%s", said.text);
        if (said.text[0])
                say_error("%s", said.text);
        return 0;
}

/* In an order in which each has what it uses; the turn, which uses all, comes last. */
static int make_parts(Agent *agent, Error *error) {
        int r;

        r = epoch_begin(agent->folder, EPOCH_WAIT_US, &agent->epoch, error);
        if (r >= 0)
                r = open_spool(agent, error);
        if (r < 0)
                return r;
        r = open_run(agent);
        if (r >= 0)
                r = conversation_new(&agent->conversation, agent);
        if (r >= 0)
                r = logs_new(&agent->logs, agent);
        if (r >= 0)
                r = jobs_load(agent);
        if (r >= 0)
                r = runs_load(agent);
        if (r >= 0)
                r = runs_watch_nursery(agent);
        if (r < 0)
                return error_set(error, r, "cannot read what is in '%s': %s", agent->folder,
                                 strerror(-r));
        r = server_new(&agent->server, agent, error);
        if (r < 0)
                return r;
        r = make_sources(agent);
        return r < 0 ? error_set(error, r, "cannot make a timer: %s", strerror(-r)) : 0;
}

int agent_new(Agent **ret, const AgentOptions *options, Error *error) {
        _cleanup_(agent_freep) Agent *agent = calloc(1, sizeof(*agent));
        int r;

        if (!agent) {
                nursery_free(options->nursery);
                return error_set(error, -ENOMEM, "out of memory");
        }
        agent->nursery = options->nursery;
        agent->run_fd = -1;
        agent->due_end = &agent->due;
        agent->idle_us = idle_us();
        agent->look_interval_us = LOOK_INTERVAL_US;
        agent->folder = strdup(options->folder);
        agent->lives = strdup(options->lives);
        if (!agent->folder || !agent->lives)
                return error_set(error, -ENOMEM, "out of memory");
        r = sd_event_new(&agent->event);
        if (r < 0)
                return error_set(error, r, "cannot make an event loop: %s", strerror(-r));
        r = make_parts(agent, error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(agent);
        return 0;
}

Agent *agent_free(Agent *agent) {
        if (!agent)
                return NULL;
        (void)sd_event_source_disable_unref(agent->turn_source);
        agent->turn_source = NULL;
        server_free(agent->server);
        agent->server = NULL;
        conversation_free(agent->conversation);
        (void)sd_event_source_disable_unref(agent->nursery_source);
        (void)sd_event_source_disable_unref(agent->nursery_gone_source);
        nursery_free(agent->nursery);
        queue_free_all(agent);
        runs_free_all(agent);
        jobs_free_all(agent);
        logs_free(agent->logs);
        if (agent->spool)
                (void)spool_commit(agent->spool, false);
        spool_free(agent->spool);
        (void)sd_event_source_disable_unref(agent->look_source);
        (void)sd_event_source_disable_unref(agent->adopt_source);
        (void)sd_event_source_disable_unref(agent->row_source);
        (void)sd_event_source_disable_unref(agent->idle_source);
        (void)sd_event_source_disable_unref(agent->write_source);
        (void)sd_event_source_disable_unref(agent->stop_source);
        sd_event_unref(agent->event);
        (void)fd_close(agent->run_fd);
        free(agent->whole.bytes);
        free(agent->whole.here);
        free(agent->folder);
        free(agent->lives);
        free(agent);
        return NULL;
}
