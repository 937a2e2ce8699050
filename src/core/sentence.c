/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The wait in words
 *
 * Every lack becomes a part of one line: what is needed where, what is free, what is missing, who
 * holds it, how long it still lasts. Parts about the same need share its beginning.
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/explain.h"
#include "core/gpu-word.h"
#include "core/sat.h"
#include "util/units.h"

enum {
        USER_NAME_MAX = 64,
        WHERE_MAX = GPU_UUID_MAX + 16,
        NAMED_MAX = 3, /* of the tasks whose end is waited for; the others are counted */
};

typedef struct Line {
        char *buf;
        size_t n;
        size_t at; /* at most n - 1 */
        uint64_t now_boot_us;
        explain_user_fn user_name;
        void *userdata;
} Line;

typedef struct Bytes {
        char text[UNITS_FORMAT_MAX];
} Bytes;

static void say(Line *line, const char *fmt, ...) _printf_(2, 3);

static void say(Line *line, const char *fmt, ...) {
        va_list args;
        int r;

        va_start(args, fmt);
        r = vsnprintf(line->buf + line->at, line->n - line->at, fmt, args);
        va_end(args);

        if (r > 0)
                line->at = MIN(line->at + (size_t)r, line->n - 1);
}

static const char *show(Bytes *buf, uint64_t bytes) {
        return units_format_bytes(buf->text, sizeof(buf->text), bytes);
}

static const char *show_user(const Line *line, uid_t uid, char buf[static USER_NAME_MAX]) {
        if (line->user_name)
                return line->user_name(uid, buf, USER_NAME_MAX, line->userdata);

        (void)snprintf(buf, USER_NAME_MAX, "uid %u", (unsigned)uid);
        return buf;
}

/* `GPU 0`, `GPU GPU-12ab…`, `RAM` */
static const char *show_where(const Lack *lack, char buf[static WHERE_MAX]) {
        char id[GPU_ID_MAX];

        if (lack->gpu_index >= 0)
                (void)snprintf(buf, WHERE_MAX, "GPU %s",
                               gpu_id_or_index(lack->gpu_id, (unsigned)lack->gpu_index, id));
        else if (lack->gpu_uuid[0] != '\0')
                (void)snprintf(buf, WHERE_MAX, "GPU %s", lack->gpu_uuid);
        else
                (void)snprintf(buf, WHERE_MAX, "RAM");

        return buf;
}

static bool is_of_gpu(const Lack *lack) {
        switch (lack->reason) {
        case WAIT_REASON_GPU_MEMORY:
        case WAIT_REASON_GPU_SHARED:
        case WAIT_REASON_GPU_WHOLE:
        case WAIT_REASON_GPU_UNKNOWN:
        case WAIT_REASON_GPU_LOST:
        case WAIT_REASON_GPU_KEPT:
        case WAIT_REASON_GPU_EXCLUSIVE:
        case WAIT_REASON_GPU_PROHIBITED:
        case WAIT_REASON_GPU_SPLIT:
                return true;
        case WAIT_REASON_DELAY:
        case WAIT_REASON_SETTLING:
        case WAIT_REASON_LOOK:
        case WAIT_REASON_ROOM_KEPT:
                return lack->gpu_index >= 0 || lack->gpu_uuid[0] != '\0';
        case WAIT_REASON_MEMORY:
        case WAIT_REASON_CPUS:
        case WAIT_REASON_HELD:
        case WAIT_REASON_AWAY:
        case WAIT_REASON_OFFERS:
        case WAIT_REASON_AFTER:
        case WAIT_REASON_AFTER_ANY:
        case WAIT_REASON_LIMIT:
        case WAIT_REASON_ELEMENTS:
        case WAIT_REASON_OTHER:
        case WAIT_REASON_DRAINED:
        case WAIT_REASON_MAX_RUNNING:
        case WAIT_REASON_MAX_MEMORY:
        case WAIT_REASON_MAX_GPUS:
        case WAIT_REASON_MAX_GPU_MEMORY:
        case WAIT_REASON_CPUS_KEPT:
        case WAIT_REASON_PRESSURE:
                break;
        }

        return false;
}

static void say_task(Line *line, const Holder *holder) {
        char user[USER_NAME_MAX];

        say(line, "task %" PRIu64, task_ref_id(holder->task_id));
        if (task_ref_index(holder->task_id) >= 0)
                say(line, "_%" PRId64, task_ref_index(holder->task_id));
        say(line, " of %s", show_user(line, holder->uid, user));
}

/* `task 12 of alice holds 3G and may take 17G more` */
static void say_holder(Line *line, const Holder *holder) {
        Bytes used, promised;

        say_task(line, holder);
        if (holder->used_bytes > 0)
                say(line, " holds %s", show(&used, holder->used_bytes));
        if (holder->promised_bytes > 0)
                say(line, "%s %s%s", holder->used_bytes > 0 ? " and may take" : " may take",
                    show(&promised, holder->promised_bytes), holder->used_bytes > 0 ? " more" : "");
        if (holder->used_bytes == 0 && holder->promised_bytes == 0)
                say(line, " is there");
}

/* `5G is used outside taskflow: 4G by process 4711 of bob, 900M by process 812 of root, 2 more` */
static void say_outside(Line *line, const Lack *lack) {
        Bytes bytes;

        say(line, "%s is used outside taskflow", show(&bytes, lack->outside_bytes));
        for (size_t i = 0; i < lack->n_outsiders; i++) {
                const OutsideProcess *outsider = &lack->outsiders[i];
                char user[USER_NAME_MAX];

                say(line, "%s ", i == 0 ? ":" : ",");
                if (outsider->used_bytes != OUTSIDER_BYTES_UNKNOWN)
                        say(line, "%s ", show(&bytes, outsider->used_bytes));
                say(line, "by process %d", (int)outsider->pid);
                if (outsider->uid != OUTSIDER_UID_UNKNOWN)
                        say(line, " of %s", show_user(line, outsider->uid, user));
        }
        if (lack->n_more_outsiders > 0)
                say(line, ", %zu more", lack->n_more_outsiders);
}

/* ` (task 12 of alice holds 20G, 2 more tasks; 1G is used outside taskflow)` */
static void say_who(Line *line, const Lack *lack) {
        bool outside = lack->outside_bytes > 0;

        if (lack->n_holders == 0 && !outside)
                return;

        say(line, " (");
        for (size_t i = 0; i < lack->n_holders; i++) {
                say(line, "%s", i > 0 ? ", " : "");
                say_holder(line, &lack->holders[i]);
        }
        if (lack->n_more_holders > 0)
                say(line, " and %zu more task%s", lack->n_more_holders,
                    lack->n_more_holders > 1 ? "s" : "");
        if (outside && lack->n_holders > 0)
                say(line, "; ");
        if (outside)
                say_outside(line, lack);
        say(line, ")");
}

static void say_tasks(Line *line, const Lack *lack) {
        for (size_t i = 0; i < lack->n_holders; i++) {
                say(line, "%s", i > 0 ? ", " : "");
                say_task(line, &lack->holders[i]);
        }
        if (lack->n_more_holders > 0)
                say(line, " and %zu more", lack->n_more_holders);
        if (lack->n_holders == 0)
                say(line, "another task");
}

/* `, at most 45s more` */
static void say_until(Line *line, const Lack *lack) {
        char text[UNITS_FORMAT_MAX];
        uint64_t left = sat_sub(lack->until_boot_us, line->now_boot_us);

        if (lack->until_boot_us == TASK_TIME_INF)
                return;

        /* Rounded up: the last second before the end is not 0s. */
        left = sat_add(left, US_PER_SEC - 1);
        say(line, ", at most %s more", units_format_duration(text, sizeof(text), left));
}

static void say_short(Line *line, const Lack *lack) {
        Bytes has, missing;

        say(line, "%s free, %s missing", show(&has, lack->free_bytes),
            show(&missing, lack->missing_bytes));
        say_who(line, lack);
}

/* Nothing is short, but a task that has just started there must settle first. */
static void say_settling(Line *line, const Lack *lack) {
        Bytes has, missing;

        if (lack->reason == WAIT_REASON_DELAY) {
                say(line, "kept for ");
                say_tasks(line, lack);
                say(line, " until it has taken what it asked for");
        } else {
                say_tasks(line, lack);
                say(line, " just started and may take more than it asked for: %s free beyond that",
                    show(&has, lack->free_bytes));
                say(line, ", %s missing", show(&missing, lack->missing_bytes));
        }
        say_until(line, lack);
}

static void say_shared(Line *line, const Lack *lack) {
        say(line, "in use");
        say_who(line, lack);
}

static void say_cores(Line *line, const Lack *lack) {
        say(line, "needs %" PRIu64 " core%s: %" PRIu64 " of %" PRIu64 " free, %" PRIu64 " missing",
            lack->asked_bytes, lack->asked_bytes == 1 ? "" : "s", lack->free_bytes,
            lack->total_bytes, lack->missing_bytes);

        for (size_t i = 0; i < lack->n_holders; i++) {
                say(line, "%s", i > 0 ? ", " : " (");
                say_task(line, &lack->holders[i]);
                say(line, " has %" PRIu64, lack->holders[i].used_bytes);
        }
        if (lack->n_more_holders > 0)
                say(line, " and %zu more", lack->n_more_holders);
        if (lack->n_holders > 0)
                say(line, ")");
}

/* `12G free, but 20G are kept for task 7 of bob` */
static void say_kept(Line *line, const Lack *lack) {
        Bytes bytes;

        say(line, "%s free, but ", show(&bytes, lack->free_bytes));
        if (lack->n_holders == 0) {
                say(line, "room is kept for another task");
                return;
        }

        say(line, "%s kept for ", show(&bytes, lack->holders[0].promised_bytes));
        say_task(line, &lack->holders[0]);
        if (lack->missing_bytes == 0 && lack->asked_bytes != GPU_WHOLE)
                say(line, ", which a delay (-d) would hold up");
}

/* `needs 4 cores: 6 of 8 free, but 8 kept for task 7 of bob` */
static void say_kept_cores(Line *line, const Lack *lack) {
        say(line, "needs %" PRIu64 " core%s: %" PRIu64 " of %" PRIu64 " free, but ",
            lack->asked_bytes, lack->asked_bytes == 1 ? "" : "s", lack->free_bytes,
            lack->total_bytes);
        if (lack->n_holders == 0) {
                say(line, "kept for another task");
                return;
        }

        say(line, "%" PRIu64 " kept for ", lack->holders[0].promised_bytes);
        say_task(line, &lack->holders[0]);
}

/* `waits for task 12, task 13 and 4 more to succeed` */
static void say_after(Line *line, const Lack *lack, const char *what) {
        size_t n_named = MIN(lack->n_holders, (size_t)NAMED_MAX);
        size_t n_more = lack->n_holders - n_named + lack->n_more_holders;

        say(line, "waits for ");
        for (size_t i = 0; i < n_named; i++)
                say(line, "%stask %" PRIu64,
                    i == 0                          ? "" :
                    i + 1 == n_named && n_more == 0 ? " and " :
                                                      ", ",
                    task_ref_id(lack->holders[i].task_id));
        if (n_more > 0)
                say(line, " and %zu more", n_more);
        say(line, " to %s", what);
}

static void say_limit(Line *line, const Lack *lack) {
        bool one = lack->total_bytes == 1;

        say(line, "%" PRIu64 " %s of the array run%s, as many as --array allows", lack->total_bytes,
            one ? "element" : "elements", one ? "s" : "");
}

static void say_elements(Line *line, const Lack *lack) {
        bool one = lack->total_bytes == 1;

        say(line, "no element waits in it any more, %" PRIu64 " %s not over", lack->total_bytes,
            one ? "is" : "are");
}

static void say_exclusive(Line *line, const Lack *lack) {
        if (lack->n_holders > 0)
                say_tasks(line, lack);
        else
                say(line, "a program outside taskflow");
        say(line, " has it, and its compute mode lets only one process use it");
}

/* What is the matter with the place that was named just before. */
static void say_matter(Line *line, const Lack *lack) {
        switch (lack->reason) {
        case WAIT_REASON_MEMORY:
        case WAIT_REASON_GPU_MEMORY:
                say_short(line, lack);
                return;
        case WAIT_REASON_GPU_SHARED:
                say_shared(line, lack);
                return;
        case WAIT_REASON_GPU_WHOLE:
                say_tasks(line, lack);
                say(line, " has it alone");
                return;
        case WAIT_REASON_GPU_UNKNOWN:
                say(line, "the driver does not answer");
                return;
        case WAIT_REASON_GPU_LOST:
                say(line, "the driver says that it is gone");
                return;
        case WAIT_REASON_GPU_KEPT:
                say(line, "the settings no longer give it out");
                return;
        case WAIT_REASON_GPU_EXCLUSIVE:
                say_exclusive(line, lack);
                return;
        case WAIT_REASON_GPU_PROHIBITED:
                say(line, "its compute mode is 'prohibited'");
                return;
        case WAIT_REASON_GPU_SPLIT:
                say(line, "it was split into instances (MIG)");
                return;
        case WAIT_REASON_DELAY:
        case WAIT_REASON_SETTLING:
                say_settling(line, lack);
                return;
        case WAIT_REASON_LOOK:
                say(line, "about to be measured");
                return;
        case WAIT_REASON_ROOM_KEPT:
                say_kept(line, lack);
                return;
        case WAIT_REASON_CPUS:
        case WAIT_REASON_HELD:
        case WAIT_REASON_AWAY:
        case WAIT_REASON_OFFERS:
        case WAIT_REASON_AFTER:
        case WAIT_REASON_AFTER_ANY:
        case WAIT_REASON_LIMIT:
        case WAIT_REASON_ELEMENTS:
        case WAIT_REASON_OTHER:
        case WAIT_REASON_DRAINED:
        case WAIT_REASON_CPUS_KEPT:
        case WAIT_REASON_PRESSURE:
        case WAIT_REASON_MAX_RUNNING:
        case WAIT_REASON_MAX_MEMORY:
        case WAIT_REASON_MAX_GPUS:
        case WAIT_REASON_MAX_GPU_MEMORY:
                return;
        }
}

static void say_place(Line *line, const Lack *lack) {
        char where[WHERE_MAX];
        char id[GPU_ID_MAX];
        bool is_gpu = is_of_gpu(lack);
        Bytes asked;

        (void)show_where(lack, where);
        if (is_gpu && lack->gpu_index < 0 && lack->gpu_uuid[0] == '\0')
                (void)snprintf(where, sizeof(where), "a GPU");

        if (is_gpu && lack->asked_bytes == GPU_WHOLE)
                say(line, "needs %s alone: %s", where,
                    lack->reason == WAIT_REASON_GPU_SHARED ? "it is " : "");
        else if (is_gpu)
                say(line, "needs %s on %s: ", show(&asked, lack->asked_bytes), where);
        else
                say(line, "needs %s of RAM: ", show(&asked, lack->asked_bytes));
        say_matter(line, lack);
        if (lack->reason == WAIT_REASON_GPU_SHARED && lack->gpu_index >= 0)
                say(line, "; --gpu %s:SIZE would share it",
                    gpu_id_or_index(lack->gpu_id, (unsigned)lack->gpu_index, id));
}

/* `4 tasks of its user run, as many as max_running_per_user allows` */
static void say_max_running(Line *line, const Lack *lack) {
        bool one = lack->total_bytes == 1;

        say(line, "%" PRIu64 " %s of its user run%s, as many as max_running_per_user allows",
            lack->total_bytes, one ? "task" : "tasks", one ? "s" : "");
}

/* `needs 2 GPUs: max_gpus_per_user allows its user 4 in all, 1 left, 1 missing` */
static void say_max_gpus(Line *line, const Lack *lack) {
        say(line,
            "needs %" PRIu64 " GPU%s: max_gpus_per_user allows its user %" PRIu64
            " in all, %" PRIu64 " left, %" PRIu64 " missing",
            lack->asked_bytes, lack->asked_bytes == 1 ? "" : "s", lack->total_bytes,
            lack->free_bytes, lack->missing_bytes);
}

static void say_max_memory(Line *line, const Lack *lack, const char *name, const char *where) {
        Bytes asked, most, left, missing;

        say(line, "needs %s %s: %s allows its user ", show(&asked, lack->asked_bytes), where, name);
        say(line, "%s in all, %s left, %s missing", show(&most, lack->total_bytes),
            show(&left, lack->free_bytes), show(&missing, lack->missing_bytes));
}

/* `nothing starts: drained by root (kernel update)` */
static void say_drained(Line *line, const Drain *drain) {
        char user[USER_NAME_MAX];

        say(line, "nothing starts: drained by %s", show_user(line, drain->by_uid, user));
        if (drain->reason[0] != '\0')
                say(line, " (%s)", drain->reason);
}

/* `nothing starts: programs waited for memory in 34.5 % of the last 10 seconds, more than 20 % (pressure_limit)` */
static void say_pressure(Line *line, const Lack *lack) {
        uint64_t pressure = lack->total_bytes + lack->missing_bytes;

        say(line,
            "nothing starts: programs waited for memory in %" PRIu64 ".%" PRIu64
            " %% of the last 10 seconds, more than %" PRIu64 ".%" PRIu64 " %% (pressure_limit)",
            pressure / 100, pressure % 100 / 10, lack->total_bytes / 100,
            lack->total_bytes % 100 / 10);
}

static void say_lack(Line *line, const Drain *drain, const Lack *lack) {
        switch (lack->reason) {
        case WAIT_REASON_HELD:
                say(line, "held: it does not start before it is released");
                return;
        case WAIT_REASON_AWAY:
                say(line, "its taskflow does not answer (stopped?)");
                return;
        case WAIT_REASON_OFFERS:
                say(line, "too many other tasks of its user run or are about to start");
                return;
        case WAIT_REASON_CPUS:
                say_cores(line, lack);
                return;
        case WAIT_REASON_CPUS_KEPT:
                say_kept_cores(line, lack);
                return;
        case WAIT_REASON_PRESSURE:
                say_pressure(line, lack);
                return;
        case WAIT_REASON_MAX_RUNNING:
                say_max_running(line, lack);
                return;
        case WAIT_REASON_MAX_GPUS:
                say_max_gpus(line, lack);
                return;
        case WAIT_REASON_MAX_MEMORY:
                say_max_memory(line, lack, "max_memory_per_user", "of RAM");
                return;
        case WAIT_REASON_MAX_GPU_MEMORY:
                say_max_memory(line, lack, "max_gpu_memory_per_user", "on GPUs");
                return;
        case WAIT_REASON_AFTER:
                say_after(line, lack, "succeed");
                return;
        case WAIT_REASON_AFTER_ANY:
                say_after(line, lack, "end");
                return;
        case WAIT_REASON_LIMIT:
                say_limit(line, lack);
                return;
        case WAIT_REASON_ELEMENTS:
                say_elements(line, lack);
                return;
        case WAIT_REASON_OTHER:
                say(line, "waits for something that this taskflow is too old to know");
                return;
        case WAIT_REASON_DRAINED:
                say_drained(line, drain);
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

        say_place(line, lack);
}

/* GPUs that are alternatives: what is needed is said once. `GPU 0 has 3.9G free, …` */
static void say_alternative(Line *line, const Lack *lack, bool first) {
        char where[WHERE_MAX];
        Bytes asked;

        if (first && lack->asked_bytes == GPU_WHOLE)
                say(line, "needs a GPU alone: ");
        else if (first)
                say(line, "needs %s on a GPU: ", show(&asked, lack->asked_bytes));
        else
                say(line, "; ");

        if (lack->gpu_index < 0 && lack->gpu_uuid[0] == '\0') {
                say(line, "none is there now");
                return;
        }

        say(line, "%s%s", show_where(lack, where),
            lack->reason == WAIT_REASON_GPU_MEMORY || lack->reason == WAIT_REASON_ROOM_KEPT ?
                    " has " :
            lack->reason == WAIT_REASON_GPU_SHARED ? " is " :
                                                     ": ");
        say_matter(line, lack);
}

static void say_keep(Line *line, const ExplainKeep *keep) {
        if (keep->kept)
                say(line, "; room is kept for it");
        else if (keep->hopeless)
                say(line,
                    "; no room is kept for it: all that running tasks hold would not be enough");
}

static void say_nothing_missing(Line *line, const Explain *explain) {
        say(line, "nothing is missing: it can start now");
        for (size_t i = 0; i < ELEMENTSOF(explain->grants); i++) {
                const GpuGrant *grant = &explain->grants[i];
                char id[GPU_ID_MAX];

                if (grant->uuid[0] != '\0')
                        say(line, "%s %s", i == 0 ? ", on GPU" : " and",
                            gpu_id_or_index(grant->id, grant->index, id));
        }
}

void explain_sentence(const Explain *explain,
                      uint64_t now_boot_us,
                      explain_user_fn user_name,
                      void *userdata,
                      char *buf,
                      size_t n) {
        Line line = {
                .buf = buf,
                .n = n,
                .now_boot_us = now_boot_us,
                .user_name = user_name,
                .userdata = userdata,
        };
        bool first_alternative = true;
        bool shared = false;

        if (n == 0)
                return;
        buf[0] = '\0';

        if (explain->n_lacks == 0)
                say_nothing_missing(&line, explain);

        for (size_t i = 0; i < explain->n_lacks; i++) {
                const Lack *lack = &explain->lacks[i];

                if (explain->any_gpu && is_of_gpu(lack)) {
                        if (i > 0 && first_alternative)
                                say(&line, "; ");
                        say_alternative(&line, lack, first_alternative);
                        first_alternative = false;
                        shared |= lack->reason == WAIT_REASON_GPU_SHARED;
                        continue;
                }
                if (i > 0)
                        say(&line, "; ");
                say_lack(&line, &explain->drain, lack);
        }

        if (shared)
                say(&line, "; --gpu any:SIZE would share one");
        say_keep(&line, &explain->keep);
}
