/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "oracle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fault(Oracle *oracle, const char *fmt, ...) _printf_(2, 3);

static void fault(Oracle *oracle, const char *fmt, ...) {
        va_list args;

        if (oracle->fault[0] != '\0')
                return;
        va_start(args, fmt);
        (void)vsnprintf(oracle->fault, sizeof(oracle->fault), fmt, args);
        va_end(args);
}

void oracle_init(Oracle *oracle, const Policy *policy) {
        *oracle = (Oracle){ .policy = *policy };
}

void oracle_done(Oracle *oracle) {
        for (size_t i = 0; i < oracle->n_tasks; i++)
                free(oracle->tasks[i]);
        free(oracle->tasks);
        free(oracle->alive);
        *oracle = (Oracle){};
}

OracleTask *oracle_find(const Oracle *oracle, uint64_t id) {
        return id < oracle->n_tasks ? oracle->tasks[id] : NULL;
}

/* The @i-th of those alive. */
static OracleTask *alive(const Oracle *oracle, size_t i) {
        return oracle->tasks[oracle->alive[i]];
}

static OracleGpu *find_gpu(Oracle *oracle, const char *uuid) {
        for (unsigned i = 0; i < oracle->n_gpus; i++)
                if (strcmp(oracle->gpus[i].uuid, uuid) == 0)
                        return &oracle->gpus[i];
        return NULL;
}

static bool is_active(const OracleTask *task) {
        return task->stage == ORACLE_OFFERED || task->stage == ORACLE_RUNNING;
}

/* -- events -- */

static void add_task(Oracle *oracle, const Task *task) {
        OracleTask *new = calloc(1, sizeof(*new));

        if (task->id >= oracle->n_tasks) {
                size_t n = 2 * (size_t)task->id;

                oracle->tasks = realloc(oracle->tasks, n * sizeof(OracleTask *));
                oracle->alive = realloc(oracle->alive, n * sizeof(uint64_t));
                if (!oracle->tasks || !oracle->alive)
                        abort();
                memset(oracle->tasks + oracle->n_tasks, 0,
                       (n - oracle->n_tasks) * sizeof(OracleTask *));
                oracle->n_tasks = n;
        }

        if (!new)
                abort();
        *new = (OracleTask){
                .id = task->id,
                .uid = task->uid,
                .priority = task->priority,
                .queued_boot_us = task->queued_boot_us,
                .delay_given = task->delay_given,
                .delay_us = task->delay_us,
                .memory_bytes = task->needs.memory_bytes,
                .cpus = task->needs.cpus,
                .n_gpus = task->needs.n_gpus,
                .stage = task->state == TASK_STATE_HELD ? ORACLE_HELD : ORACLE_WAITING,
        };
        for (unsigned i = 0; i < task->needs.n_gpus; i++) {
                memcpy(new->want[i], task->needs.gpus[i].uuid, GPU_UUID_MAX);
                new->want_bytes[i] = task->needs.gpus[i].bytes;
        }
        oracle->tasks[task->id] = new;
        oracle->alive[oracle->n_alive++] = task->id;
}

void oracle_forget(Oracle *oracle, uint64_t id) {
        size_t at = 0;

        if (!oracle_find(oracle, id) || oracle_find(oracle, id)->stage < ORACLE_LOST)
                return;
        free(oracle->tasks[id]);
        oracle->tasks[id] = NULL;
        while (oracle->alive[at] != id)
                at++;
        oracle->n_alive--;
        memmove(&oracle->alive[at], &oracle->alive[at + 1],
                (oracle->n_alive - at) * sizeof(uint64_t));
}

static void take_offer(Oracle *oracle, OracleTask *task, const Event *event) {
        oracle->n_offers++;
        task->offered_boot_us = event->boot_us;
        task->ram_known = false;
        task->ram_used_bytes = 0;
        task->n_shares = 0;
        if (!task->delay_given)
                task->delay_us = oracle->policy.default_delay_us;
        if (task->memory_bytes > 0) {
                task->shares[task->n_shares++] = (OracleShare){ .asked_bytes = task->memory_bytes };
                oracle->ram_last_offer = oracle->n_offers;
        }
        for (unsigned i = 0; i < task->n_gpus; i++) {
                const GpuGrant *grant = &event->offered.gpus[i];
                OracleShare *share = &task->shares[task->n_shares++];
                OracleGpu *gpu = find_gpu(oracle, grant->uuid);

                *share = (OracleShare){ .asked_bytes = grant->bytes,
                                        .is_whole = grant->bytes == GPU_WHOLE };
                memcpy(share->uuid, grant->uuid, GPU_UUID_MAX);
                if (gpu)
                        gpu->last_offer = oracle->n_offers;
                else
                        fault(oracle, "task %" PRIu64 " is offered a GPU that is not there",
                              task->id);
        }
}

static void take_report(OracleTask *task, const Event *event) {
        OracleShare *share =
                task->n_shares > 0 && task->shares[0].uuid[0] == '\0' ? &task->shares[0] : NULL;

        task->ram_known = event->used.known;
        if (event->used.known)
                task->ram_used_bytes = event->used.memory_bytes;
        if (!share)
                return;
        share->unmeasurable = !event->used.known;
        if (!event->used.known)
                return;
        share->next_peak_bytes = MAX(share->next_peak_bytes, event->used.memory_bytes);
        share->measured = true;
}

static void take_ram(Oracle *oracle, const Event *event) {
        oracle->ram_known = true;
        oracle->ram_total_bytes = event->ram.total_bytes;
        oracle->ram_free_bytes = MIN(event->ram.available_bytes, event->ram.total_bytes);
        oracle->ram_boot_us = event->boot_us;
        oracle->ram_n_offers = event->ram.n_offers_before;
        for (size_t i = 0; i < oracle->n_alive; i++) {
                OracleTask *task = alive(oracle, i);

                if (is_active(task) && task->n_shares > 0 && task->shares[0].uuid[0] == '\0')
                        task->shares[0].peak_bytes = task->shares[0].next_peak_bytes;
        }
}

static bool anybody_on(const Oracle *oracle, const char *uuid) {
        for (size_t i = 0; i < oracle->n_alive; i++)
                for (unsigned j = 0; is_active(alive(oracle, i)) && j < alive(oracle, i)->n_shares;
                     j++)
                        if (strcmp(alive(oracle, i)->shares[j].uuid, uuid) == 0)
                                return true;
        return false;
}

static void take_gpu(Oracle *oracle, const GpuSample *sample) {
        OracleGpu *gpu = find_gpu(oracle, sample->uuid);

        if (!gpu) {
                gpu = &oracle->gpus[oracle->n_gpus++];
                *gpu = (OracleGpu){};
                memcpy(gpu->uuid, sample->uuid, GPU_UUID_MAX);
        }
        gpu->index = sample->index;
        gpu->state = sample->state;
        if (sample->state != GPU_STATE_OK)
                return;
        gpu->total_bytes = sample->total_bytes;
        gpu->free_bytes = MIN(sample->free_bytes, sample->total_bytes);
        gpu->processes_known = sample->processes_known;
        if (sample->processes_known && sample->n_processes == 0 && !anybody_on(oracle, gpu->uuid)) {
                uint64_t idle = MIN(gpu->total_bytes - gpu->free_bytes, gpu->total_bytes / 4);

                gpu->idle_bytes = gpu->idle_known ? MIN(gpu->idle_bytes, idle) : idle;
                gpu->idle_known = true;
        }
}

static void take_uses(Oracle *oracle, const GpusSample *sample, OracleTask *task) {
        for (unsigned i = 0; i < task->n_shares; i++) {
                OracleShare *share = &task->shares[i];
                const OracleGpu *gpu = find_gpu(oracle, share->uuid);

                if (!gpu || gpu->state != GPU_STATE_OK)
                        continue;
                share->unmeasurable = !gpu->processes_known;
                share->used_bytes = 0;
                if (!gpu->processes_known)
                        continue;
                for (unsigned j = 0; j < sample->n_uses; j++)
                        if (sample->uses[j].task_id == task->id &&
                            strcmp(sample->uses[j].uuid, share->uuid) == 0)
                                share->used_bytes += sample->uses[j].used_bytes;
                share->peak_bytes = MAX(share->peak_bytes, share->used_bytes);
                share->measured = true;
        }
}

static void take_gpus(Oracle *oracle, const Event *event) {
        oracle->gpus_boot_us = event->boot_us;
        oracle->gpus_n_offers = event->gpus.n_offers_before;
        for (unsigned i = 0; i < oracle->n_gpus; i++)
                oracle->gpus[i].state = event->gpus.known ? GPU_STATE_LOST : GPU_STATE_UNKNOWN;
        if (!event->gpus.known)
                return;
        for (unsigned i = 0; i < event->gpus.n_gpus; i++)
                take_gpu(oracle, &event->gpus.gpus[i]);
        for (size_t i = 0; i < oracle->n_alive; i++)
                if (alive(oracle, i)->stage == ORACLE_RUNNING)
                        take_uses(oracle, &event->gpus, alive(oracle, i));
}

static bool is_legal(const OracleTask *task, EventType type) {
        bool waits = task->stage == ORACLE_WAITING;

        switch (type) {
        case EVENT_WITHDRAWN:
        case EVENT_RUNNER_AWAY:
        case EVENT_RUNNER_BACK:
                return waits || task->stage == ORACLE_HELD || task->stage == ORACLE_OFFERED;
        case EVENT_HELD:
                return waits || task->stage == ORACLE_OFFERED;
        case EVENT_RELEASED:
                return task->stage == ORACLE_HELD;
        case EVENT_UPDATED:
                return waits || task->stage == ORACLE_HELD;
        case EVENT_OFFERED:
                return waits && !task->away;
        case EVENT_OFFER_RETURNED:
                return task->stage == ORACLE_OFFERED ||
                       (task->stage == ORACLE_RUNNING && !task->started);
        case EVENT_OFFER_EXPIRED:
        case EVENT_ACCEPTED:
                return task->stage == ORACLE_OFFERED;
        case EVENT_STARTED:
        case EVENT_USED:
                return task->stage == ORACLE_RUNNING;
        case EVENT_ENDED:
                return is_active(task) || task->stage == ORACLE_LOST;
        case EVENT_SUBMITTED:
        case EVENT_RAM:
        case EVENT_GPUS:
                break;
        }
        return false;
}

static void update(OracleTask *task, const TaskUpdate *update) {
        if (update->priority >= 0)
                task->priority = (unsigned)update->priority;
        if (!update->needs)
                return;
        task->memory_bytes = update->needs->memory_bytes;
        task->cpus = update->needs->cpus;
        task->n_gpus = update->needs->n_gpus;
        for (unsigned i = 0; i < task->n_gpus; i++) {
                memcpy(task->want[i], update->needs->gpus[i].uuid, GPU_UUID_MAX);
                task->want_bytes[i] = update->needs->gpus[i].bytes;
        }
}

static void apply(Oracle *oracle, OracleTask *task, const Event *event) {
        switch (event->type) {
        case EVENT_WITHDRAWN:
                task->stage = ORACLE_OVER;
                return;
        case EVENT_HELD:
                task->stage = ORACLE_HELD;
                return;
        case EVENT_RELEASED:
                task->stage = ORACLE_WAITING;
                task->queued_boot_us = event->boot_us;
                task->n_missed = 0;
                return;
        case EVENT_UPDATED:
                update(task, &event->updated);
                return;
        case EVENT_RUNNER_AWAY:
                task->away = true;
                return;
        case EVENT_RUNNER_BACK:
                task->away = false;
                return;
        case EVENT_OFFERED:
                task->stage = ORACLE_OFFERED;
                take_offer(oracle, task, event);
                return;
        case EVENT_OFFER_RETURNED:
                task->stage = ORACLE_WAITING;
                task->n_missed = 0;
                return;
        case EVENT_OFFER_EXPIRED:
                task->away = true;
                task->stage = ++task->n_missed >= 3 ? ORACLE_HELD : ORACLE_WAITING;
                return;
        case EVENT_ACCEPTED:
                task->stage = ORACLE_RUNNING;
                task->n_missed = 0;
                task->started = false;
                return;
        case EVENT_STARTED:
                task->started = true;
                return;
        case EVENT_USED:
                take_report(task, event);
                return;
        case EVENT_ENDED:
                task->stage = event->ended.state == TASK_STATE_LOST ? ORACLE_LOST : ORACLE_OVER;
                return;
        case EVENT_SUBMITTED:
        case EVENT_RAM:
        case EVENT_GPUS:
                return;
        }
}

void oracle_apply(Oracle *oracle, const Event *event, const Task *new, int r) {
        OracleTask *task = oracle_find(oracle, event->task_id);
        int want;

        if (event->type == EVENT_SUBMITTED || event->type == EVENT_RAM ||
            event->type == EVENT_GPUS) {
                if (r != 0)
                        fault(oracle, "event %d: %d", (int)event->type, r);
                else if (event->type == EVENT_SUBMITTED)
                        add_task(oracle, new);
                else if (event->type == EVENT_RAM)
                        take_ram(oracle, event);
                else
                        take_gpus(oracle, event);
                return;
        }

        want = !task ? CORE_E_NO_TASK : is_legal(task, event->type) ? 0 : CORE_E_ILLEGAL;
        if (r != want)
                fault(oracle, "event %d of task %" PRIu64 ": %d instead of %d", (int)event->type,
                      event->task_id, r, want);
        else if (r == 0)
                apply(oracle, task, event);
}

/* -- the rule -- */

/* Everything that is to be known of a resource at one instant, summed up from all tasks. */
typedef struct Sum {
        uint64_t promised_bytes, ample_bytes;
        unsigned n_tasks;
        bool is_whole, strict;
} Sum;

static uint64_t less(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

static bool delay_is_over(const OracleTask *task, uint64_t now) {
        return task->delay_us != TASK_TIME_INF && now >= task->offered_boot_us + task->delay_us;
}

static void sum_share(const Oracle *oracle,
                      const OracleTask *task,
                      const OracleShare *share,
                      uint64_t total_bytes,
                      uint64_t now,
                      Sum *sum) {
        uint64_t reserved = share->uuid[0] ? oracle->policy.reserved_gpu_memory_bytes :
                                             oracle->policy.reserved_memory_bytes;
        uint64_t asked = share->is_whole ? less(total_bytes, reserved) : share->asked_bytes;
        bool filled = share->is_whole ? share->peak_bytes > 0 : share->peak_bytes >= asked;
        bool over = delay_is_over(task, now);
        uint64_t ample = asked;

        sum->n_tasks++;
        sum->is_whole |= share->is_whole;
        if (over && (oracle->policy.unfilled_delay || share->let_go ||
                     (share->unmeasurable && !share->measured)))
                return;
        if (!filled && !over) {
                sum->strict |= task->delay_given || oracle->policy.delay_strict;
                if (!share->is_whole)
                        ample = asked * oracle->policy.ample_factor_permille / 1000;
        }
        sum->promised_bytes += less(asked, share->peak_bytes);
        sum->ample_bytes += less(ample, share->peak_bytes);
}

static Sum sum_up(const Oracle *oracle, const char *uuid, uint64_t total_bytes, uint64_t now) {
        Sum sum = {};

        for (size_t i = 0; i < oracle->n_alive; i++) {
                const OracleTask *task = alive(oracle, i);

                for (unsigned j = 0; is_active(task) && j < task->n_shares; j++)
                        if (strcmp(task->shares[j].uuid, uuid) == 0)
                                sum_share(oracle, task, &task->shares[j], total_bytes, now, &sum);
        }
        return sum;
}

/* How a request stands on a resource. */
typedef enum Verdict {
        VERDICT_NO,
        VERDICT_STALE, /* it fits, by figures that are too old */
        VERDICT_YES,
} Verdict;

/* All sums of one instant. */
typedef struct Sums {
        uint64_t now;
        Sum ram;
        Sum gpus[GPU_MAX];
        uint64_t cpus;
} Sums;

static void sum_up_all(const Oracle *oracle, uint64_t now, Sums *ret) {
        *ret = (Sums){ .now = now };
        ret->ram = sum_up(oracle, "", oracle->ram_total_bytes, now);
        for (unsigned i = 0; i < oracle->n_gpus; i++)
                ret->gpus[i] =
                        sum_up(oracle, oracle->gpus[i].uuid, oracle->gpus[i].total_bytes, now);
        for (size_t i = 0; i < oracle->n_alive; i++)
                if (is_active(alive(oracle, i)))
                        ret->cpus += alive(oracle, i)->cpus;
}

static Verdict judge_bytes(uint64_t bytes,
                           uint64_t total,
                           uint64_t free,
                           uint64_t reserved,
                           const Sum *sum) {
        uint64_t for_next = less(free, reserved + sum->promised_bytes);
        uint64_t ample = less(free, reserved + sum->ample_bytes);

        if (sum->is_whole || sum->strict || bytes > for_next)
                return VERDICT_NO;
        if (bytes > ample && (unsigned __int128)bytes * 100 >= total)
                return VERDICT_NO;
        return VERDICT_YES;
}

static Verdict judge_ram(const Oracle *oracle, const Sums *sums, uint64_t bytes) {
        Verdict verdict;

        if (!oracle->ram_known)
                return VERDICT_NO;
        verdict = judge_bytes(bytes, oracle->ram_total_bytes, oracle->ram_free_bytes,
                              oracle->policy.reserved_memory_bytes, &sums->ram);
        if (verdict == VERDICT_YES &&
            (sums->now - oracle->ram_boot_us > oracle->policy.sample_max_age_us ||
             oracle->ram_n_offers < oracle->ram_last_offer))
                return VERDICT_STALE;
        return verdict;
}

static Verdict judge_gpu(const Oracle *oracle,
                         const Sums *sums,
                         const OracleGpu *gpu,
                         uint64_t bytes,
                         uint64_t *ret_bytes) {
        const Sum *sum = &sums->gpus[gpu - oracle->gpus];
        uint64_t reserved = oracle->policy.reserved_gpu_memory_bytes;
        Verdict verdict = VERDICT_NO;

        if (gpu->state != GPU_STATE_OK)
                return VERDICT_NO;
        if (bytes != GPU_WHOLE && bytes > less(gpu->total_bytes, reserved) &&
            bytes <= gpu->total_bytes * 103 / 100)
                bytes = GPU_WHOLE;
        *ret_bytes = bytes;
        if (bytes != GPU_WHOLE)
                verdict = judge_bytes(bytes, gpu->total_bytes, gpu->free_bytes, reserved, sum);
        else if (sum->n_tasks == 0 &&
                 less(gpu->total_bytes - gpu->free_bytes, gpu->idle_known ? gpu->idle_bytes : 0) <=
                         gpu->total_bytes * oracle->policy.whole_gpu_used_permyriad / 10000)
                verdict = VERDICT_YES;
        if (verdict == VERDICT_YES &&
            (sums->now - oracle->gpus_boot_us > oracle->policy.sample_max_age_us ||
             oracle->gpus_n_offers < gpu->last_offer))
                return VERDICT_STALE;
        return verdict;
}

/* Whether two needs are the same to every GPU: then only one order of the two is tried. */
static bool is_twin(const OracleTask *task, unsigned a, unsigned b) {
        return b < task->n_gpus && task->want[a][0] == '\0' && task->want[b][0] == '\0' &&
               task->want_bytes[a] == task->want_bytes[b];
}

/* Whether there are different GPUs for the needs from the @need-th on; for it, from @from on. */
static Verdict judge_gpus(const Oracle *oracle,
                          const Sums *sums,
                          const OracleTask *task,
                          unsigned need,
                          uint64_t used,
                          unsigned from) {
        Verdict best = VERDICT_NO;

        if (need == task->n_gpus)
                return VERDICT_YES;

        for (unsigned i = from; i < oracle->n_gpus && best < VERDICT_YES; i++) {
                const OracleGpu *gpu = &oracle->gpus[i];
                uint64_t bit = UINT64_C(1) << i, bytes;
                Verdict verdict, rest;

                if ((used & bit) ||
                    (task->want[need][0] != '\0' && strcmp(task->want[need], gpu->uuid) != 0))
                        continue;
                verdict = judge_gpu(oracle, sums, gpu, task->want_bytes[need], &bytes);
                if (verdict == VERDICT_NO)
                        continue;
                rest = judge_gpus(oracle, sums, task, need + 1, used | bit,
                                  is_twin(task, need, need + 1) ? i + 1 : 0);
                best = MAX(best, MIN(verdict, rest));
        }
        return best;
}

static Verdict judge_cpus(const Oracle *oracle, const Sums *sums, uint64_t cpus) {
        return cpus == 0 || sums->cpus + cpus <= oracle->policy.n_cpus ? VERDICT_YES : VERDICT_NO;
}

static size_t open_offers(const Oracle *oracle, uid_t uid) {
        size_t n = 0;

        for (size_t i = 0; i < oracle->n_alive; i++)
                n += alive(oracle, i)->uid == uid && alive(oracle, i)->stage == ORACLE_OFFERED;
        return n;
}

static Verdict judge_task(const Oracle *oracle, const Sums *sums, const OracleTask *task) {
        Verdict verdict = VERDICT_YES;

        if (task->stage != ORACLE_WAITING || task->away)
                return VERDICT_NO;
        if (task->memory_bytes > 0)
                verdict = MIN(verdict, judge_ram(oracle, sums, task->memory_bytes));
        verdict = MIN(verdict, judge_cpus(oracle, sums, task->cpus));
        if (verdict > VERDICT_NO)
                verdict = MIN(verdict, judge_gpus(oracle, sums, task, 0, 0, 0));
        if (verdict > VERDICT_NO &&
            open_offers(oracle, task->uid) >= oracle->policy.max_offers_per_uid)
                return VERDICT_NO;
        return verdict;
}

/* -- order -- */

static unsigned between_users(const Oracle *oracle, const OracleTask *task, uint64_t now) {
        uint64_t limit = oracle->policy.priority_limit;
        uint64_t p = MIN((uint64_t)task->priority, limit);

        if (oracle->policy.priority_age_us != TASK_TIME_INF)
                p += less(now, task->queued_boot_us) / oracle->policy.priority_age_us;
        return (unsigned)MIN(p, limit);
}

static bool is_queued(const OracleTask *task) {
        return task->stage == ORACLE_WAITING && !task->away;
}

/* A user's own line: users side by side, in each the higher priority first, then the smaller id. */
static int by_line(const void *a, const void *b) {
        const OracleTask *x = *(OracleTask *const *)a, *y = *(OracleTask *const *)b;

        if (x->uid != y->uid)
                return x->uid < y->uid ? -1 : 1;
        if (x->priority != y->priority)
                return x->priority > y->priority ? -1 : 1;
        return x->id < y->id ? -1 : 1;
}

/* Of the first in each line the best between users. */
static size_t best_head(const Oracle *oracle, OracleTask **lines, size_t n, uint64_t now) {
        size_t best = n;
        uid_t uid = 0;
        bool any = false;

        for (size_t i = 0; i < n; i++) {
                if (!lines[i] || (any && lines[i]->uid == uid))
                        continue; /* gone already, or not the first of its line */
                any = true;
                uid = lines[i]->uid;
                if (best == n ||
                    between_users(oracle, lines[i], now) >
                            between_users(oracle, lines[best], now) ||
                    (between_users(oracle, lines[i], now) ==
                             between_users(oracle, lines[best], now) &&
                     lines[i]->id < lines[best]->id))
                        best = i;
        }
        return best;
}

/* Everybody who is queued, in order. Returns how many. */
static size_t in_order(const Oracle *oracle, OracleTask **out, uint64_t now) {
        OracleTask **lines = calloc(oracle->n_alive + 1, sizeof(OracleTask *));
        size_t n = 0, n_out = 0, best;

        if (!lines)
                abort();
        for (size_t i = 0; i < oracle->n_alive; i++)
                if (is_queued(alive(oracle, i)))
                        lines[n++] = alive(oracle, i);
        qsort(lines, n, sizeof(*lines), by_line);
        while ((best = best_head(oracle, lines, n, now)) < n) {
                out[n_out++] = lines[best];
                lines[best] = NULL;
        }
        free(lines);
        return n_out;
}

/* -- what is checked -- */

static void check_grants(Oracle *oracle,
                         const Sums *sums,
                         const OracleTask *task,
                         const PlanOffer *offer) {
        if (offer->n_gpus != task->n_gpus)
                fault(oracle, "task %" PRIu64 " gets %u GPUs", task->id, offer->n_gpus);

        for (unsigned i = 0; i < offer->n_gpus && i < task->n_gpus; i++) {
                const OracleGpu *gpu = find_gpu(oracle, offer->gpus[i].uuid);
                uint64_t bytes = 0;

                if (!gpu || gpu->index != offer->gpus[i].index ||
                    (task->want[i][0] != '\0' && strcmp(task->want[i], gpu->uuid) != 0))
                        fault(oracle, "task %" PRIu64 " gets GPU %u", task->id,
                              offer->gpus[i].index);
                else if (judge_gpu(oracle, sums, gpu, task->want_bytes[i], &bytes) != VERDICT_YES ||
                         bytes != offer->gpus[i].bytes)
                        fault(oracle, "task %" PRIu64 " gets GPU %u without room", task->id,
                              gpu->index);
                for (unsigned j = 0; j < i; j++)
                        if (strcmp(offer->gpus[i].uuid, offer->gpus[j].uuid) == 0)
                                fault(oracle, "task %" PRIu64 " gets a GPU twice", task->id);
        }
}

/* Of two offers in one plan, none has a resource of the other. */
static void check_once(Oracle *oracle, const Plan *plan) {
        bool ram = false;

        for (size_t i = 0; i < plan->n_offers; i++) {
                const OracleTask *task = oracle_find(oracle, plan->offers[i].task_id);

                bool asks = task && task->memory_bytes > 0;

                if (asks && ram)
                        fault(oracle, "RAM is given twice in one plan");
                ram |= asks;
                for (size_t j = 0; j < i; j++)
                        for (unsigned a = 0; a < plan->offers[i].n_gpus; a++)
                                for (unsigned b = 0; b < plan->offers[j].n_gpus; b++)
                                        if (strcmp(plan->offers[i].gpus[a].uuid,
                                                   plan->offers[j].gpus[b].uuid) == 0)
                                                fault(oracle, "a GPU is given twice in one plan");
        }
}

static void check_missed(Oracle *oracle, const Sums *sums, const Plan *plan) {
        OracleTask **order = calloc(oracle->n_alive + 1, sizeof(OracleTask *));
        uint64_t first = plan->n_offers > 0 ? plan->offers[0].task_id : 0;
        size_t n;

        if (!order)
                abort();
        n = in_order(oracle, order, sums->now);
        for (size_t i = 0; i < n && order[i]->id != first; i++) {
                Verdict verdict = judge_task(oracle, sums, order[i]);

                if (verdict == VERDICT_STALE && !plan->want_ram && !plan->want_gpus)
                        fault(oracle, "task %" PRIu64 " would fit, but no look is wanted",
                              order[i]->id);
                /* It may be kept waiting by an earlier one's look only. */
                if (verdict == VERDICT_YES && !plan->want_ram && !plan->want_gpus)
                        fault(oracle, "task %" PRIu64 " fits and is passed over for %" PRIu64,
                              order[i]->id, first);
        }
        free(order);
}

void oracle_check_plan(Oracle *oracle, const Plan *plan, uint64_t now_boot_us) {
        uint64_t cpus = 0;
        Sums sums;

        sum_up_all(oracle, now_boot_us, &sums);
        for (size_t i = 0; i < plan->n_offers; i++) {
                const OracleTask *task = oracle_find(oracle, plan->offers[i].task_id);

                if (!task || judge_task(oracle, &sums, task) != VERDICT_YES) {
                        fault(oracle, "task %" PRIu64 " starts without room",
                              plan->offers[i].task_id);
                        return;
                }
                cpus += task->cpus;
                if (task->cpus > 0 && judge_cpus(oracle, &sums, cpus) != VERDICT_YES)
                        fault(oracle, "task %" PRIu64 " starts without cores", task->id);
                check_grants(oracle, &sums, task, &plan->offers[i]);
        }
        check_once(oracle, plan);
        check_missed(oracle, &sums, plan);
}

/* What is let go was never seen, or hardly, and its delay is over. */
static void check_let_go(Oracle *oracle,
                         OracleTask *task,
                         OracleShare *share,
                         const Usage *usage,
                         uint64_t now) {
        if (usage->let_go && !share->let_go &&
            (!delay_is_over(task, now) || share->is_whole ||
             (share->measured && share->peak_bytes >= share->asked_bytes / 10)))
                fault(oracle, "what task %" PRIu64 " asked for is let go of", task->id);
        share->let_go = usage->let_go;
}

static void check_task(Oracle *oracle, const Core *core, OracleTask *task, uint64_t now) {
        static const TaskState states[] = {
                [ORACLE_WAITING] = TASK_STATE_PENDING, [ORACLE_HELD] = TASK_STATE_HELD,
                [ORACLE_OFFERED] = TASK_STATE_PENDING, [ORACLE_RUNNING] = TASK_STATE_RUNNING,
                [ORACLE_LOST] = TASK_STATE_LOST,
        };
        const Task *have = core_find(core, task->id);

        if (!have || have->id != task->id || have->uid != task->uid ||
            (task->stage == ORACLE_OVER ? !task_state_is_final(have->state) :
                                          have->state != states[task->stage])) {
                fault(oracle, "task %" PRIu64 " is in the wrong state", task->id);
                return;
        }
        for (unsigned i = 0; is_active(task) && i < task->n_shares; i++) {
                unsigned n_ram = task->memory_bytes > 0;

                check_let_go(oracle, task, &task->shares[i],
                             i < n_ram ? &have->memory : &have->gpu_usage[i - n_ram], now);
        }
}

static void check_counts(Oracle *oracle, const Core *core) {
        CoreCounts have = core_counts(core), want = {};
        size_t n_queued = 0, n_gpu = 0;

        for (size_t i = 0; i < oracle->n_alive; i++) {
                const OracleTask *task = alive(oracle, i);
                bool pending = task->stage == ORACLE_WAITING || task->stage == ORACLE_OFFERED;

                want.pending += pending;
                want.held += task->stage == ORACLE_HELD;
                want.running += task->stage == ORACLE_RUNNING;
                n_queued += is_queued(task);
                n_gpu += task->n_gpus > 0 && (pending || task->stage == ORACLE_RUNNING);
                if (core_is_offered(core, task->id) != (task->stage == ORACLE_OFFERED))
                        fault(oracle, "task %" PRIu64 ": is it offered?", task->id);
        }
        if (have.pending != want.pending || have.held != want.held ||
            have.running != want.running || core_is_waiting(core) != (n_queued > 0) ||
            core_uses_gpus(core) != (n_gpu > 0) || core_n_offers(core) != oracle->n_offers)
                fault(oracle, "the counts are wrong");
}

static void check_gpu_view(Oracle *oracle, const GpuView *view, uint64_t now) {
        const OracleGpu *gpu = find_gpu(oracle, view->sample.uuid);
        Sum sum;

        if (!gpu || gpu->state != view->sample.state) {
                fault(oracle, "GPU %u is in the wrong state", view->sample.index);
                return;
        }
        sum = sum_up(oracle, gpu->uuid, gpu->total_bytes, now);
        if (view->n_tasks != sum.n_tasks || view->promised_bytes != sum.promised_bytes ||
            view->free_bytes !=
                    (sum.is_whole ? 0 :
                                    less(gpu->free_bytes, oracle->policy.reserved_gpu_memory_bytes +
                                                                  sum.promised_bytes)))
                fault(oracle, "the figures of GPU %u are wrong", gpu->index);
}

void oracle_check_views(Oracle *oracle, const Core *core, uint64_t now_boot_us) {
        RamView ram = core_view_ram(core, now_boot_us);
        GpuView *gpus;
        ssize_t n_gpus;
        Sum sum;

        for (size_t i = 0; i < oracle->n_alive; i++)
                check_task(oracle, core, alive(oracle, i), now_boot_us);
        check_counts(oracle, core);

        sum = sum_up(oracle, "", oracle->ram_total_bytes, now_boot_us);
        if (ram.known != oracle->ram_known || ram.promised_bytes != sum.promised_bytes ||
            ram.free_bytes != less(oracle->ram_free_bytes,
                                   oracle->policy.reserved_memory_bytes + sum.promised_bytes))
                fault(oracle, "the figures of RAM are wrong");

        n_gpus = core_view_gpus(core, now_boot_us, &gpus);
        if (n_gpus != (ssize_t)oracle->n_gpus)
                fault(oracle, "%zd GPUs instead of %u", n_gpus, oracle->n_gpus);
        for (ssize_t i = 0; i < n_gpus; i++)
                check_gpu_view(oracle, &gpus[i], now_boot_us);
        if (n_gpus > 0)
                core_gpu_views_free(gpus, (size_t)n_gpus);
}

void oracle_check_list(Oracle *oracle, const Core *core, uint64_t now_boot_us) {
        OracleTask **order = calloc(oracle->n_alive + 1, sizeof(OracleTask *));
        size_t n, at = 0;
        const Task **tasks;
        ssize_t n_tasks;

        if (!order)
                abort();
        n = in_order(oracle, order, now_boot_us);
        n_tasks = core_list(core, &tasks);
        if (n_tasks != (ssize_t)oracle->n_alive)
                fault(oracle, "%zd tasks instead of %zu", n_tasks, oracle->n_alive);
        for (ssize_t i = 0; i < n_tasks; i++) {
                const OracleTask *task = oracle_find(oracle, tasks[i]->id);

                if (!task || !is_queued(task))
                        continue;
                if (at >= n || order[at] != task)
                        fault(oracle, "task %" PRIu64 " is in the wrong place", task->id);
                at++;
        }
        free(tasks);
        free(order);
}
