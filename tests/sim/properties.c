/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Random events
 *
 * Anything that may happen, in any order, sensible or not, with figures that need not fit together:
 * whatever comes, the core must follow its rules. In the end everything that could ever run must
 * have run.
 *
 *     properties [SEED [ROUNDS]]
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/signature.h"
#include "sim/rng.h"
#include "util/macro.h"

#include "drive.h"

enum {
        N_GPUS = 4,
        N_USERS = 3,
        N_ALIVE_MAX = 40,
        EVENTS_A_ROUND = 1500,
};

/* What makes tasks alike beside their needs. */
typedef struct Traits {
        uid_t uid;
        unsigned priority;
        bool delay_given;
        uint64_t delay_us;
        uint64_t time_limit_us;
} Traits;

typedef struct Round {
        Drive drive;
        Rng rng;
        uint64_t last_id;
        Traits last; /* of the last task */
        unsigned n_gpus;
        GpuSample gpus[N_GPUS];
        uint64_t ram_total_bytes;
        uint64_t n_ended;
        uint64_t n_split;
        uint64_t n_doomed;
} Round;

static uint64_t some_gib(Round *round, uint64_t max) {
        static const unsigned shares[] = { 1, 2, 3, 5, 10, 25, 50, 100 };

        return max / 100 * shares[rng_below(&round->rng, ELEMENTSOF(shares))];
}

static uid_t some_user(Round *round) {
        return 1000 + (uid_t)rng_below(&round->rng, N_USERS);
}

static Policy some_policy(Rng *rng) {
        static const uint64_t patiences_s[] = { 0, 0, 5, 60, 600 };
        Policy policy = policy_default();

        policy.n_cpus = (unsigned)rng_between(rng, 1, 16);
        policy.delay_strict = rng_chance(rng, 20);
        policy.unfilled_delay = rng_chance(rng, 20);
        policy.gpu_pick_pack = rng_chance(rng, 50);
        policy.reserved_memory_bytes = rng_below(rng, 3) * GIB;
        policy.reserved_gpu_memory_bytes = rng_below(rng, 2) * MIB;
        policy.ample_factor_permille = rng_between(rng, 1, 4) * 1000;
        policy.priority_limit = (unsigned)rng_between(rng, 0, 2) * 100;
        policy.priority_age_us = rng_chance(rng, 30) ? TASK_TIME_INF : 30 * US_PER_SEC;
        policy.patience_us = patiences_s[rng_below(rng, ELEMENTSOF(patiences_s))] * US_PER_SEC;
        if (rng_chance(rng, 10))
                policy.patience_us = TASK_TIME_INF;
        policy.keep_max_us = rng_chance(rng, 30) ? 20 * US_PER_SEC :
                             rng_chance(rng, 30) ? TASK_TIME_INF :
                                                   600 * US_PER_SEC;
        policy.max_offers_per_uid = (unsigned)rng_between(rng, 1, 8);
        policy.max_active_per_uid = (unsigned)rng_between(rng, 1, 30);
        policy.order_fifo = rng_chance(rng, 20);
        policy.n_tokens = (unsigned)rng_below(rng, 3);
        policy.tokens[0] = (Token){ "matlab", (unsigned)rng_between(rng, 1, 6) };
        policy.tokens[1] = (Token){ "comsol", (unsigned)rng_between(rng, 1, 2) };
        policy.share_half_life_us = POLICY_HALF_LIFE_MIN_US * rng_between(rng, 1, 60);
        return policy;
}

static void look_at_ram(Round *round, uint64_t available_bytes, unsigned pressure_permyriad) {
        Event event = drive_event(&round->drive, EVENT_RAM, 0);
        uint64_t n_offers = core_n_offers(round->drive.core);

        event.ram = (RamSample){ round->ram_total_bytes, available_bytes,
                                 n_offers - (rng_chance(&round->rng, 10) && n_offers > 0), true,
                                 pressure_permyriad };
        (void)drive_apply(&round->drive, &event);
}

/* The tasks on GPUs hold something, of which the look tells a part. */
static unsigned some_uses(Round *round, GpuTaskUse *uses, unsigned max) {
        const Oracle *oracle = &round->drive.oracle;
        unsigned n = 0;

        for (size_t i = 0; i < oracle->n_alive && n < max; i++) {
                const OracleTask *task = oracle->alive[i];

                for (unsigned j = 0; j < task->n_shares && n < max; j++) {
                        if (task->shares[j].uuid[0] == '\0' || rng_chance(&round->rng, 40))
                                continue;
                        uses[n] = (GpuTaskUse){ .task_id = task->id,
                                                .used_bytes = some_gib(round, 25 * GIB) };
                        memcpy(uses[n++].uuid, task->shares[j].uuid, GPU_UUID_MAX);
                }
        }
        return n;
}

static void look_at_gpus(Round *round, bool calm) {
        Event event = drive_event(&round->drive, EVENT_GPUS, 0);
        GpuSample gpus[N_GPUS];
        GpuTaskUse uses[64];
        unsigned n = 0;

        for (unsigned i = 0; i < round->n_gpus; i++) {
                if (!calm && rng_chance(&round->rng, 3))
                        continue; /* gone from the bus */
                gpus[n] = round->gpus[i];
                gpus[n].free_bytes = gpus[n].total_bytes;
                if (!calm) {
                        gpus[n].free_bytes -= some_gib(round, gpus[n].total_bytes);
                        gpus[n].n_processes = (unsigned)rng_below(&round->rng, 3);
                        gpus[n].processes_known = !rng_chance(&round->rng, 10);
                        gpus[n].state =
                                rng_chance(&round->rng, 3) ? GPU_STATE_UNKNOWN : GPU_STATE_OK;
                }
                n++;
        }
        event.gpus = (GpusSample){
                .n_gpus = n,
                .gpus = gpus,
                .uses = uses,
                .n_offers_before = core_n_offers(round->drive.core),
        };
        event.gpus.known = calm || !rng_chance(&round->rng, 5);
        event.gpus.n_uses = calm ? 0 : some_uses(round, uses, ELEMENTSOF(uses));
        (void)drive_apply(&round->drive, &event);
}

static void some_tokens(Round *round, unsigned percent, Needs *ret) {
        const Policy *policy = core_policy(round->drive.core);

        for (unsigned i = 0; i < policy->n_tokens; i++) {
                Token token = policy->tokens[i];

                token.n = (unsigned)rng_between(&round->rng, 1, token.n);
                if (rng_chance(&round->rng, percent) && needs_add_token(ret, &token) < 0)
                        abort();
        }
}

static void some_needs(Round *round, Needs *ret) {
        Rng *rng = &round->rng;
        unsigned n_gpus = round->n_gpus > 0 && rng_chance(rng, 50) ?
                                  (unsigned)rng_between(rng, 1, round->n_gpus) :
                                  0;
        bool named[N_GPUS] = {};

        *ret = (Needs){ .cpus = rng_chance(rng, 30) ?
                                        (unsigned)rng_between(
                                                rng, 1, core_policy(round->drive.core)->n_cpus) :
                                        0 };
        if (rng_chance(rng, 70))
                ret->memory_bytes = some_gib(round, round->ram_total_bytes - 3 * GIB);
        some_tokens(round, 20, ret);
        for (unsigned i = 0; i < n_gpus; i++) {
                unsigned gpu = (unsigned)rng_below(rng, round->n_gpus);
                bool any = rng_chance(rng, 60) || named[gpu];
                uint64_t bytes = rng_chance(rng, 20) ? GPU_WHOLE :
                                                       some_gib(round, round->gpus[0].total_bytes);
                char word[16] = "any";

                if (!any)
                        (void)snprintf(word, sizeof(word), "%u", gpu);
                named[gpu] |= !any;
                if (needs_add_gpu(ret, word, bytes) < 0)
                        abort();
                if (!any)
                        memcpy(ret->gpus[i].uuid, round->gpus[gpu].uuid, GPU_UUID_MAX);
        }
}

static const char *some_command(Rng *rng) {
        static const char *const commands[] = { "a", "b", "c", "d" };

        return commands[rng_below(rng, ELEMENTSOF(commands))];
}

static void some_array(Round *round, Task *task) {
        Rng *rng = &round->rng;
        TaskArray *array = task->array = calloc(1, sizeof(*array));
        uint32_t first = (uint32_t)rng_below(rng, ORACLE_ELEMENTS_MAX);
        uint32_t last = (uint32_t)rng_between(rng, first, ORACLE_ELEMENTS_MAX - 1);

        if (!array || index_set_add(&array->waiting, first, MIN(last, first + 9)) < 0 ||
            index_set_add(&array->waiting, last, last) < 0)
                abort();
        array->limit = rng_chance(rng, 50) ? (unsigned)rng_between(rng, 1, 4) : 0;
}

static uint64_t some_task(Round *round) {
        const Oracle *oracle = &round->drive.oracle;

        if (oracle->n_alive == 0 || rng_chance(&round->rng, 1))
                return rng_below(&round->rng, round->last_id + 5);
        return oracle->alive[rng_below(&round->rng, oracle->n_alive)]->id;
}

/* Mostly tasks that are there; an element, or one that nobody knows, is to be refused. */
static void some_after(Round *round, Task *task) {
        Rng *rng = &round->rng;
        unsigned n = (unsigned)rng_between(rng, 1, ORACLE_AFTER_MAX);

        task->after = calloc(n, sizeof(*task->after));
        if (!task->after)
                abort();
        for (unsigned i = 0; i < n; i++) {
                uint64_t id = some_task(round);

                task->after[i] = (TaskAfter){
                        .id = rng_chance(rng, 95) ? task_ref_id(id) : id,
                        .any = rng_chance(rng, 60),
                };
        }
        task->n_after = n;
}

/* What a detached task may have more. */
static void some_detached(Round *round, Task *task) {
        Rng *rng = &round->rng;

        task->detached = true;
        task->requeue = rng_chance(rng, 50);
        task->retry_max = rng_chance(rng, 50) ? (unsigned)rng_below(rng, 4) : 0;
        if (rng_chance(rng, 40))
                some_array(round, task);
        if (rng_chance(rng, 2) && !task->array) /* of an array that is not there, or forbids it */
                task->id = task_ref(some_task(round) & TASK_ID_MAX, 3);
        if (rng_chance(rng, 40))
                some_after(round, task);
}

static Traits some_traits(Round *round) {
        static const uint64_t delays[] = { 0, 1, 10, 60, 600 };
        Rng *rng = &round->rng;
        Traits traits = {
                .uid = some_user(round),
                .priority = (unsigned)rng_below(rng, TASK_PRIORITY_MAX + 1),
                .delay_given = rng_chance(rng, 30),
                .delay_us = delays[rng_below(rng, ELEMENTSOF(delays))] * US_PER_SEC,
                .time_limit_us = TASK_TIME_INF,
        };

        if (rng_chance(rng, 2))
                traits.delay_us = TASK_TIME_INF;
        if (rng_chance(rng, 30))
                traits.time_limit_us = rng_between(rng, 1, 300) * US_PER_SEC;
        return traits;
}

/* Some differ from the one before in their tokens alone. */
static void some_nature(Round *round, Task *task) {
        bool again = round->last_id > 1 && rng_chance(&round->rng, 20);

        if (!again)
                round->last = some_traits(round);
        task->uid = round->last.uid;
        task->priority = round->last.priority;
        task->delay_given = round->last.delay_given;
        task->delay_us = round->last.delay_us;
        task->time_limit_us = round->last.time_limit_us;
        if (again)
                some_tokens(round, 60, &task->needs);
        else if (rng_chance(&round->rng, 80))
                some_needs(round, &task->needs);
}

static void submit(Round *round) {
        Event event = drive_event(&round->drive, EVENT_SUBMITTED, 0);
        Task *task = event.submitted = task_new();
        Rng *rng = &round->rng;

        if (!task)
                abort();
        task->id = ++round->last_id;
        memcpy(task->key, &task->id, sizeof(task->id));
        some_nature(round, task);
        task->command = strdup(some_command(rng));
        if (!task->command)
                abort();
        if (rng_chance(rng, 5))
                task->state = TASK_STATE_HELD;
        if (rng_chance(rng, 60))
                some_detached(round, task);
        (void)drive_apply(&round->drive, &event);
}

/* Offers what is planned, or some of it. */
static void plan(Round *round, unsigned percent) {
        Plan plan = drive_plan(&round->drive);

        for (size_t i = 0; i <= plan.n_offers && !drive_failed(&round->drive); i++) {
                if (i == plan.keep_at && rng_chance(&round->rng, percent))
                        drive_keep(&round->drive, &plan);
                if (i == plan.n_offers || !rng_chance(&round->rng, percent))
                        continue;
                round->n_split += plan.offers[i].index >= 0;
                if (drive_offer(&round->drive, &plan.offers[i]) != 0)
                        (void)snprintf(round->drive.oracle.fault, sizeof(round->drive.oracle.fault),
                                       "an offer is refused");
        }
        plan_done(&plan);
}

static void update(Round *round) {
        Event event = drive_event(&round->drive, EVENT_UPDATED, some_task(round));
        Needs needs;

        some_needs(round, &needs);
        event.updated.set_time_limit = rng_chance(&round->rng, 30);
        event.updated.time_limit_us = rng_below(&round->rng, 300) * US_PER_SEC;
        event.updated.needs = rng_chance(&round->rng, 50) ? &needs : NULL;
        event.updated.priority = (int)rng_between(&round->rng, 0, TASK_PRIORITY_MAX + 1) - 1;
        (void)drive_apply(&round->drive, &event);
        needs_done(&needs);
}

static void end(Round *round, uint64_t id) {
        static const TaskState states[] = { TASK_STATE_DONE,   TASK_STATE_DONE,
                                            TASK_STATE_DONE,   TASK_STATE_DONE,
                                            TASK_STATE_FAILED, TASK_STATE_FAILED,
                                            TASK_STATE_FAILED, TASK_STATE_TIMEOUT,
                                            TASK_STATE_LOST,   TASK_STATE_CANCELLED };
        Event event = drive_event(&round->drive, EVENT_ENDED, id);

        event.ended.state = states[rng_below(&round->rng, ELEMENTSOF(states))];
        event.ended.exit_status = event.ended.state == TASK_STATE_DONE ? 0 : 1;
        round->n_ended += drive_apply(&round->drive, &event) == 0;
}

/* Something happens to one element alone. */
static void split(Round *round) {
        Event event = drive_event(&round->drive, EVENT_SPLIT, some_task(round));

        event.split.index = (uint32_t)rng_below(&round->rng, ORACLE_ELEMENTS_MAX + 1);
        round->n_split += drive_apply(&round->drive, &event) == 0;
}

/* Who can't start any more is withdrawn, like the daemon does. */
static void withdraw_doomed(Round *round) {
        char reason[100];
        uint64_t id;

        while ((id = core_next_doomed(round->drive.core, reason, sizeof(reason))) != 0) {
                Event event = drive_event(&round->drive, EVENT_WITHDRAWN, id);

                event.reason = reason;
                round->n_doomed++;
                if (drive_apply(&round->drive, &event) != 0 || drive_failed(&round->drive))
                        return;
        }
}

static void report(Round *round) {
        Event event = drive_event(&round->drive, EVENT_USED, some_task(round));

        event.used.known = !rng_chance(&round->rng, 10);
        event.used.memory_bytes = some_gib(round, round->ram_total_bytes);
        (void)drive_apply(&round->drive, &event);
}

/* An event of a task that says nothing more than that. */
static void simple_event(Round *round) {
        static const EventType types[] = {
                EVENT_WITHDRAWN,      EVENT_HELD,          EVENT_RELEASED,    EVENT_RELEASED,
                EVENT_RUNNER_AWAY,    EVENT_RUNNER_BACK,   EVENT_RUNNER_BACK, EVENT_RUNNER_BACK,
                EVENT_OFFER_RETURNED, EVENT_OFFER_EXPIRED, EVENT_ACCEPTED,    EVENT_ACCEPTED,
                EVENT_ACCEPTED,       EVENT_ACCEPTED,      EVENT_REQUEUED,    EVENT_CANCELLED
        };
        EventType type = types[rng_below(&round->rng, ELEMENTSOF(types))];
        Event event = drive_event(&round->drive, type, some_task(round));

        (void)drive_apply(&round->drive, &event);
}

static void started(Round *round) {
        Event event = drive_event(&round->drive, EVENT_STARTED, some_task(round));

        event.started.pid = 1;
        (void)drive_apply(&round->drive, &event);
}

static void drain(Round *round, bool on) {
        Event event = drive_event(&round->drive, EVENT_DRAINED, 0);
        Drain said = { .on = on, .by_uid = 7, .reason = "a new disk" };

        event.drain = &said;
        (void)drive_apply(&round->drive, &event);
}

static void weigh(Round *round) {
        static const unsigned weights[] = { 1, 500, 1000, 1000, 2000, 1000000 };
        Event event = drive_event(&round->drive, EVENT_USER, 0);

        event.user.uid = some_user(round);
        event.user.rules = user_rules_default();
        event.user.rules.weight_permille = weights[rng_below(&round->rng, ELEMENTSOF(weights))];
        /* each by itself is within them, as the daemon sees to it: nobody waits for ever */
        if (rng_chance(&round->rng, 50))
                event.user.rules.max_running = rng_between(&round->rng, 1, 4);
        if (rng_chance(&round->rng, 30))
                event.user.rules.max_memory_bytes = round->ram_total_bytes;
        if (rng_chance(&round->rng, 30))
                event.user.rules.max_gpus = ORACLE_GPUS_MAX;
        (void)drive_apply(&round->drive, &event);
}

static void tell_history(Round *round) {
        Event event = drive_event(&round->drive, EVENT_HISTORY, 0);

        event.history.uid = some_user(round);
        event.history.had = rng_below(&round->rng, 2 * CORE_WHOLE);
        event.history.age_us = rng_below(&round->rng, 600 * US_PER_SEC);
        (void)drive_apply(&round->drive, &event);
}

/* What the records know of somebody's runs. */
static void tell_learned(Round *round) {
        Event event = drive_event(&round->drive, EVENT_LEARNED, 0);
        char *command = strdup(some_command(&round->rng));

        if (!command)
                abort();
        event.learned.uid = some_user(round);
        event.learned.signature = signature_of(&(Task){ .command = command }, NULL);
        event.learned.n_runs = (unsigned)rng_below(&round->rng, CORE_RUNS_MAX + 1);
        for (unsigned i = 0; i < event.learned.n_runs; i++)
                event.learned.durations_us[i] = rng_between(&round->rng, 1, 300) * US_PER_SEC;
        (void)drive_apply(&round->drive, &event);
        free(command);
}

static void some_event(Round *round) {
        uint64_t what = rng_below(&round->rng, 100);

        if (rng_chance(&round->rng, 1))
                weigh(round);

        if (rng_chance(&round->rng, 2))
                tell_learned(round);

        if (rng_chance(&round->rng, 1))
                drain(round, rng_chance(&round->rng, 30));

        if (rng_chance(&round->rng, 40))
                round->drive.now_us += rng_below(&round->rng, 3 * US_PER_SEC);

        if (what < 15 && round->drive.oracle.n_alive < N_ALIVE_MAX)
                submit(round);
        else if (what < 30)
                look_at_ram(round, round->ram_total_bytes - some_gib(round, round->ram_total_bytes),
                            rng_chance(&round->rng, 5) ? 5000 : 0);
        else if (what < 40)
                look_at_gpus(round, false);
        else if (what < 60)
                plan(round, 80);
        else if (what < 80)
                simple_event(round);
        else if (what < 85)
                report(round);
        else if (what < 88)
                started(round);
        else if (what < 91)
                update(round);
        else if (what < 95)
                end(round, some_task(round));
        else if (what < 97)
                split(round);
        else if (what < 98)
                withdraw_doomed(round);
        else
                drive_forget(&round->drive, some_task(round));
}

/* Whatever a task waits for comes: it is released, its runner is there, its offer is accepted. */
static void help(Round *round, uint64_t id) {
        static const EventType types[] = { EVENT_RELEASED, EVENT_RUNNER_BACK, EVENT_ACCEPTED };

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                Event event = drive_event(&round->drive, types[i], id);

                (void)drive_apply(&round->drive, &event);
        }
}

/* Nobody disturbs any more: with nothing else running the machine is empty. */
static void run_out(Round *round) {
        Drive *drive = &round->drive;

        drain(round, false);
        for (unsigned step = 0; drive->oracle.n_alive > 0 && !drive_failed(drive); step++) {
                drive->now_us += 10 * US_PER_SEC;
                look_at_ram(round, round->ram_total_bytes, 0);
                if (round->n_gpus > 0)
                        look_at_gpus(round, true);
                withdraw_doomed(round);
                plan(round, 100);
                for (size_t i = drive->oracle.n_alive; i > 0; i--) {
                        uint64_t id = drive->oracle.alive[i - 1]->id;

                        help(round, id);
                        if (step % 8 == 7)
                                end(round, id);
                        drive_forget(drive, id);
                }
                if (step == 100 * N_ALIVE_MAX)
                        (void)snprintf(drive->oracle.fault, sizeof(drive->oracle.fault),
                                       "%zu tasks never run", drive->oracle.n_alive);
        }
}

static bool play(uint64_t seed, Round *round) {
        Policy policy;

        *round = (Round){ .rng = { seed }, .ram_total_bytes = 100 * GIB };
        policy = some_policy(&round->rng);
        drive_init(&round->drive, &policy);
        round->drive.now_us = 1000 * US_PER_SEC;
        round->n_gpus = (unsigned)rng_below(&round->rng, N_GPUS + 1);
        for (unsigned i = 0; i < round->n_gpus; i++) {
                round->gpus[i] =
                        (GpuSample){ .index = i, .total_bytes = 24 * GIB, .processes_known = true };
                (void)snprintf(round->gpus[i].uuid, GPU_UUID_MAX, "GPU-%c", (char)('a' + i));
        }
        for (unsigned i = 0; i < N_USERS; i++)
                tell_history(round);
        look_at_ram(round, round->ram_total_bytes, 0);
        look_at_gpus(round, true);

        for (unsigned i = 0; i < EVENTS_A_ROUND && !drive_failed(&round->drive); i++)
                some_event(round);
        run_out(round);
        if (drive_failed(&round->drive))
                (void)fprintf(stderr, "seed %" PRIu64 ", event %" PRIu64 ": %s\n", seed,
                              round->drive.n_events, round->drive.oracle.fault);
        return !drive_failed(&round->drive);
}

int main(int argc, char **argv) {
        uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
        uint64_t n_rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
        uint64_t n_events = 0, n_plans = 0, n_offers = 0, n_ended = 0, n_failed = 0;
        uint64_t n_split = 0, n_doomed = 0, n_keepings = 0;
        Round *round = calloc(1, sizeof(*round));

        if (!round)
                return EXIT_FAILURE;
        for (uint64_t i = 0; i < n_rounds; i++) {
                n_failed += !play(seed + i, round);
                n_events += round->drive.n_events;
                n_plans += round->drive.n_plans;
                n_offers += round->drive.n_offers;
                n_ended += round->n_ended;
                n_split += round->n_split;
                n_doomed += round->n_doomed;
                n_keepings += round->drive.n_keepings;
                drive_done(&round->drive);
        }
        free(round);

        (void)printf("properties: %" PRIu64 " rounds, %" PRIu64 " events, %" PRIu64
                     " plans, %" PRIu64 " offers, %" PRIu64 " keepings, %" PRIu64 " ends, %" PRIu64
                     " elements, %" PRIu64 " doomed, %" PRIu64 " failed\n",
                     n_rounds, n_events, n_plans, n_offers, n_keepings, n_ended, n_split, n_doomed,
                     n_failed);
        return n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
