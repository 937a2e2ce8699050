/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "oracle-rule.h"

#include <string.h>

static uint64_t less(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

bool oracle_delay_is_over(const OracleTask *task, uint64_t now) {
        return task->delay_us != TASK_TIME_INF && now >= task->offered_boot_us + task->delay_us;
}

bool oracle_has_ended(const OracleTask *task, uint64_t now, Ended ended) {
        uint64_t end_us = oracle_end_us(task, MIN(ended.as_of_us, now), ended.by_limits);

        return ended.at_us > 0 && (end_us == TASK_TIME_INF || end_us <= ended.at_us);
}

/* What the end of a task would bring: what it was seen to use; or, where that may be too little, what it asked for. */
static uint64_t held_bytes(const OracleTask *task,
                           const OracleShare *share,
                           uint64_t asked,
                           bool settles) {
        bool is_ram = share->uuid[0] == '\0';
        bool known = is_ram ? task->ram_known : share->use_known;
        uint64_t used = is_ram ? task->ram_used_bytes : share->used_bytes;

        if (!known)
                return asked;
        return settles ? MAX(asked, used) : used;
}

/* A resource, and the instants of which it is asked: now, and when all that is expected to have ended by then has. */
typedef struct Question {
        uint64_t total_bytes;
        uint64_t now;
        Ended ended;
} Question;

static void sum_share(const Oracle *oracle,
                      const OracleTask *task,
                      const OracleShare *share,
                      const Question *question,
                      Sum *sum) {
        uint64_t reserved = share->uuid[0] ? oracle->policy.reserved_gpu_memory_bytes :
                                             oracle->policy.reserved_memory_bytes;
        uint64_t asked =
                share->is_whole ? less(question->total_bytes, reserved) : share->asked_bytes;
        bool filled = share->is_whole ? share->peak_bytes > 0 : share->peak_bytes >= asked;
        bool over = oracle_delay_is_over(task, question->now), strict;
        bool before = oracle->keep.id == 0 || task->offer <= oracle->keep.n_offers_before;
        uint64_t ample = asked;

        if (oracle_has_ended(task, question->now, question->ended)) {
                uint64_t held = held_bytes(task, share, asked, !over && !filled);

                sum->freed_bytes += held;
                sum->claimed_bytes += MAX(held, asked);
                return;
        }

        sum->n_tasks++;
        sum->is_whole |= share->is_whole;
        if (over && (oracle->policy.unfilled_delay || share->let_go ||
                     (share->unmeasurable && !share->measured)))
                return;
        if (!filled && !over) {
                strict = task->delay_given || oracle->policy.delay_strict;
                sum->strict |= strict;
                sum->kept_strict |= strict && before && !share->is_whole;
                if (!share->is_whole)
                        ample = asked * oracle->policy.ample_factor_permille / 1000;
        }
        sum->promised_bytes += less(asked, share->peak_bytes);
        sum->ample_bytes += less(ample, share->peak_bytes);
        sum->kept_ample_bytes += less(before ? ample : asked, share->peak_bytes);
}

Sum oracle_sum_up(const Oracle *oracle,
                  const char *uuid,
                  uint64_t total_bytes,
                  uint64_t now,
                  Ended ended) {
        const Question question = { total_bytes, now, ended };
        Sum sum = {};

        for (size_t i = 0; i < oracle->n_alive; i++) {
                const OracleTask *task = oracle_alive(oracle, i);

                if (!oracle_is_active(task))
                        continue;
                for (unsigned j = 0; j < task->n_shares; j++)
                        if (strcmp(task->shares[j].uuid, uuid) == 0)
                                sum_share(oracle, task, &task->shares[j], &question, &sum);
                if (uuid[0] == '\0' && task->memory_bytes == 0 && task->ram_known &&
                    oracle_has_ended(task, now, ended)) {
                        sum.freed_bytes += task->ram_used_bytes;
                        sum.claimed_bytes += task->ram_used_bytes;
                }
        }
        return sum;
}

void oracle_sum_up_all(const Oracle *oracle, uint64_t now, Ended ended, Sums *ret) {
        *ret = (Sums){ .now = now };
        ret->ram = oracle_sum_up(oracle, "", oracle->ram_total_bytes, now, ended);
        for (unsigned i = 0; i < oracle->n_gpus; i++)
                ret->gpus[i] = oracle_sum_up(oracle, oracle->gpus[i].uuid,
                                             oracle->gpus[i].total_bytes, now, ended);
        for (size_t i = 0; i < oracle->n_alive; i++) {
                const OracleTask *task = oracle_alive(oracle, i);

                if (!oracle_is_active(task) || oracle_has_ended(task, now, ended))
                        continue;
                ret->cpus += task->cpus;
                for (unsigned k = 0; k < ORACLE_TOKENS_MAX; k++)
                        ret->tokens[k] += task->tokens[k];
        }
}

/* Whether its delay is its own, so that nobody starts while it settles. */
static bool is_strict(const Oracle *oracle, const OracleTask *task) {
        return task->delay_given ?
                       task->delay_us > 0 :
                       oracle->policy.delay_strict && oracle->policy.default_delay_us > 0;
}

/* What is kept from this one of a resource. */
static uint64_t kept_from(const Asker *asker, bool is_kept, uint64_t bytes) {
        return is_kept && !asker->is_kept && !asker->overtakes ? bytes : 0;
}

/* What there is of a resource. */
typedef struct Stock {
        uint64_t total;
        uint64_t free;
        uint64_t reserved;
        uint64_t kept; /* from who asks */
} Stock;

static Verdict judge_bytes(const Asker *asker, uint64_t bytes, const Stock *stock, const Sum *sum) {
        uint64_t for_next = less(stock->free, stock->reserved + sum->promised_bytes);
        uint64_t ample = less(stock->free, stock->reserved + sum->ample_bytes);

        if (asker->is_kept)
                ample = less(stock->free, stock->reserved + sum->kept_ample_bytes);
        if (sum->is_whole || (asker->is_kept ? sum->kept_strict : sum->strict) ||
            bytes > for_next || (stock->kept > 0 && bytes > less(for_next, stock->kept)))
                return VERDICT_NO;
        if (bytes > less(ample, stock->kept) && (unsigned __int128)bytes * 100 >= stock->total)
                return VERDICT_NO;
        return VERDICT_YES;
}

static Verdict judge_ram(const Oracle *oracle, const Sums *sums, const Asker *asker) {
        bool is_kept = asker->kept->task && asker->kept->task->memory_bytes > 0;
        Verdict verdict;
        Stock stock;

        if (!oracle->ram_known || (is_kept && !asker->is_kept && is_strict(oracle, asker->task)))
                return VERDICT_NO;
        stock = (Stock){ oracle->ram_total_bytes, oracle->ram_free_bytes,
                         oracle->policy.reserved_memory_bytes,
                         kept_from(asker, is_kept, is_kept ? asker->kept->task->memory_bytes : 0) };
        verdict = judge_bytes(asker, asker->task->memory_bytes, &stock, &sums->ram);
        if (verdict == VERDICT_YES &&
            (sums->now - oracle->ram_boot_us > oracle->policy.sample_max_age_us ||
             oracle->ram_n_offers < oracle->ram_last_offer))
                return VERDICT_STALE;
        return verdict;
}

bool oracle_gpu_bytes(const Oracle *oracle, const OracleGpu *gpu, uint64_t bytes, uint64_t *ret) {
        uint64_t most = less(gpu->total_bytes, oracle->policy.reserved_gpu_memory_bytes);

        *ret = bytes != GPU_WHOLE && bytes > most ? GPU_WHOLE : bytes;
        return bytes == GPU_WHOLE || bytes <= MAX(most, gpu->total_bytes * 103 / 100);
}

/* Whether hardly anything is used, beside what was freed. */
static bool is_unused(const Oracle *oracle, const OracleGpu *gpu) {
        return less(gpu->total_bytes - gpu->free_bytes, gpu->idle_known ? gpu->idle_bytes : 0) <=
               gpu->total_bytes * oracle->policy.whole_gpu_used_permyriad / 10000;
}

Verdict oracle_judge_gpu(const Oracle *oracle,
                         const Sums *sums,
                         const Asker *asker,
                         const OracleGpu *gpu,
                         uint64_t bytes,
                         uint64_t *ret_bytes) {
        size_t at = (size_t)(gpu - oracle->gpus);
        const Sum *sum = &sums->gpus[at];
        uint64_t reserved = oracle->policy.reserved_gpu_memory_bytes;
        bool is_kept = asker->kept->task && (asker->kept->gpus & UINT64_C(1) << at);
        uint64_t kept = kept_from(asker, is_kept, is_kept ? asker->kept->bytes[at] : 0);
        Verdict verdict = VERDICT_NO;

        if (gpu->state != GPU_STATE_OK || !oracle_gpu_bytes(oracle, gpu, bytes, &bytes) ||
            (is_kept && !asker->is_kept && is_strict(oracle, asker->task)))
                return VERDICT_NO;
        *ret_bytes = bytes;
        if (bytes != GPU_WHOLE)
                verdict = judge_bytes(asker, bytes,
                                      &(Stock){ gpu->total_bytes, gpu->free_bytes, reserved, kept },
                                      sum);
        else if (sum->n_tasks == 0 && kept == 0 && is_unused(oracle, gpu))
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
                          const Asker *asker,
                          unsigned need,
                          uint64_t used,
                          unsigned from) {
        const OracleTask *task = asker->task;
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
                verdict =
                        oracle_judge_gpu(oracle, sums, asker, gpu, task->want_bytes[need], &bytes);
                if (verdict == VERDICT_NO)
                        continue;
                rest = judge_gpus(oracle, sums, asker, need + 1, used | bit,
                                  is_twin(task, need, need + 1) ? i + 1 : 0);
                best = MAX(best, MIN(verdict, rest));
        }
        return best;
}

Verdict oracle_judge_cpus(const Oracle *oracle,
                          const Sums *sums,
                          const Asker *asker,
                          uint64_t cpus) {
        uint64_t kept = asker->kept->task ? asker->kept->task->cpus : 0;

        return cpus == 0 || sums->cpus + cpus + kept_from(asker, kept > 0, kept) <=
                                       oracle->policy.n_cpus ?
                       VERDICT_YES :
                       VERDICT_NO;
}

Verdict oracle_judge_tokens(const Oracle *oracle,
                            const Sums *sums,
                            const Asker *asker,
                            const uint64_t before[static ORACLE_TOKENS_MAX]) {
        for (unsigned i = 0; i < ORACLE_TOKENS_MAX; i++) {
                uint64_t asked = asker->task->tokens[i];
                uint64_t kept = asker->kept->task ? asker->kept->task->tokens[i] : 0;

                if (asked > 0 &&
                    sums->tokens[i] + before[i] + asked + kept_from(asker, kept > 0, kept) >
                            oracle->policy.tokens[i].n)
                        return VERDICT_NO;
        }
        return VERDICT_YES;
}

bool oracle_is_full(const Oracle *oracle, uid_t uid, size_t n) {
        size_t n_offers = n, n_active = n;

        for (size_t i = 0; i < oracle->n_alive; i++) {
                const OracleTask *task = oracle_alive(oracle, i);

                n_offers += task->uid == uid && task->stage == ORACLE_OFFERED;
                n_active += task->uid == uid && oracle_is_active(task);
        }
        return n_offers >= oracle->policy.max_offers_per_uid ||
               n_active >= oracle->policy.max_active_per_uid;
}

/* What counts of it: as itself, or as an element that was just planned. */
static void add_up(const OracleTask *task, uint64_t *n, uint64_t *memory, uint64_t *gpus) {
        *n += 1;
        *memory += MAX(task->memory_bytes,
                       oracle_is_active(task) && task->ram_known ? task->ram_used_bytes : 0);
        *gpus += task->n_gpus;
}

bool oracle_is_beyond(const Oracle *oracle, const OracleTask *task, const Plan *plan, size_t n) {
        UserRules rules = user_rules_default();
        uint64_t n_running = 1, memory = task->memory_bytes, gpus = task->n_gpus;

        for (size_t i = 0; i < oracle->n_users; i++)
                if (oracle->users[i].uid == task->uid)
                        rules = oracle->users[i].rules;
        for (size_t i = 0; i < oracle->n_alive; i++)
                if (oracle_alive(oracle, i)->uid == task->uid &&
                    oracle_is_active(oracle_alive(oracle, i)))
                        add_up(oracle_alive(oracle, i), &n_running, &memory, &gpus);
        for (size_t i = 0; i < n; i++) {
                const OracleTask *other = oracle_find(oracle, plan->offers[i].task_id);

                if (other->uid == task->uid)
                        add_up(other, &n_running, &memory, &gpus);
        }

        return n_running > rules.max_running ||
               (task->memory_bytes > 0 && memory > rules.max_memory_bytes) ||
               (task->n_gpus > 0 && gpus > rules.max_gpus);
}

bool oracle_is_queued(const Oracle *oracle, const OracleTask *task) {
        return task->stage == ORACLE_WAITING && !task->away && !oracle_is_blocked(oracle, task);
}

bool oracle_may_start(const Oracle *oracle, const OracleTask *task) {
        return oracle_is_queued(oracle, task) && oracle_n_slots_left(oracle, task->id) > 0;
}

Verdict oracle_judge(const Oracle *oracle, const Sums *sums, const Asker *asker) {
        static const uint64_t none[ORACLE_TOKENS_MAX];
        const OracleTask *task = asker->task;
        Verdict verdict = VERDICT_YES;

        if (!oracle_may_start(oracle, task))
                return VERDICT_NO;
        if (task->memory_bytes > 0)
                verdict = MIN(verdict, judge_ram(oracle, sums, asker));
        verdict = MIN(verdict, oracle_judge_cpus(oracle, sums, asker, task->cpus));
        verdict = MIN(verdict, oracle_judge_tokens(oracle, sums, asker, none));
        if (verdict > VERDICT_NO)
                verdict = MIN(verdict, judge_gpus(oracle, sums, asker, 0, 0, 0));
        if (verdict > VERDICT_NO &&
            (oracle_is_full(oracle, task->uid, 0) || oracle_is_beyond(oracle, task, NULL, 0)))
                return VERDICT_NO;
        return verdict;
}
