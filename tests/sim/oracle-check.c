/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The oracle's rules, and what it compares with them
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle-rule.h"

static uint64_t less(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

/* -- order -- */

static unsigned between_users(const Oracle *oracle, const OracleTask *task, uint64_t now) {
        uint64_t limit = oracle->policy.priority_limit;
        uint64_t p = MIN((uint64_t)task->priority, limit);

        if (oracle->policy.priority_age_us != TASK_TIME_INF)
                p += less(now, task->queued_boot_us) / oracle->policy.priority_age_us;
        return (unsigned)MIN(p, limit);
}

unsigned oracle_between_users(const Oracle *oracle, const OracleTask *task, uint64_t now) {
        return between_users(oracle, task, now);
}

/* A user's own line: users side by side, in each the higher priority first, then the earlier. */
static int by_line(const void *a, const void *b) {
        const OracleTask *x = *(OracleTask *const *)a, *y = *(OracleTask *const *)b;

        if (x->uid != y->uid)
                return x->uid < y->uid ? -1 : 1;
        if (x->priority != y->priority)
                return x->priority > y->priority ? -1 : 1;
        return task_ref_place(x->id) < task_ref_place(y->id) ? -1 : 1;
}

/* Whether one is before another, both being the first of their lines. */
static bool is_before(Oracle *oracle, const OracleTask *a, const OracleTask *b, uint64_t now) {
        unsigned x = between_users(oracle, a, now), y = between_users(oracle, b, now);

        if (x != y)
                return x > y;
        if (oracle_line_share(oracle, a->uid) != oracle_line_share(oracle, b->uid))
                return oracle_line_share(oracle, a->uid) < oracle_line_share(oracle, b->uid);
        return task_ref_place(a->id) < task_ref_place(b->id);
}

/* Of the first in each line the best between users. */
static size_t best_head(Oracle *oracle, OracleTask **lines, size_t n, uint64_t now) {
        size_t best = n;
        uid_t uid = 0;
        bool any = false;

        for (size_t i = 0; i < n; i++) {
                if (!lines[i] || (any && lines[i]->uid == uid))
                        continue; /* gone already, or not the first of its line */
                any = true;
                uid = lines[i]->uid;
                if (best == n || is_before(oracle, lines[i], lines[best], now))
                        best = i;
        }
        return best;
}

typedef bool (*filter_fn)(const Oracle *oracle, const OracleTask *task);

/* It is the next in @out, and has what it asks for. */
static size_t put_next(Oracle *oracle, OracleTask **out, size_t n_out, OracleTask *task) {
        oracle_add_claim(oracle, task, &oracle_user(oracle, task->uid)->line_held);
        out[n_out] = task;
        return n_out + 1;
}

/* Those that pass, in order: as if each started (@start; then @kept, if not NULL, comes first) or none did. Returns how many. */
static size_t in_order(Oracle *oracle,
                       filter_fn filter,
                       bool start,
                       OracleTask *kept,
                       OracleTask **out,
                       uint64_t now) {
        OracleTask **lines = calloc(oracle->n_alive + 1, sizeof(OracleTask *));
        size_t n = 0, n_out = 0, best;

        if (!lines)
                abort();
        for (size_t i = 0; i < oracle->n_alive; i++)
                if (filter(oracle, oracle_alive(oracle, i)))
                        lines[n++] = oracle_alive(oracle, i);
        qsort(lines, n, sizeof(*lines), by_line);
        oracle_start_lines(oracle);
        if (kept)
                n_out = put_next(oracle, out, n_out, kept);
        while ((best = best_head(oracle, lines, n, now)) < n) {
                if (start && lines[best] != kept)
                        n_out = put_next(oracle, out, n_out, lines[best]);
                else if (!start)
                        out[n_out++] = lines[best];
                lines[best] = NULL;
        }
        free(lines);
        return n_out;
}

/* -- what is checked -- */

static void check_grants(Oracle *oracle,
                         const Sums *sums,
                         const Asker *asker,
                         const PlanOffer *offer) {
        const OracleTask *task = asker->task;

        if (offer->n_gpus != task->n_gpus)
                oracle_fault(oracle, "task %" PRIu64 " gets %u GPUs", task->id, offer->n_gpus);

        for (unsigned i = 0; i < offer->n_gpus && i < task->n_gpus; i++) {
                const OracleGpu *gpu = oracle_find_gpu(oracle, offer->gpus[i].uuid);
                uint64_t bytes = 0;

                if (!gpu || gpu->index != offer->gpus[i].index ||
                    (task->want[i][0] != '\0' && strcmp(task->want[i], gpu->uuid) != 0))
                        oracle_fault(oracle, "task %" PRIu64 " gets GPU %u", task->id,
                                     offer->gpus[i].index);
                else if (oracle_judge_gpu(oracle, sums, asker, gpu, task->want_bytes[i], &bytes) !=
                                 VERDICT_YES ||
                         bytes != offer->gpus[i].bytes)
                        oracle_fault(oracle, "task %" PRIu64 " gets GPU %u without room", task->id,
                                     gpu->index);
                for (unsigned j = 0; j < i; j++)
                        if (strcmp(offer->gpus[i].uuid, offer->gpus[j].uuid) == 0)
                                oracle_fault(oracle, "task %" PRIu64 " gets a GPU twice", task->id);
        }
}

static bool have_one_gpu(const PlanOffer *a, const PlanOffer *b) {
        for (unsigned i = 0; i < a->n_gpus; i++)
                for (unsigned j = 0; j < b->n_gpus; j++)
                        if (strcmp(a->gpus[i].uuid, b->gpus[j].uuid) == 0)
                                return true;
        return false;
}

/* Of two offers in one plan, none has a resource of the other. */
static void check_once(Oracle *oracle, const Plan *plan) {
        bool ram = false;

        for (size_t i = 0; i < plan->n_offers; i++) {
                const OracleTask *task = oracle_find(oracle, plan->offers[i].task_id);
                bool asks = task && task->memory_bytes > 0;

                if (asks && ram)
                        oracle_fault(oracle, "RAM is given twice in one plan");
                ram |= asks;
                for (size_t j = 0; j < i; j++)
                        if (have_one_gpu(&plan->offers[i], &plan->offers[j]))
                                oracle_fault(oracle, "a GPU is given twice in one plan");
        }
}

static void check_passed_over(Oracle *oracle,
                              const Sums *sums,
                              const Plan *plan,
                              const OracleTask *task,
                              const Room *kept) {
        Asker asker = oracle_asker(oracle, task, kept, sums->now);
        Verdict verdict = oracle_judge(oracle, sums, &asker);

        if (verdict == VERDICT_STALE && !plan->want_ram && !plan->want_gpus)
                oracle_fault(oracle, "task %" PRIu64 " would fit, but no look is wanted", task->id);
        /* It may be kept waiting by an earlier one's look only. */
        if (verdict == VERDICT_YES && !plan->want_ram && !plan->want_gpus)
                oracle_fault(oracle, "task %" PRIu64 " fits and is passed over", task->id);
}

/* Up to the first offer nobody could start: first the one that room is kept for, then all others in order. */
static void check_missed(Oracle *oracle,
                         const Sums *sums,
                         const Plan *plan,
                         OracleTask *const *order,
                         size_t n) {
        uint64_t first = plan->n_offers > 0 ? plan->offers[0].task_id : 0;
        Room former = oracle_former(oracle, sums->now), kept = former;
        Room new = oracle_room_of_plan(oracle, plan);

        if (former.task && former.task->id == first)
                return;
        if (former.task)
                check_passed_over(oracle, sums, plan, former.task, &former);
        for (size_t i = 0; i < n && order[i]->id != first; i++) {
                /* who has room kept from here on, and those alike, are judged by it in the next plan */
                if (order[i] != former.task &&
                    (kept.task == former.task || !oracle_is_alike(order[i], kept.task)))
                        check_passed_over(oracle, sums, plan, order[i], &kept);
                if (plan->keeps && plan->keep_at == 0 && order[i] == new.task)
                        kept = new;
        }
}

static void check_order(Oracle *oracle, const Sums *sums, const Plan *plan) {
        OracleTask **order = calloc(oracle->n_alive + 1, sizeof(OracleTask *));
        size_t n;

        if (!order)
                abort();
        n = in_order(oracle, oracle_may_start, false, NULL, order, sums->now);
        check_missed(oracle, sums, plan, order, n);
        oracle_check_keep(oracle, plan, order, n, sums->now);
        free(order);
}

/* The elements of an array: the smallest first, no more than may be active at once. */
static void check_elements(Oracle *oracle, const OracleTask *task, const Plan *plan) {
        unsigned n = 0;
        int next = 0;

        for (size_t i = 0; i < plan->n_offers; i++) {
                const PlanOffer *offer = &plan->offers[i];

                n += task_ref_id(offer->task_id) == task_ref_id(task->id);
                if (offer->task_id != task->id)
                        continue;
                next = task->is_array ? oracle_next_wait(task, next) : -1;
                if (offer->index != next || (task->is_array && next < 0))
                        oracle_fault(oracle, "task %" PRIu64 ": element %" PRId64 " is not next",
                                     task->id, offer->index);
                next++;
        }
        if (n > oracle_n_slots_left(oracle, task->id))
                oracle_fault(oracle, "too many elements of task %" PRIu64, task->id);
}

static size_t n_offers_in(const Oracle *oracle, const Plan *plan, uid_t uid, uint64_t id) {
        size_t n = 0;

        for (size_t i = 0; i < plan->n_offers; i++)
                n += oracle_find(oracle, plan->offers[i].task_id)->uid == uid &&
                     (id == 0 || plan->offers[i].task_id == id);
        return n;
}

static bool asks_for_tokens(const OracleTask *task) {
        for (unsigned i = 0; i < ORACLE_TOKENS_MAX; i++)
                if (task->tokens[i] > 0)
                        return true;
        return false;
}

/* An array that asks for nothing at all leaves as a whole, as far as may be. */
static void check_whole(Oracle *oracle, const OracleTask *task, const Plan *plan) {
        size_t n = n_offers_in(oracle, plan, task->uid, task->id);

        if (!task->is_array || !oracle_may_start(oracle, task) || task->memory_bytes > 0 ||
            task->cpus > 0 || task->n_gpus > 0 || asks_for_tokens(task) ||
            n == oracle_n_waits(task) || plan->n_offers == PLAN_OFFERS_MAX ||
            oracle_is_full(oracle, task->uid, n_offers_in(oracle, plan, task->uid, 0)) ||
            oracle_is_beyond(oracle, task, plan, plan->n_offers))
                return;
        for (size_t i = 0; i < plan->n_offers; i++)
                n += plan->offers[i].task_id != task->id &&
                     task_ref_id(plan->offers[i].task_id) == task->id;
        if (n < oracle_n_slots_left(oracle, task->id))
                oracle_fault(oracle, "elements of array %" PRIu64 " are left behind", task->id);
}

/* Whether nothing at all may start. */
static bool is_shut(Oracle *oracle, const Plan *plan, uint64_t now_boot_us) {
        if (oracle->drained) {
                if (plan->keeps || plan->n_offers > 0 || plan->want_ram || plan->want_gpus)
                        oracle_fault(oracle, "drained, and yet something is to be done");
                return true;
        }

        if (oracle->pressed || oracle->pressure_boot_us + US_PER_SEC < now_boot_us) {
                if (plan->keeps || plan->n_offers > 0 || plan->want_gpus)
                        oracle_fault(oracle, "memory is under pressure, and yet something starts");
                return true;
        }

        return false;
}

void oracle_check_plan(Oracle *oracle, const Plan *plan, uint64_t now_boot_us) {
        Room former, kept;
        uint64_t cpus = 0, tokens[ORACLE_TOKENS_MAX] = {};
        Sums sums;

        if (is_shut(oracle, plan, now_boot_us))
                return;

        oracle_sum_up_all(oracle, now_boot_us, NOBODY_ENDED, &sums);
        former = kept = oracle_former(oracle, now_boot_us);
        for (size_t i = 0; i < plan->n_offers; i++) {
                const OracleTask *task = oracle_find(oracle, plan->offers[i].task_id);
                Asker asker;

                if (plan->keeps && plan->keep_at == i)
                        kept = oracle_room_of_plan(oracle, plan);
                asker = task ? oracle_asker(oracle, task, &kept, now_boot_us) : (Asker){};
                if (!task || oracle_judge(oracle, &sums, &asker) != VERDICT_YES) {
                        oracle_fault(oracle, "task %" PRIu64 " starts without room",
                                     plan->offers[i].task_id);
                        return;
                }
                if (oracle_is_beyond(oracle, task, plan, i))
                        oracle_fault(oracle, "task %" PRIu64 " starts beyond a limit", task->id);
                cpus += task->cpus;
                if (task->cpus > 0 && oracle_judge_cpus(oracle, &sums, &asker, cpus) != VERDICT_YES)
                        oracle_fault(oracle, "task %" PRIu64 " starts without cores", task->id);
                if (oracle_judge_tokens(oracle, &sums, &asker, tokens) != VERDICT_YES)
                        oracle_fault(oracle, "task %" PRIu64 " starts without tokens", task->id);
                for (unsigned k = 0; k < ORACLE_TOKENS_MAX; k++)
                        tokens[k] += task->tokens[k];
                check_grants(oracle, &sums, &asker, &plan->offers[i]);
                check_elements(oracle, task, plan);
                if (task == former.task)
                        kept = (Room){};
        }
        for (size_t i = 0; i < oracle->n_alive; i++)
                check_whole(oracle, oracle_alive(oracle, i), plan);
        check_once(oracle, plan);
        check_order(oracle, &sums, plan);
}

/* What is let go was never seen, or hardly, and its delay is over. */
static void check_let_go(Oracle *oracle,
                         OracleTask *task,
                         OracleShare *share,
                         const Usage *usage,
                         uint64_t now) {
        if (usage->let_go && !share->let_go &&
            (!oracle_delay_is_over(task, now) || share->is_whole ||
             (share->measured && share->peak_bytes >= share->asked_bytes / 10)))
                oracle_fault(oracle, "what task %" PRIu64 " asked for is let go of", task->id);
        share->let_go = usage->let_go;
}

static void check_array(Oracle *oracle, const Task *have, const OracleTask *task) {
        const TaskArray *array = have->array;
        unsigned n_active = 0, n_apart = 0;

        for (size_t i = 0; i < oracle->n_alive; i++) {
                const OracleTask *other = oracle_alive(oracle, i);
                bool is_ours = other != task && task_ref_id(other->id) == task->id;

                n_active += is_ours && oracle_is_active(other);
                n_apart += is_ours && !oracle_is_over(other);
        }
        for (uint32_t i = 0; i < ORACLE_ELEMENTS_MAX; i++)
                if (index_set_contains(&array->waiting, i) != task->waits[i])
                        oracle_fault(oracle, "array %" PRIu64 ": does %u wait?", task->id, i);
        if (array->n_active != n_active || array->n_apart != n_apart ||
            array->n_done != task->n_ends[TASK_STATE_DONE] ||
            array->n_failed != task->n_ends[TASK_STATE_FAILED] ||
            array->n_cancelled != task->n_ends[TASK_STATE_CANCELLED] ||
            array->n_timeout != task->n_ends[TASK_STATE_TIMEOUT] ||
            array->n_lost != task->n_ends[TASK_STATE_LOST])
                oracle_fault(oracle, "array %" PRIu64 " counts its elements wrongly", task->id);
}

static void check_task(Oracle *oracle, const Core *core, OracleTask *task, uint64_t now) {
        static const TaskState states[] = {
                [ORACLE_WAITING] = TASK_STATE_PENDING, [ORACLE_HELD] = TASK_STATE_HELD,
                [ORACLE_OFFERED] = TASK_STATE_PENDING, [ORACLE_RUNNING] = TASK_STATE_RUNNING,
                [ORACLE_LOST] = TASK_STATE_LOST,
        };
        const Task *have = core_find(core, task->id);

        if (!have || have->id != task->id || have->uid != task->uid ||
            have->state != (task->stage == ORACLE_OVER ? task->end : states[task->stage]) ||
            have->attempt != task->attempt || have->n_retries != task->n_retries ||
            (!oracle_is_over(task) && have->n_after != task->n_after) ||
            (have->array != NULL) != task->is_array) {
                oracle_fault(oracle, "task %" PRIu64 " is in the wrong state", task->id);
                return;
        }
        if (task->is_array)
                check_array(oracle, have, task);
        for (unsigned i = 0; oracle_is_active(task) && i < task->n_shares; i++) {
                unsigned n_ram = task->memory_bytes > 0;

                check_let_go(oracle, task, &task->shares[i],
                             i < n_ram ? &have->memory : &have->gpu_usage[i - n_ram], now);
        }
}

static void check_waiting_of(Oracle *oracle, const Core *core, uid_t uid) {
        size_t n = 0;

        for (size_t i = 0; i < oracle->n_alive; i++) {
                const OracleTask *task = oracle_alive(oracle, i);

                n += task->uid == uid && task->stage <= ORACLE_OFFERED &&
                     (!task->is_array || oracle_n_waits(task) > 0);
        }
        if (core_n_waiting_of(core, uid) != n)
                oracle_fault(oracle, "of user %u there wait not %zu", (unsigned)uid, n);
}

static void check_doomed(Oracle *oracle, const Core *core) {
        char reason[100] = "";
        uint64_t id = core_next_doomed(core, reason, sizeof(reason));
        const OracleTask *task = oracle_find(oracle, id);

        if (id != 0 && (!task || !oracle_is_doomed(task) || !strstr(reason, "was to wait for")))
                oracle_fault(oracle, "task %" PRIu64 " is not doomed", id);
        for (size_t i = 0; id == 0 && i < oracle->n_alive; i++)
                if (oracle_is_doomed(oracle_alive(oracle, i)))
                        oracle_fault(oracle, "task %" PRIu64 " is doomed",
                                     oracle_alive(oracle, i)->id);
}

static void check_counts(Oracle *oracle, const Core *core) {
        CoreCounts have = core_counts(core), want = {};
        size_t n_startable = 0, n_gpu = 0;

        for (size_t i = 0; i < oracle->n_alive; i++) {
                const OracleTask *task = oracle_alive(oracle, i);
                bool pending = task->stage == ORACLE_WAITING || task->stage == ORACLE_OFFERED;
                size_t n = task->is_array ? oracle_n_waits(task) : 1;

                want.pending += pending ? n : 0;
                want.held += task->stage == ORACLE_HELD ? n : 0;
                want.running += task->stage == ORACLE_RUNNING;
                n_startable += !oracle->drained && oracle_may_start(oracle, task);
                n_gpu +=
                        task->n_gpus > 0 && ((oracle_is_queued(oracle, task) && !oracle->drained) ||
                                             oracle_is_active(task));
                if (core_is_offered(core, task->id) != (task->stage == ORACLE_OFFERED))
                        oracle_fault(oracle, "task %" PRIu64 ": is it offered?", task->id);
                check_waiting_of(oracle, core, task->uid);
        }
        if (have.pending != want.pending || have.held != want.held ||
            have.running != want.running || core_is_waiting(core) != (n_startable > 0) ||
            core_uses_gpus(core) != (n_gpu > 0) || core_n_offers(core) != oracle->n_offers)
                oracle_fault(oracle, "the counts are wrong");
}

static void check_gpu_view(Oracle *oracle, const GpuView *view, uint64_t now) {
        const OracleGpu *gpu = oracle_find_gpu(oracle, view->sample.uuid);
        Sum sum;

        if (!gpu || gpu->state != view->sample.state) {
                oracle_fault(oracle, "GPU %u is in the wrong state", view->sample.index);
                return;
        }
        sum = oracle_sum_up(oracle, gpu->uuid, gpu->total_bytes, now, NOBODY_ENDED);
        if (view->n_tasks != sum.n_tasks || view->promised_bytes != sum.promised_bytes ||
            view->free_bytes !=
                    (sum.is_whole ? 0 :
                                    less(gpu->free_bytes, oracle->policy.reserved_gpu_memory_bytes +
                                                                  sum.promised_bytes)))
                oracle_fault(oracle, "the figures of GPU %u are wrong", gpu->index);
}

/* What is shown as kept is what was asked for, and what taskflow's own ends can bring. */
static void check_keep_view(Oracle *oracle, const Core *core, uint64_t now) {
        Room room = oracle_former(oracle, now);
        KeepView view;
        int r = core_view_keep(core, now, &view);

        if (r < 0)
                abort();
        if ((r > 0) != (room.task != NULL)) {
                oracle_fault(oracle, "room is %sshown as kept", r > 0 ? "" : "not ");
        } else if (r > 0 &&
                   (view.task_id != room.task->id || view.memory_bytes != room.task->memory_bytes ||
                    view.cpus != room.task->cpus || view.n_gpus != room.task->n_gpus)) {
                oracle_fault(oracle, "other room is shown as kept for task %" PRIu64, view.task_id);
        }
        if (r > 0)
                core_keep_view_done(&view);
}

/* Of no name more are taken than there are. */
static void check_tokens(Oracle *oracle, const Core *core, uint64_t now) {
        TokenView *views;
        ssize_t n = core_view_tokens(core, &views);
        Sums sums;

        if (n != (ssize_t)oracle->policy.n_tokens)
                oracle_fault(oracle, "tokens of %zd names instead of %u", n,
                             oracle->policy.n_tokens);
        oracle_sum_up_all(oracle, now, NOBODY_ENDED, &sums);
        for (ssize_t i = 0; i < n && i < (ssize_t)oracle->policy.n_tokens; i++) {
                if (views[i].taken != sums.tokens[i])
                        oracle_fault(oracle,
                                     "%" PRIu64 " tokens %s are shown as taken, not %" PRIu64,
                                     views[i].taken, views[i].name, sums.tokens[i]);
                if (views[i].total != oracle->policy.tokens[i].n)
                        oracle_fault(oracle, "%" PRIu64 " tokens %s are shown, not %u",
                                     views[i].total, views[i].name, oracle->policy.tokens[i].n);
                if (views[i].taken > views[i].total)
                        oracle_fault(oracle, "more tokens %s are taken than there are",
                                     views[i].name);
        }
        free(views);
}

void oracle_check_views(Oracle *oracle, const Core *core, uint64_t now_boot_us) {
        RamView ram = core_view_ram(core, now_boot_us);
        GpuView *gpus;
        ssize_t n_gpus;
        Sum sum;

        for (size_t i = 0; i < oracle->n_alive; i++)
                check_task(oracle, core, oracle_alive(oracle, i), now_boot_us);
        oracle_check_users(oracle, core, now_boot_us);
        check_counts(oracle, core);
        check_doomed(oracle, core);
        check_keep_view(oracle, core, now_boot_us);
        check_tokens(oracle, core, now_boot_us);

        sum = oracle_sum_up(oracle, "", oracle->ram_total_bytes, now_boot_us, NOBODY_ENDED);
        if (ram.known != oracle->ram_known || ram.promised_bytes != sum.promised_bytes ||
            ram.free_bytes != less(oracle->ram_free_bytes,
                                   oracle->policy.reserved_memory_bytes + sum.promised_bytes))
                oracle_fault(oracle, "the figures of RAM are wrong");

        n_gpus = core_view_gpus(core, now_boot_us, &gpus);
        if (n_gpus != (ssize_t)oracle->n_gpus)
                oracle_fault(oracle, "%zd GPUs instead of %u", n_gpus, oracle->n_gpus);
        for (ssize_t i = 0; i < n_gpus; i++)
                check_gpu_view(oracle, &gpus[i], now_boot_us);
        if (n_gpus > 0)
                core_gpu_views_free(gpus, (size_t)n_gpus);
}

void oracle_check_list(Oracle *oracle, const Core *core, uint64_t now_boot_us) {
        OracleTask **order = calloc(oracle->n_alive + 1, sizeof(OracleTask *));
        uint64_t kept_id = oracle->keep.id;
        size_t n, at = 0;
        const Task **tasks;
        ssize_t n_tasks;

        if (!order)
                abort();
        n = in_order(oracle, oracle_is_queued, true,
                     oracle_former(oracle, now_boot_us).task ? oracle_find(oracle, kept_id) : NULL,
                     order, now_boot_us);
        n_tasks = core_list(core, &tasks);
        if (n_tasks != (ssize_t)oracle->n_alive)
                oracle_fault(oracle, "%zd tasks instead of %zu", n_tasks, oracle->n_alive);
        for (ssize_t i = 0; i < n_tasks; i++) {
                const OracleTask *task = oracle_find(oracle, tasks[i]->id);

                if (!task || !oracle_is_queued(oracle, task))
                        continue;
                if (at >= n || order[at] != task)
                        oracle_fault(oracle, "task %" PRIu64 " is in the wrong place", task->id);
                at++;
        }
        free(tasks);
        free(order);
}
