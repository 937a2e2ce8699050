/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The wait in words
 *
 * Every lack becomes a part of one line. Parts about the same need share its beginning.
 */

#include <inttypes.h>
#include <stdio.h>

#include "core/gpu-word.h"
#include "core/ref.h"
#include "core/sentence-room.h"
#include "core/words.h"

enum {
        NAMED_MAX = 3, /* of the tasks whose end is waited for; the others are counted */
};

/* Others' tasks with their user. */
static void say_awaited(Words *words, const Holder *holder) {
        if (words->uid != EXPLAIN_UID_UNKNOWN && holder->uid != words->uid)
                words_task(words, holder);
        else
                words_say(words, "task %" PRIu64, task_ref_id(holder->task_id));
}

/* `waits for task 12, task 13 of bob and 4 more to succeed` */
static void say_after(Words *words, const Lack *lack, const char *what) {
        size_t n_named = MIN(lack->n_holders, (size_t)NAMED_MAX);
        size_t n_more = lack->n_holders - n_named + lack->n_more_holders;

        words_say(words, "waits for ");
        for (size_t i = 0; i < n_named; i++) {
                words_say(words, "%s",
                          i == 0                          ? "" :
                          i + 1 == n_named && n_more == 0 ? " and " :
                                                            ", ");
                say_awaited(words, &lack->holders[i]);
        }
        if (n_more > 0)
                words_say(words, " and %zu more", n_more);
        words_say(words, " to %s", what);
}

static void say_limit(Words *words, const Lack *lack) {
        bool one = lack->total_bytes == 1;

        words_say(words, "%" PRIu64 " %s of the array run%s, as many as --array allows",
                  lack->total_bytes, one ? "element" : "elements", one ? "s" : "");
}

static void say_elements(Words *words, const Lack *lack) {
        bool one = lack->total_bytes == 1;

        words_say(words, "no element waits in it any more, %" PRIu64 " %s not over",
                  lack->total_bytes, one ? "is" : "are");
}

/* What one task has of a limit. */
typedef void (*say_part_fn)(Words *words, uint64_t used);

static void say_nothing(_unused_ Words *words, _unused_ uint64_t used) {
}

static void say_number(Words *words, uint64_t used) {
        words_say(words, " has %" PRIu64, used);
}

static void say_size(Words *words, uint64_t used) {
        Bytes bytes;

        words_say(words, " has %s", words_bytes(&bytes, used));
}

/* ` (task 12 has 10G, task 13_4 has 5G and 2 more)`: those of the user, of whom the sentence is. */
static void say_own_tasks(Words *words, const Lack *lack, say_part_fn say_part) {
        char id[TASK_REF_FORMAT_MAX];

        for (size_t i = 0; i < lack->n_holders; i++) {
                words_say(words, "%stask %s", i == 0 ? " (" : ", ",
                          task_ref_format(id, sizeof(id), lack->holders[i].task_id));
                say_part(words, lack->holders[i].used_bytes);
        }
        if (lack->n_more_holders > 0)
                words_say(words, " and %zu more", lack->n_more_holders);
        if (lack->n_holders > 0)
                words_say(words, ")");
}

/* `4 tasks of alice run or are about to, max_running_per_user allows 4 (task 1, task 2 and 2 more)` */
static void say_max_running(Words *words, const Lack *lack) {
        uint64_t n = lack->used_bytes > 0 ? lack->used_bytes : lack->total_bytes;
        char user[WORDS_USER_MAX];

        words_say(words,
                  "%" PRIu64
                  " task%s of %s run%s or %s about to, max_running_per_user allows %" PRIu64,
                  n, n == 1 ? "" : "s", words_own_user(words, user), n == 1 ? "s" : "",
                  n == 1 ? "is" : "are", lack->total_bytes);
        say_own_tasks(words, lack, say_nothing);
}

/* `needs 2 GPUs: max_gpus_per_user allows alice 4 in all, 3 used, 1 missing (task 1 has 3)` */
static void say_max_gpus(Words *words, const Lack *lack) {
        char user[WORDS_USER_MAX];

        words_say(words,
                  "needs %" PRIu64 " GPU%s: max_gpus_per_user allows %s %" PRIu64
                  " in all, %" PRIu64 " used, %" PRIu64 " missing",
                  lack->asked_bytes, lack->asked_bytes == 1 ? "" : "s", words_own_user(words, user),
                  lack->total_bytes, lack->used_bytes, lack->missing_bytes);
        say_own_tasks(words, lack, say_number);
}

/* `needs 9G of RAM: max_memory_per_user allows alice 20G in all, 15G used, 4G missing (task 1 has 15G)` */
static void say_max_memory(Words *words, const Lack *lack, const char *name, const char *where) {
        Bytes asked, most, used, missing;
        char user[WORDS_USER_MAX];

        words_say(words, "needs %s %s: %s allows %s %s in all, %s used, %s missing",
                  words_bytes(&asked, lack->asked_bytes), where, name, words_own_user(words, user),
                  words_bytes(&most, lack->total_bytes), words_bytes(&used, lack->used_bytes),
                  words_bytes(&missing, lack->missing_bytes));
        say_own_tasks(words, lack, say_size);
}

/* `64 other tasks of alice are about to start, of at most 64 at once` */
static void say_full(Words *words, const Lack *lack) {
        bool offers = lack->reason == WAIT_REASON_OFFERS;
        bool one = lack->used_bytes == 1;
        char user[WORDS_USER_MAX];

        if (lack->total_bytes == 0) { /* of an older daemon */
                words_say(words, "too many other tasks of its user run or are about to start");
                return;
        }
        words_say(words, "%" PRIu64 " other task%s of %s ", lack->used_bytes, one ? "" : "s",
                  words_own_user(words, user));
        words_say(words, "%s%s about to%s, of at most %" PRIu64 " at once",
                  offers ? "" :
                  one    ? "runs or " :
                           "run or ",
                  one ? "is" : "are", offers ? " start" : "", lack->total_bytes);
}

/* `nothing starts: drained by root (kernel update)` */
static void say_drained(Words *words, const Drain *drain) {
        char user[WORDS_USER_MAX];

        words_say(words, "nothing starts: drained by %s", words_user(words, drain->by_uid, user));
        if (drain->reason[0] != '\0')
                words_say(words, " (%s)", drain->reason);
}

/* `nothing starts: programs waited for memory in 34.5 % of the last 10 seconds, more than 20 % (pressure_limit)` */
static void say_pressure(Words *words, const Lack *lack) {
        uint64_t pressure = lack->total_bytes + lack->missing_bytes;

        words_say(words,
                  "nothing starts: programs waited for memory in %" PRIu64 ".%" PRIu64
                  " %% of the last 10 seconds, more than %" PRIu64 ".%" PRIu64
                  " %% (pressure_limit)",
                  pressure / 100, pressure % 100 / 10, lack->total_bytes / 100,
                  lack->total_bytes % 100 / 10);
}

/* A limit on what one user has. */
static void say_max(Words *words, const Lack *lack) {
        if (lack->reason == WAIT_REASON_MAX_RUNNING)
                say_max_running(words, lack);
        else if (lack->reason == WAIT_REASON_MAX_GPUS)
                say_max_gpus(words, lack);
        else if (lack->reason == WAIT_REASON_MAX_MEMORY)
                say_max_memory(words, lack, "max_memory_per_user", "of RAM");
        else
                say_max_memory(words, lack, "max_gpu_memory_per_user", "on GPUs");
}

static void say_lack(Words *words, const Drain *drain, const Lack *lack) {
        switch (lack->reason) {
        case WAIT_REASON_HELD:
                words_say(words, "held: it does not start before it is released");
                return;
        case WAIT_REASON_AWAY:
                words_say(words, "its taskflow does not answer (stopped?)");
                return;
        case WAIT_REASON_OFFERS:
        case WAIT_REASON_ACTIVE:
                say_full(words, lack);
                return;
        case WAIT_REASON_CPUS:
        case WAIT_REASON_CPUS_KEPT:
                room_say_cores(words, lack);
                return;
        case WAIT_REASON_TOKENS:
        case WAIT_REASON_TOKENS_KEPT:
                room_say_tokens(words, lack);
                return;
        case WAIT_REASON_PRESSURE:
                say_pressure(words, lack);
                return;
        case WAIT_REASON_MAX_RUNNING:
        case WAIT_REASON_MAX_GPUS:
        case WAIT_REASON_MAX_MEMORY:
        case WAIT_REASON_MAX_GPU_MEMORY:
                say_max(words, lack);
                return;
        case WAIT_REASON_AFTER:
                say_after(words, lack, "succeed");
                return;
        case WAIT_REASON_AFTER_ANY:
                say_after(words, lack, "end");
                return;
        case WAIT_REASON_LIMIT:
                say_limit(words, lack);
                return;
        case WAIT_REASON_ELEMENTS:
                say_elements(words, lack);
                return;
        case WAIT_REASON_OTHER:
                words_say(words, "waits for something that this taskflow is too old to know");
                return;
        case WAIT_REASON_DRAINED:
                say_drained(words, drain);
                return;
        case WAIT_REASON_MEMORY:
        case WAIT_REASON_GPU_MEMORY:
        case WAIT_REASON_GPU_SHARED:
        case WAIT_REASON_GPU_WHOLE:
        case WAIT_REASON_GPU_UNKNOWN:
        case WAIT_REASON_GPU_LOST:
        case WAIT_REASON_DELAY:
        case WAIT_REASON_SETTLING:
        case WAIT_REASON_LOOK:
        case WAIT_REASON_GPU_KEPT:
        case WAIT_REASON_GPU_EXCLUSIVE:
        case WAIT_REASON_GPU_PROHIBITED:
        case WAIT_REASON_GPU_SPLIT:
        case WAIT_REASON_ROOM_KEPT:
                break;
        }

        room_say_place(words, lack);
}

static void say_keep(Words *words, const ExplainKeep *keep) {
        if (keep->hopeless)
                words_say(words, "; no room is kept for it: all that running tasks hold would not "
                                 "be enough");
        if (!keep->kept)
                return;

        words_say(words, "; room is kept for it");
        if (keep->until_boot_us == 0)
                return;
        words_say(words, ", at most ");
        words_until(words, keep->until_boot_us);
        words_say(words, " more");
}

static void say_nothing_missing(Words *words, const Explain *explain) {
        words_say(words, "nothing is missing: it can start now");
        for (size_t i = 0; i < ELEMENTSOF(explain->grants); i++) {
                const GpuGrant *grant = &explain->grants[i];
                char id[GPU_ID_MAX];

                if (grant->uuid[0] != '\0')
                        words_say(words, "%s %s", i == 0 ? ", on GPU" : " and",
                                  gpu_id_or_index(grant->id, grant->index, id));
        }
}

void explain_sentence(const Explain *explain,
                      uint64_t now_boot_us,
                      explain_user_fn user_name,
                      void *userdata,
                      char *buf,
                      size_t n) {
        Words words = {
                .buf = buf,
                .n = n,
                .now_boot_us = now_boot_us,
                .uid = explain->uid,
                .user_name = user_name,
                .userdata = userdata,
        };
        bool first_alternative = true;
        bool shared = false;

        if (n == 0)
                return;
        buf[0] = '\0';

        if (explain->n_lacks == 0)
                say_nothing_missing(&words, explain);

        for (size_t i = 0; i < explain->n_lacks; i++) {
                const Lack *lack = &explain->lacks[i];

                if (explain->any_gpu && room_is_of_gpu(lack)) {
                        if (i > 0 && first_alternative)
                                words_say(&words, "; ");
                        room_say_alternative(&words, lack, first_alternative);
                        first_alternative = false;
                        shared |= lack->reason == WAIT_REASON_GPU_SHARED;
                        continue;
                }
                if (i > 0)
                        words_say(&words, "; ");
                say_lack(&words, &explain->drain, lack);
        }

        if (shared)
                words_say(&words, "; --gpu any:SIZE would share one");
        say_keep(&words, &explain->keep);
}
