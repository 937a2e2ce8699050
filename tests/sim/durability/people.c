/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "people.h"

#include <stdlib.h>
#include <string.h>

#include "agents.h"
#include "check.h"
#include "host.h"
#include "links.h"
#include "runners.h"
#include "world.h"

enum {
        REQUESTS_MAX = 256,
        VISITS_MAX = 64,
        TRIES_MAX = 50, /* to find an agent */
        CROWD = 12,     /* that submit at once, where tasks are short */
};

struct Request {
        bool used;
        bool said; /* to the agent that is up */
        unsigned owner;
        unsigned n;
        unsigned n_tries;
        Deed *deeds[BATCH_MAX];
};

typedef struct Visit {
        Link *link;
        bool used;
        CallType type;
        Deed *deed;
        unsigned n_troubles; /* with the disk, when it began */
} Visit;

static struct {
        Actor actor; /* never dies */
        Request requests[REQUESTS_MAX];
        Visit visits[VISITS_MAX];
        uint64_t last_told; /* some number that was told */
} people;

static void act_on(unsigned i, CallType type);

/* -- what they ask for -- */

static void some_extras(Deed *deed) {
        Row *row = &deed->row;

        row->detached = true;
        row->requeue = world_chance(30);
        row->retry_max = world_chance(20) ? (unsigned)(1 + world_below(3)) : 0;
        if (world_chance(10)) {
                unsigned n = (unsigned)(2 + world_below(5));

                row->is_array = true;
                row->elements_waiting = (1U << n) - 1;
                row->array.last = n - 1;
                row->array.limit = (unsigned)world_below(4);
        } else if (world_chance(10) && people.last_told != 0) {
                row->n_after = 1;
                row->after[0] = (TaskAfter){ .id = people.last_told, .any = world_chance(50) };
                deed->touched = true;
        }
}

/* Few kinds, so that many are equals. */
static Deed *some_deed(uid_t uid, bool detached) {
        static const uint64_t sizes[] = { 0, 1 * GIB, 4 * GIB, 12 * GIB, 30 * GIB };
        Deed *deed = deed_new();

        deed->row.uid = uid;
        deed->row.priority = world_chance(90) ? TASK_PRIORITY_DEFAULT : 50;
        deed->row.time_limit_us = world_chance(5) ? US_PER_SEC : TASK_TIME_INF;
        deed->row.delay_us = 2 * US_PER_SEC;
        deed->row.memory_bytes = sizes[world_below(ELEMENTSOF(sizes))];
        deed->fail_percent = 25;
        deed->duration_us =
                world_chance(30) ? world_below(50 * US_PER_MSEC) : world_below(20 * US_PER_SEC);
        deed->foreground = !detached;
        if (detached)
                some_extras(deed);
        return deed;
}

/* Two of these run at once. */
static Deed *some_short_deed(uid_t uid) {
        Deed *deed = deed_new();

        deed->row.uid = uid;
        deed->row.priority = TASK_PRIORITY_DEFAULT;
        deed->row.time_limit_us = TASK_TIME_INF;
        deed->row.delay_us = 2 * US_PER_SEC;
        deed->row.cpus = WORLD_CPUS / 2;
        deed->row.detached = true;
        deed->row.requeue = world_chance(10);
        deed->row.retry_max = world_chance(10) ? 1 : 0;
        deed->fail_percent = 10;
        deed->duration_us =
                world_chance(3) ? 200 * US_PER_MSEC : 200 + world_below(4 * US_PER_MSEC - 200);
        if (world_chance(5)) {
                deed->row.is_array = true;
                deed->row.elements_waiting = (1U << ROW_ELEMENTS_MAX) - 1;
                deed->row.array.last = ROW_ELEMENTS_MAX - 1;
        }
        return deed;
}

/* -- asking an agent -- */

static void on_try(void *userdata, uint64_t arg);

static void try_later(Request *request, uint64_t after_us) {
        world_alarm(after_us, NULL, on_try, request, 0);
}

static void on_try(void *userdata, uint64_t arg) {
        Request *request = userdata;
        Agent *agent = &agents[request->owner];

        if (!request->used || request->said)
                return;
        if (actor_lives(&agent->actor)) {
                request->said = true;
                queue_take(agent, request, request->n, request->deeds);
                return;
        }
        if (request->n_tries++ == TRIES_MAX) {
                request->used = false;
                return;
        }
        if (!world.power_lost && !agent->actor.up)
                agent_start_soon(agent, world_moment_us());
        try_later(request, 100 * US_PER_MSEC);
}

static void submit_detached(void) {
        Request *request = people.requests;
        bool is_short = world.rows && world_chance(95);
        unsigned owner = is_short ? 0 : (unsigned)world_below(N_AGENTS);

        while (request->used)
                if (++request == people.requests + REQUESTS_MAX)
                        abort();
        *request = (Request){ .used = true,
                              .owner = owner,
                              .n = is_short         ? BATCH_MAX :
                                   world_chance(70) ? 1 :
                                                      (unsigned)(1 + world_below(BATCH_MAX)) };
        for (unsigned i = 0; i < request->n; i++)
                request->deeds[i] = is_short ? some_short_deed(UID_FIRST + owner) :
                                               some_deed(UID_FIRST + owner, true);
        try_later(request, 0);
}

void people_answer(Request *request, const uint64_t *ids) {
        if (!request->used)
                return;
        for (unsigned i = 0; ids && i < request->n; i++) {
                check_told(request->deeds[i], ids[i]);
                people.last_told = ids[i];
        }
        request->used = false; /* who was refused and tries again, submits something new */
}

void people_agent_gone(unsigned owner) {
        for (size_t i = 0; i < REQUESTS_MAX; i++) {
                Request *request = &people.requests[i];

                if (!request->used || request->owner != owner || !request->said)
                        continue;
                request->said = false;
                if (world_chance(30))
                        request->used = false; /* goes home */
                else
                        try_later(request, world_below(2 * US_PER_SEC));
        }
}

static void on_submit(void *userdata, uint64_t arg) {
        if (world.calm)
                return;
        if (world_chance(world.rows ? 95 : 75))
                submit_detached();
        else
                runner_start(some_deed(UID_FIRST + (uid_t)world_below(N_AGENTS + 1), false));
}

/* -- acting on tasks -- */

/* With the disk, until now. */
static unsigned n_troubles(void) {
        return (unsigned)(world.n_full + world.n_torn);
}

/* What is cancelled now, is so for good: with a disk that can be written. */
static void note_cancelled(const Visit *visit, const char *bytes, size_t n) {
        const Task *task = host_task(visit->deed->id);
        Error error = { 0 };
        Reply reply;

        if (reply_decode(CALL_CANCEL, bytes, n, &reply, &error) != 0) {
                world_fail("an answer to people makes no sense: %s", error.text);
                return;
        }
        if (reply.error == ERROR_NONE && reply.ids.n > 0 && task && task->detached &&
            reply.ids.results[0].outcome != ID_OUTCOME_WRONG_STATE && !visit->deed->withdrawn &&
            visit->n_troubles == n_troubles() && !host_is_failing()) {
                visit->deed->withdrawn = true;
                visit->deed->last_attempt = task->attempt;
        }
        reply_done(&reply);
}

static void on_visit(void *userdata, Link *link, const char *bytes, size_t n) {
        Visit *visit = userdata;

        if (visit->link != link)
                return;
        visit->used = false;
        if (bytes && visit->type == CALL_CANCEL)
                note_cancelled(visit, bytes, n);
        if (bytes)
                link_close(link);
}

static void act_on(unsigned i, CallType type) {
        Deed *deed = deed_at(i);
        Visit *visit = people.visits;
        Call call = { .type = type };

        if (!deed || !deed->told)
                return;
        while (visit->used)
                if (++visit == people.visits + VISITS_MAX)
                        return;
        visit->link = link_connect(&people.actor, 0, deed->row.uid, on_visit, visit);
        if (!visit->link)
                return;
        visit->used = true;
        visit->type = type;
        visit->deed = deed;
        visit->n_troubles = n_troubles() + (world.disk_full || host_is_failing());
        deed->touched = true;
        deed->cancelled |= type == CALL_CANCEL;
        world_note("people", call_type_to_string(type), deed->id, 0);
        call.ids.ids = (IdList){ .n = 1, .ids = &deed->id };
        link_say(visit->link, &call, 0);
}

static unsigned n_deeds(void) {
        unsigned n = 0;

        while (deed_at(n))
                n++;
        return n;
}

static void on_act(void *userdata, uint64_t arg) {
        unsigned n = n_deeds();

        if (world.calm)
                return;
        if (n > 0 && world_chance(30))
                act_on((unsigned)world_below(n), CALL_CANCEL);
        if (n > 0 && world_chance(20)) {
                CallType type = world_chance(50) ? CALL_HOLD : CALL_RELEASE;

                act_on((unsigned)world_below(n), type);
        }
        if (world_chance(3))
                host_restart();
        world_alarm(world_below(5 * US_PER_SEC), NULL, on_act, NULL, 0);
}

/* Whoever looks at tasks sees to it that an agent with something to do is there. */
static void on_look(void *userdata, uint64_t arg) {
        for (unsigned i = 0; i < N_AGENTS; i++) {
                size_t at = 0;

                if (!agents[i].actor.up && !world.power_lost &&
                    (agents[i].spool.n > 0 || file_next(i, &at) ||
                     (world.calm && host_n_tasks() > 0)))
                        agent_start_soon(&agents[i], world_moment_us());
        }
        if (world.calm)
                for (unsigned i = 0; deed_at(i); i++) {
                        const Task *task = host_task(deed_at(i)->id);

                        if (task && task->state == TASK_STATE_HELD)
                                act_on(i, CALL_RELEASE);
                }
        world_alarm(world.calm ? US_PER_SEC : world_below(30 * US_PER_SEC), NULL, on_look, NULL, 0);
}

void people_booted(void) {
        for (unsigned i = 0; i < N_AGENTS; i++)
                if (world_chance(50))
                        agent_start_soon(&agents[i], world_below(5 * US_PER_SEC));
        for (size_t i = 0; i < VISITS_MAX; i++)
                people.visits[i].used = false;
        for (size_t i = 0; i < REQUESTS_MAX; i++) /* their terminals are gone */
                people.requests[i].used = false;
}

void people_calm(void) {
        on_look(NULL, 0);
}

bool people_rest(void) {
        for (size_t i = 0; i < REQUESTS_MAX; i++)
                if (people.requests[i].used)
                        return false;
        return true;
}

void people_begin(unsigned n_submissions, uint64_t span_us) {
        uint64_t at_us = 0;

        memset(&people, 0, sizeof(people));
        people.actor = (Actor){ .name = "people", .up = true };
        for (unsigned i = 0; i < n_submissions; i++) {
                if (!world.rows || i % CROWD == 0)
                        at_us = world_below(span_us);
                world_alarm(at_us + (world.rows ? world_below(20 * US_PER_MSEC) : 0), NULL,
                            on_submit, NULL, 0);
        }
        world_alarm(US_PER_SEC, NULL, on_act, NULL, 0);
        world_alarm(5 * US_PER_SEC, NULL, on_look, NULL, 0);
}
