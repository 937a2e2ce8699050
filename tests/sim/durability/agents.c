/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agents.h"

#include <stdlib.h>
#include <string.h>

#include "people.h"

Agent agents[N_AGENTS];

#define IDLE_US        (10 * US_PER_SEC)
#define WRITE_AGAIN_US (5 * US_PER_SEC)

static const char *const names[N_AGENTS] = { "agent 0", "agent 1" };

void agents_begin(void) {
        for (unsigned i = 0; i < N_AGENTS; i++) {
                memset(&agents[i], 0, sizeof(agents[i]));
                agents[i].number = i;
                agents[i].looks_again_us = UINT64_MAX;
                agents[i].uid = UID_FIRST + i;
                agents[i].actor.name = names[i];
                shelf_init(&agents[i].spool, sizeof(uint64_t));
        }
}

void agents_end(void) {
        for (unsigned i = 0; i < N_AGENTS; i++)
                shelf_done(&agents[i].spool);
}

Agent *agents_find(const Actor *actor) {
        for (unsigned i = 0; i < N_AGENTS; i++)
                if (actor == &agents[i].actor)
                        return &agents[i];
        return NULL;
}

/* -- jobs -- */

Job *job_find_deed(Agent *agent, const Deed *deed) {
        for (size_t i = 0; i < agent->n_jobs; i++)
                if (agent->jobs[i].used && agent->jobs[i].deed == deed)
                        return &agent->jobs[i];
        return NULL;
}

Job *job_find(Agent *agent, uint64_t ref) {
        uint64_t id = task_ref_id(ref);

        for (size_t i = 0; i < agent->n_jobs; i++)
                if (agent->jobs[i].used && agent->jobs[i].id == id)
                        return &agent->jobs[i];
        return NULL;
}

Job *job_new(Agent *agent, Deed *deed) {
        Job *job = agent->jobs;

        while (job->used)
                if (++job == agent->jobs + JOBS_MAX)
                        abort();
        agent->n_jobs = MAX(agent->n_jobs, (size_t)(job - agent->jobs) + 1);
        *job = (Job){ .used = true, .deed = deed };
        return job;
}

void job_note_id(Agent *agent, Job *job, uint64_t id) {
        job->id = id;
        if (actor_lives(&agent->actor) && shelf_get(&agent->spool, job->deed->number))
                shelf_put(&agent->spool, job->deed->number, &id);
        agent_want_turn(agent);
}

void job_drop(Agent *agent, Job *job) {
        uint64_t id = job->id;

        if (actor_lives(&agent->actor))
                shelf_remove(&agent->spool, job->deed->number);
        job->used = false;
        if (id != 0)
                runs_drop_claims(agent, id);
        agent_want_turn(agent);
}

static void load_jobs(Agent *agent) {
        for (size_t i = 0; i < agent->spool.n; i++) {
                Deed *deed = deed_at((unsigned)agent->spool.keys[i] - 1);
                Job *job = job_new(agent, deed);

                job->id = *(uint64_t *)shelf_get(&agent->spool, agent->spool.keys[i]);
        }
}

/* -- the turn -- */

/* Return: whether all is written. */
static bool commit(Agent *agent) {
        bool sync = agent->sync_wanted;

        agent->sync_wanted = false;
        if (!actor_lives(&agent->actor))
                return false;
        if (agent->spool.dirty && world.disk_full) {
                shelf_rollback(&agent->spool);
                return false;
        }
        if (agent->spool.dirty && !world_step(&agent->actor, "commits", 0, 0))
                return false;
        shelf_commit(&agent->spool);
        if (!sync)
                return true;
        if (!world_step(&agent->actor, "has committed", 0, 0))
                return false;
        if (world.mutant != MUTANT_SPOOL_NOT_SYNCED)
                shelf_sync(&agent->spool);
        return world_step(&agent->actor, "has synced", 0, 0);
}

static void on_write(void *userdata, uint64_t arg) {
        agent_want_turn(userdata);
}

static void on_turn(void *userdata, uint64_t arg) {
        Agent *agent = userdata;
        bool good;

        agent->turn_planned = false;
        orders_send(agent);
        tell_due(agent);
        talk_pump(agent);
        good = commit(agent);
        if (!actor_lives(&agent->actor))
                return;
        if (!good)
                world_alarm(WRITE_AGAIN_US, &agent->actor, on_write, agent, 0);
        queue_on_commit(agent, good);
        if (good)
                runs_drop_over(agent);
        (void)world_step(&agent->actor, "has had its turn", 0, 0);
}

void agent_want_turn(Agent *agent) {
        agent->idle_since_us = world.now_us;
        if (agent->turn_planned || !actor_lives(&agent->actor))
                return;
        agent->turn_planned = true;
        world_alarm(world_moment_us() / 4, &agent->actor, on_turn, agent, 0);
}

/* -- life and death -- */

static bool any_used(const Agent *agent) {
        for (size_t i = 0; i < agent->n_jobs; i++)
                if (agent->jobs[i].used)
                        return true;
        for (size_t i = 0; i < agent->n_runs; i++)
                if (agent->runs[i].used)
                        return true;
        for (size_t i = 0; i < SUBMISSIONS_MAX; i++)
                if (agent->submissions[i].used)
                        return true;
        return agent->n_asked > 0 || agent->n_questions > 0;
}

bool agent_has_rest(const Agent *agent) {
        return !any_used(agent) && agent->spool.n == 0;
}

/* What it knows is gone with it. */
static void forget(Agent *agent) {
        agent->n_jobs = agent->n_runs = 0;
        memset(agent->jobs, 0, sizeof(agent->jobs));
        memset(agent->runs, 0, sizeof(agent->runs));
        memset(agent->submissions, 0, sizeof(agent->submissions));
        agent->link = NULL;
        agent->ready = agent->turn_planned = agent->sync_wanted = agent->rows_armed = false;
        agent->looks_again_us = UINT64_MAX;
        agent->first_asked = agent->n_asked = agent->n_questions = 0;
        agent->n_listed = agent->n_early = 0;
}

static void go(Agent *agent) {
        Link *link = agent->link;

        if (link)
                link_close(link);
        keepers_agent_gone(agent->number);
        forget(agent);
        shelf_rollback(&agent->spool);
        proc_exit(agent->proc);
        actor_sink(&agent->actor);
        people_agent_gone(agent->number);
}

static void on_idle(void *userdata, uint64_t arg) {
        Agent *agent = userdata;

        if (any_used(agent) || world.now_us - agent->idle_since_us < IDLE_US) {
                world_alarm(IDLE_US / 2, &agent->actor, on_idle, agent, 0);
                return;
        }
        world_note(agent->actor.name, "has nothing to do, and ends", 0, 0);
        while (agent->spool.n > 0) /* what it could not remove: the whole file goes */
                shelf_remove(&agent->spool, agent->spool.keys[0]);
        shelf_commit(&agent->spool);
        go(agent);
}

static void on_start(void *userdata, uint64_t arg) {
        Agent *agent = userdata;

        if (agent->actor.up || world.power_lost)
                return;
        actor_rise(&agent->actor);
        agent->proc = proc_fork(0, agent->uid);
        agent->idle_since_us = world.now_us;
        agent->retry_us = 0;
        if (!world_step(&agent->actor, "starts", 0, 0))
                return;
        if (world.mutant != MUTANT_SPOOL_NOT_SYNCED)
                shelf_sync(&agent->spool);
        agent->epoch += world.mutant != MUTANT_EPOCH_GOES_ON;
        load_jobs(agent);
        runs_load(agent);
        if (!world_step(&agent->actor, "has loaded", 0, 0))
                return;
        world_alarm(IDLE_US, &agent->actor, on_idle, agent, 0);
        talk_connect(agent);
}

void agent_start_soon(Agent *agent, uint64_t after_us) {
        world_alarm(after_us, NULL, on_start, agent, 0);
}

void agents_bury(void) {
        for (unsigned i = 0; i < N_AGENTS; i++)
                if (agents[i].actor.dead)
                        go(&agents[i]);
}

void agents_lose_power(void) {
        for (unsigned i = 0; i < N_AGENTS; i++)
                shelf_lose_power(&agents[i].spool);
}

/* -- processes that are watched -- */

static void on_proc_ended(void *userdata, uint64_t proc) {
        Agent *agent = userdata;

        for (size_t i = 0; i < agent->n_runs; i++) {
                Run *run = &agent->runs[i];

                if (run->used && run->watched == (Proc)proc)
                        run_on_watched_end(agent, run);
        }
}

void agents_proc_ended(Proc proc, uint64_t not_before_us) {
        uint64_t at_us = MAX(world.now_us + world_moment_us(), not_before_us + 1);

        for (unsigned i = 0; i < N_AGENTS; i++)
                if (actor_lives(&agents[i].actor))
                        world_alarm(at_us - world.now_us, &agents[i].actor, on_proc_ended,
                                    &agents[i], proc);
}
