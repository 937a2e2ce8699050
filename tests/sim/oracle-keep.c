/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The oracle's rules about room that is kept (decisions.md 5, 6)
 */

#include <inttypes.h>
#include <string.h>

#include "oracle-rule.h"

static uint64_t less(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

/* -- whether there can be room, and when -- */

/* Whether there is that much of a resource once those have ended that the sums say. */
static bool has_bytes(uint64_t bytes,
                      uint64_t free,
                      uint64_t total,
                      uint64_t reserved,
                      const Sum *sum) {
        return bytes <= less(MIN(free + sum->freed_bytes, total), reserved + sum->promised_bytes);
}

static bool gpu_has(const Oracle *oracle, const OracleGpu *gpu, uint64_t bytes, const Sum *sum) {
        uint64_t used = less(gpu->total_bytes - gpu->free_bytes, sum->freed_bytes);

        if (gpu->state != GPU_STATE_OK)
                return false;
        if (bytes == GPU_WHOLE)
                return sum->n_tasks == 0 &&
                       less(used, gpu->idle_known ? gpu->idle_bytes : 0) <=
                               gpu->total_bytes * oracle->policy.whole_gpu_used_permyriad / 10000;
        return has_bytes(bytes, gpu->free_bytes, gpu->total_bytes,
                         oracle->policy.reserved_gpu_memory_bytes, sum);
}

static bool has_room(const Oracle *oracle, const Room *room, const Sums *sums) {
        const OracleTask *task = room->task;

        if (task->cpus + sums->cpus > oracle->policy.n_cpus)
                return false;
        for (unsigned i = 0; i < ORACLE_TOKENS_MAX; i++)
                if (task->tokens[i] > 0 &&
                    task->tokens[i] + sums->tokens[i] > oracle->policy.tokens[i].n)
                        return false;
        if (task->memory_bytes > 0 &&
            (!oracle->ram_known ||
             !has_bytes(task->memory_bytes, oracle->ram_free_bytes, oracle->ram_total_bytes,
                        oracle->policy.reserved_memory_bytes, &sums->ram)))
                return false;
        for (unsigned i = 0; i < oracle->n_gpus; i++)
                if ((room->gpus & UINT64_C(1) << i) &&
                    !gpu_has(oracle, &oracle->gpus[i], room->bytes[i], &sums->gpus[i]))
                        return false;
        return true;
}

/*
 * Whether the ends of all could bring that much of a resource: to begin, by what tasks were seen to hold, and not before the next look if
 * something has ended; to go on, by what they hold or are promised, and anything if something has ended.
 */
static bool could_have(bool goes_on, bool changed, bool has, bool has_claimed) {
        if (changed)
                return goes_on;
        return goes_on ? has_claimed : has;
}

static bool gpu_could_have(const Oracle *oracle,
                           const OracleGpu *gpu,
                           uint64_t bytes,
                           const Sums *all_ended,
                           bool goes_on) {
        const Sum *sum = &all_ended->gpus[gpu - oracle->gpus];
        Sum claimed = *sum;

        claimed.freed_bytes = sum->claimed_bytes;
        return gpu->state == GPU_STATE_OK &&
               could_have(goes_on, gpu->changed, gpu_has(oracle, gpu, bytes, sum),
                          gpu_has(oracle, gpu, bytes, &claimed));
}

/* What of it does not depend on which GPUs it gets. */
static bool could_have_rest(const Oracle *oracle,
                            const OracleTask *task,
                            const Sums *all_ended,
                            bool goes_on) {
        Sum claimed = all_ended->ram;
        uint64_t reserved = oracle->policy.reserved_memory_bytes;

        claimed.freed_bytes = claimed.claimed_bytes;
        if (task->cpus > oracle->policy.n_cpus)
                return false;
        for (unsigned i = 0; i < ORACLE_TOKENS_MAX; i++)
                if (task->tokens[i] > oracle->policy.tokens[i].n)
                        return false;
        return task->memory_bytes == 0 ||
               (oracle->ram_known &&
                could_have(goes_on, oracle->ram_changed,
                           has_bytes(task->memory_bytes, oracle->ram_free_bytes,
                                     oracle->ram_total_bytes, reserved, &all_ended->ram),
                           has_bytes(task->memory_bytes, oracle->ram_free_bytes,
                                     oracle->ram_total_bytes, reserved, &claimed)));
}

/* Whether different GPUs for the needs from the @need-th on could have room when all have ended. */
static bool could_have_gpus(const Oracle *oracle,
                            const OracleTask *task,
                            const Sums *all_ended,
                            unsigned need,
                            uint64_t used) {
        if (need == task->n_gpus)
                return true;
        for (unsigned i = 0; i < oracle->n_gpus; i++) {
                const OracleGpu *gpu = &oracle->gpus[i];
                uint64_t bit = UINT64_C(1) << i, bytes;

                if ((used & bit) ||
                    (task->want[need][0] != '\0' && strcmp(task->want[need], gpu->uuid) != 0) ||
                    !oracle_gpu_bytes(oracle, gpu, task->want_bytes[need], &bytes) ||
                    !gpu_could_have(oracle, gpu, bytes, all_ended, false))
                        continue;
                if (could_have_gpus(oracle, task, all_ended, need + 1, used | bit))
                        return true;
        }
        return false;
}

/* Whether the ends of all tasks of taskflow's could bring what a task asks for. */
static bool could_have_room(const Oracle *oracle, const OracleTask *task, uint64_t now) {
        Sums sums;

        oracle_sum_up_all(oracle, now, ALL_ENDED, &sums);
        return could_have_rest(oracle, task, &sums, false) &&
               could_have_gpus(oracle, task, &sums, 0, 0);
}

/* When the room can be there at the earliest: tried at each end that is known. */
static uint64_t earliest(const Oracle *oracle, const Room *room, uint64_t now) {
        bool by_limits = oracle->policy.patience_us == 0;
        uint64_t since_us = room->task->id == oracle->keep.id ? oracle->keep.since_us : now;
        uint64_t best = UINT64_MAX;
        Sums sums;

        oracle_sum_up_all(oracle, now, (Ended){ now, by_limits, since_us }, &sums);
        if (has_room(oracle, room, &sums))
                return now;
        for (size_t i = 0; i < oracle->n_alive; i++) {
                const OracleTask *task = oracle_alive(oracle, i);
                uint64_t at_us = oracle_is_active(task) ? oracle_end_us(task, since_us, by_limits) :
                                                          TASK_TIME_INF;

                if (at_us == TASK_TIME_INF || at_us <= now)
                        continue;
                oracle_sum_up_all(oracle, now, (Ended){ at_us, by_limits, since_us }, &sums);
                if (has_room(oracle, room, &sums))
                        best = MIN(best, at_us);
        }
        return best == UINT64_MAX ? now : best;
}

/* When keep_max is over. */
static uint64_t over_us(const Oracle *oracle, const Room *room, uint64_t now) {
        uint64_t since_us = room->task->id == oracle->keep.id ? oracle->keep.since_us : now;

        return oracle->policy.keep_max_us == TASK_TIME_INF ? TASK_TIME_INF :
                                                             since_us + oracle->policy.keep_max_us;
}

Asker oracle_asker(const Oracle *oracle, const OracleTask *task, const Room *kept, uint64_t now) {
        Asker asker = { .task = task, .kept = kept, .is_kept = task == kept->task };
        uint64_t takes_us = task->time_limit_us;

        if (!kept->task || asker.is_kept)
                return asker;
        if (takes_us == TASK_TIME_INF && oracle->policy.patience_us > 0 &&
            oracle_longest(oracle, task) > 0)
                takes_us = oracle_longest(oracle, task);
        asker.overtakes =
                takes_us != TASK_TIME_INF &&
                now + takes_us <= MIN(earliest(oracle, kept, now), over_us(oracle, kept, now));
        return asker;
}

/* -- whom it is kept for -- */

static uint64_t past_us(const Oracle *oracle, const OracleTask *task) {
        uint64_t from_us = MAX(task->queued_boot_us, task->patient_boot_us);

        return oracle->policy.patience_us == TASK_TIME_INF ? TASK_TIME_INF :
                                                             from_us + oracle->policy.patience_us;
}

static bool is_worn(const Oracle *oracle, uint64_t now) {
        return oracle->policy.keep_max_us != TASK_TIME_INF &&
               now >= oracle->keep.since_us + oracle->policy.keep_max_us;
}

/* Returns n_gpus if it is not there. */
static unsigned find_gpu(const Oracle *oracle, const char *uuid) {
        unsigned at = 0;

        while (at < oracle->n_gpus && strcmp(oracle->gpus[at].uuid, uuid) != 0)
                at++;
        return at;
}

/* The GPUs by their UUIDs. False: one is not there, or could not serve it. */
static bool set_gpus(const Oracle *oracle, const GpuGrant *gpus, unsigned n, Room *room) {
        for (unsigned i = 0; i < n; i++) {
                unsigned at = find_gpu(oracle, gpus[i].uuid);

                if (at == oracle->n_gpus || (room->gpus & UINT64_C(1) << at) ||
                    (room->task->want[i][0] != '\0' &&
                     strcmp(room->task->want[i], gpus[i].uuid) != 0) ||
                    !oracle_gpu_bytes(oracle, &oracle->gpus[at], room->task->want_bytes[i],
                                      &room->bytes[at]))
                        return false;
                room->gpus |= UINT64_C(1) << at;
        }
        return true;
}

Room oracle_former(const Oracle *oracle, uint64_t now) {
        Room room = { .task = oracle->keep.id == 0 ? NULL : oracle_find(oracle, oracle->keep.id) };
        Sums sums;

        if (!room.task || oracle->policy.patience_us == TASK_TIME_INF || is_worn(oracle, now) ||
            !oracle_may_start(oracle, room.task) || oracle_is_full(oracle, room.task->uid, 0) ||
            oracle_is_beyond(oracle, room.task, NULL, 0) ||
            !set_gpus(oracle, oracle->keep.gpus, room.task->n_gpus, &room))
                return (Room){};
        oracle_sum_up_all(oracle, now, ALL_ENDED, &sums);
        if (!could_have_rest(oracle, room.task, &sums, true))
                return (Room){};
        for (unsigned i = 0; i < oracle->n_gpus; i++)
                if ((room.gpus & UINT64_C(1) << i) &&
                    !gpu_could_have(oracle, &oracle->gpus[i], room.bytes[i], &sums, true))
                        return (Room){};
        return room;
}

Room oracle_room_of_plan(Oracle *oracle, const Plan *plan) {
        Room room = { .task = plan->keep_id == 0 ? NULL : oracle_find(oracle, plan->keep_id) };

        if (room.task && (plan->keep_n_gpus != room.task->n_gpus ||
                          !set_gpus(oracle, plan->keep_gpus, plan->keep_n_gpus, &room)))
                oracle_fault(oracle, "room is kept for task %" PRIu64 " on wrong GPUs",
                             plan->keep_id);
        return room;
}

bool oracle_is_alike(const OracleTask *a, const OracleTask *b) {
        bool alike = a->uid == b->uid && a->priority == b->priority &&
                     a->delay_given == b->delay_given &&
                     (!a->delay_given || (a->delay_us == 0) == (b->delay_us == 0)) &&
                     a->time_limit_us == b->time_limit_us && a->memory_bytes == b->memory_bytes &&
                     a->cpus == b->cpus && a->n_gpus == b->n_gpus &&
                     memcmp(a->tokens, b->tokens, sizeof(a->tokens)) == 0;

        for (unsigned i = 0; alike && i < a->n_gpus; i++)
                alike = strcmp(a->want[i], b->want[i]) == 0 && a->want_bytes[i] == b->want_bytes[i];
        return alike;
}

static bool is_offered(const Plan *plan, const OracleTask *task) {
        for (size_t i = 0; i < plan->n_offers; i++)
                if (plan->offers[i].task_id == task->id)
                        return true;
        return false;
}

/* Whether one that is alike is in front of it, and was not started before it was its turn. */
static bool is_behind_its_like(const Plan *plan, OracleTask *const *order, size_t at) {
        const OracleTask *task = order[at];

        for (size_t i = 0; i < at; i++)
                if (oracle_is_alike(order[i], task) &&
                    (!is_offered(plan, order[i]) || task->memory_bytes > 0 || task->n_gpus > 0))
                        return true;
        return false;
}

static size_t n_offers_of(const Oracle *oracle, const Plan *plan, uid_t uid) {
        size_t n = 0;

        for (size_t i = 0; i < plan->n_offers; i++)
                n += oracle_find(oracle, plan->offers[i].task_id)->uid == uid;
        return n;
}

/* Whether a plan could keep room for the @at-th in order. */
static bool could_keep(const Oracle *oracle,
                       const Plan *plan,
                       OracleTask *const *order,
                       size_t at,
                       uint64_t now) {
        const OracleTask *task = order[at];
        bool worn = task->id == oracle->keep.id && is_worn(oracle, now) &&
                    oracle->policy.patience_us > 0;

        return !worn && past_us(oracle, task) <= now && !is_offered(plan, task) &&
               !is_behind_its_like(plan, order, at) &&
               !oracle_is_full(oracle, task->uid, n_offers_of(oracle, plan, task->uid)) &&
               !oracle_is_beyond(oracle, task, plan, plan->n_offers) &&
               could_have_room(oracle, task, now);
}

static bool is_higher(const Oracle *oracle,
                      const OracleTask *a,
                      const OracleTask *b,
                      uint64_t now) {
        if (a->uid == b->uid)
                return a->priority > b->priority;
        return oracle_between_users(oracle, a, now) > oracle_between_users(oracle, b, now);
}

/* Who is past their patience, and has nothing kept, has somebody before them for whom it is. */
static void check_for_nobody(Oracle *oracle,
                             const Plan *plan,
                             OracleTask *const *order,
                             size_t n,
                             uint64_t now) {
        for (size_t i = 0; i < n; i++)
                if (oracle_n_slots_left(oracle, order[i]->id) > plan->n_offers &&
                    could_keep(oracle, plan, order, i, now))
                        oracle_fault(oracle, "no room is kept for task %" PRIu64, order[i]->id);
}

static void check_for(Oracle *oracle,
                      const Plan *plan,
                      const Room *former,
                      OracleTask *const *order,
                      size_t n,
                      uint64_t now) {
        const OracleTask *task = oracle_find(oracle, plan->keep_id);
        size_t at = 0;

        while (at < n && order[at] != task)
                at++;
        if (at == n || past_us(oracle, task) > now || !could_have_room(oracle, task, now)) {
                oracle_fault(oracle, "room is kept for task %" PRIu64, plan->keep_id);
                return;
        }
        if (former->task && !is_offered(plan, former->task) &&
            !is_higher(oracle, task, former->task, now))
                oracle_fault(oracle, "room kept for task %" PRIu64 " goes to %" PRIu64,
                             former->task->id, task->id);
        for (size_t i = 0; i < at && plan->n_offers == 0; i++)
                if (could_keep(oracle, plan, order, i, now) &&
                    (!former->task || is_higher(oracle, order[i], former->task, now)))
                        oracle_fault(oracle, "room is kept for task %" PRIu64 " before %" PRIu64,
                                     task->id, order[i]->id);
}

/* It stays with whom it is kept for, unless one in front, of higher priority, is past its patience. */
static void check_for_former(Oracle *oracle,
                             const Plan *plan,
                             const Room *former,
                             OracleTask *const *order,
                             size_t n,
                             uint64_t now) {
        for (size_t i = 0; i < n && order[i] != former->task; i++)
                if (plan->n_offers == 0 && could_keep(oracle, plan, order, i, now) &&
                    is_higher(oracle, order[i], former->task, now))
                        oracle_fault(oracle,
                                     "no room is kept for task %" PRIu64 ", which is higher",
                                     order[i]->id);
}

void oracle_check_keep(Oracle *oracle,
                       const Plan *plan,
                       OracleTask *const *order,
                       size_t n,
                       uint64_t now) {
        Room former = oracle_former(oracle, now);

        if (plan->n_offers == PLAN_OFFERS_MAX)
                return; /* it did not come to all */
        if (plan->keeps ? plan->keep_id == 0 : oracle->keep.id == 0) {
                if (former.task && !is_offered(plan, former.task))
                        oracle_fault(oracle, "room is kept no more for task %" PRIu64,
                                     former.task->id);
                else if (plan->n_offers == 0 || !former.task)
                        check_for_nobody(oracle, plan, order, n, now);
        } else if (plan->keeps) {
                check_for(oracle, plan, &former, order, n, now);
        } else if (!former.task) {
                oracle_fault(oracle, "room is still kept for task %" PRIu64, oracle->keep.id);
        } else {
                check_for_former(oracle, plan, &former, order, n, now);
        }
}
