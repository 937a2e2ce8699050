/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/sentence-room.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/gpu-word.h"

enum {
        WHERE_MAX = GPU_UUID_MAX + 16,
};

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

bool room_has_numbers(WaitReason reason) {
        switch (reason) {
        case WAIT_REASON_MEMORY:
        case WAIT_REASON_GPU_MEMORY:
        case WAIT_REASON_GPU_SHARED:
        case WAIT_REASON_GPU_WHOLE:
        case WAIT_REASON_CPUS:
        case WAIT_REASON_DELAY:
        case WAIT_REASON_SETTLING:
        case WAIT_REASON_ROOM_KEPT:
        case WAIT_REASON_CPUS_KEPT:
        case WAIT_REASON_TOKENS:
        case WAIT_REASON_TOKENS_KEPT:
                return true;
        case WAIT_REASON_GPU_UNKNOWN:
        case WAIT_REASON_GPU_LOST:
        case WAIT_REASON_HELD:
        case WAIT_REASON_AWAY:
        case WAIT_REASON_OFFERS:
        case WAIT_REASON_ACTIVE:
        case WAIT_REASON_LOOK:
        case WAIT_REASON_GPU_KEPT:
        case WAIT_REASON_GPU_EXCLUSIVE:
        case WAIT_REASON_GPU_PROHIBITED:
        case WAIT_REASON_GPU_SPLIT:
        case WAIT_REASON_AFTER:
        case WAIT_REASON_AFTER_ANY:
        case WAIT_REASON_LIMIT:
        case WAIT_REASON_ELEMENTS:
        case WAIT_REASON_OTHER:
        case WAIT_REASON_DRAINED:
        case WAIT_REASON_PRESSURE:
        case WAIT_REASON_MAX_RUNNING:
        case WAIT_REASON_MAX_MEMORY:
        case WAIT_REASON_MAX_GPUS:
        case WAIT_REASON_MAX_GPU_MEMORY:
                return false;
        }
        return false;
}

bool room_is_of_gpu(const Lack *lack) {
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
        case WAIT_REASON_ACTIVE:
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
        case WAIT_REASON_TOKENS:
        case WAIT_REASON_TOKENS_KEPT:
                break;
        }

        return false;
}

/* `task 12 of alice holds 3G and may take 17G more` */
static void say_holder(Words *words, const Holder *holder) {
        Bytes used, promised;

        words_task(words, holder);
        if (holder->used_bytes > 0)
                words_say(words, " holds %s", words_bytes(&used, holder->used_bytes));
        if (holder->promised_bytes > 0)
                words_say(words, "%s %s%s", holder->used_bytes > 0 ? " and may take" : " may take",
                          words_bytes(&promised, holder->promised_bytes),
                          holder->used_bytes > 0 ? " more" : "");
        if (holder->used_bytes == 0 && holder->promised_bytes == 0)
                words_say(words, " is there");
}

/* `4G by process 4711 of bob, 900M by process 812 of root, 2 more` */
static void say_outsiders(Words *words, const Lack *lack) {
        Bytes bytes;

        for (size_t i = 0; i < lack->n_outsiders; i++) {
                const OutsideProcess *outsider = &lack->outsiders[i];
                char user[WORDS_USER_MAX];

                words_say(words, "%s", i == 0 ? "" : ", ");
                if (outsider->used_bytes != OUTSIDER_BYTES_UNKNOWN)
                        words_say(words, "%s ", words_bytes(&bytes, outsider->used_bytes));
                words_say(words, "by process %d", (int)outsider->pid);
                if (outsider->uid != OUTSIDER_UID_UNKNOWN)
                        words_say(words, " of %s", words_user(words, outsider->uid, user));
        }
        if (lack->n_more_outsiders > 0)
                words_say(words, ", %zu more", lack->n_more_outsiders);
}

/* `5G is used outside taskflow: 4G by process 4711 of bob` */
static void say_outside(Words *words, const Lack *lack) {
        Bytes bytes;

        words_say(words, "%s is used outside taskflow%s", words_bytes(&bytes, lack->outside_bytes),
                  lack->n_outsiders > 0 ? ": " : "");
        say_outsiders(words, lack);
}

/* ` (task 12 of alice holds 20G, 2 more tasks; 1G is used outside taskflow)` */
static void say_who(Words *words, const Lack *lack) {
        bool outside = lack->outside_bytes > 0;

        if (lack->n_holders == 0 && !outside)
                return;

        words_say(words, " (");
        for (size_t i = 0; i < lack->n_holders; i++) {
                words_say(words, "%s", i > 0 ? ", " : "");
                say_holder(words, &lack->holders[i]);
        }
        if (lack->n_more_holders > 0)
                words_say(words, " and %zu more task%s", lack->n_more_holders,
                          lack->n_more_holders > 1 ? "s" : "");
        if (outside && lack->n_holders > 0)
                words_say(words, "; ");
        if (outside)
                say_outside(words, lack);
        words_say(words, ")");
}

/* `, and 20G is kept for task 7 of bob`: it would not help if as much as is missing came free. */
static void say_also_kept(Words *words, const Lack *lack) {
        Bytes bytes;

        if (lack->kept_for.task_id == 0)
                return;
        words_say(words, ", and %s is kept for ",
                  words_bytes(&bytes, lack->kept_for.promised_bytes));
        words_task(words, &lack->kept_for);
}

static void say_short(Words *words, const Lack *lack) {
        Bytes has, missing;

        words_say(words, "%s free, %s missing", words_bytes(&has, lack->free_bytes),
                  words_bytes(&missing, lack->missing_bytes));
        say_who(words, lack);
        say_also_kept(words, lack);
}

/* Nothing is short, but a task that has just started there must settle first. */
static void say_settling(Words *words, const Lack *lack) {
        Bytes has, missing;

        if (lack->reason == WAIT_REASON_DELAY) {
                words_say(words, "kept for ");
                words_tasks(words, lack);
                words_say(words, " until it has taken what it asked for");
        } else {
                words_tasks(words, lack);
                words_say(words,
                          " just started and may take more than it asked for: %s free beyond that",
                          words_bytes(&has, lack->free_bytes));
                words_say(words, ", %s missing", words_bytes(&missing, lack->missing_bytes));
        }
        if (lack->until_boot_us > 0) {
                words_say(words, ", at most ");
                words_until(words, lack->until_boot_us);
                words_say(words, " more");
        }
        say_also_kept(words, lack);
}

/* `in use (task 12 of alice holds 5G)`, `in use (4G is used outside taskflow), 2.8G more than whole_gpu_used allows` */
static void say_shared(Words *words, const Lack *lack) {
        Bytes missing;

        words_say(words, "in use");
        say_who(words, lack);
        if (lack->n_holders == 0 && lack->missing_bytes > 0)
                words_say(words, ", %s more than whole_gpu_used allows",
                          words_bytes(&missing, lack->missing_bytes));
        say_also_kept(words, lack);
}

/* `task 7 of bob (at most 23h59m more)` */
static void say_kept_for(Words *words, const Lack *lack) {
        words_task(words, &lack->holders[0]);
        if (lack->until_boot_us == 0)
                return;

        words_say(words, " (at most ");
        words_until(words, lack->until_boot_us);
        words_say(words, " more)");
}

/* `12G free, but 20G kept for task 7 of bob (at most 23h59m more), 8G missing` */
static void say_kept(Words *words, const Lack *lack) {
        Bytes bytes;

        words_say(words, "%s free, but ", words_bytes(&bytes, lack->free_bytes));
        if (lack->n_holders == 0) {
                words_say(words, "room is kept for another task");
                return;
        }

        words_say(words, "%s kept for ", words_bytes(&bytes, lack->holders[0].promised_bytes));
        say_kept_for(words, lack);
        if (lack->missing_bytes > 0)
                words_say(words, ", %s missing", words_bytes(&bytes, lack->missing_bytes));
        else if (lack->asked_bytes != GPU_WHOLE)
                words_say(words, ", which a delay (-d) would hold up");
}

/* `6 of 8 free, but 8 kept for task 7 of bob, 4 missing` */
static void say_kept_number(Words *words, const Lack *lack) {
        words_say(words, "%" PRIu64 " of %" PRIu64 " free, but ", lack->free_bytes,
                  lack->total_bytes);
        if (lack->n_holders == 0) {
                words_say(words, "kept for another task");
                return;
        }

        words_say(words, "%" PRIu64 " kept for ", lack->holders[0].promised_bytes);
        say_kept_for(words, lack);
        if (lack->missing_bytes > 0)
                words_say(words, ", %" PRIu64 " missing", lack->missing_bytes);
}

/* ` (task 12 of alice has 6), and 4 kept for task 7 of bob` */
static void say_number_holders(Words *words, const Lack *lack) {
        for (size_t i = 0; i < lack->n_holders; i++) {
                words_say(words, "%s", i > 0 ? ", " : " (");
                words_task(words, &lack->holders[i]);
                words_say(words, " has %" PRIu64, lack->holders[i].used_bytes);
        }
        if (lack->n_more_holders > 0)
                words_say(words, " and %zu more", lack->n_more_holders);
        if (lack->n_holders > 0)
                words_say(words, ")");
        if (lack->kept_for.task_id == 0)
                return;

        words_say(words, ", and %" PRIu64 " kept for ", lack->kept_for.promised_bytes);
        words_task(words, &lack->kept_for);
}

static void say_free_number(Words *words, const Lack *lack) {
        words_say(words, "%" PRIu64 " of %" PRIu64 " free, %" PRIu64 " missing", lack->free_bytes,
                  lack->total_bytes, lack->missing_bytes);
        say_number_holders(words, lack);
}

void room_say_cores(Words *words, const Lack *lack) {
        words_say(words, "needs %" PRIu64 " core%s: ", lack->asked_bytes,
                  lack->asked_bytes == 1 ? "" : "s");
        if (lack->reason == WAIT_REASON_CPUS_KEPT)
                say_kept_number(words, lack);
        else
                say_free_number(words, lack);
}

/* The settings have fewer than when it was submitted. */
static void say_too_few_tokens(Words *words, const Lack *lack) {
        if (lack->total_bytes == 0)
                words_say(words, "the settings have none any more, and it can't start before they "
                                 "have");
        else
                words_say(words,
                          "the settings have only %" PRIu64 " now, and it can't start before they "
                          "have %" PRIu64 " more",
                          lack->total_bytes, lack->asked_bytes - lack->total_bytes);
        say_number_holders(words, lack);
}

void room_say_tokens(Words *words, const Lack *lack) {
        words_say(words, "needs %" PRIu64 " token%s of %s: ", lack->asked_bytes,
                  lack->asked_bytes == 1 ? "" : "s", lack->token);
        if (lack->reason == WAIT_REASON_TOKENS_KEPT)
                say_kept_number(words, lack);
        else if (lack->asked_bytes > lack->total_bytes)
                say_too_few_tokens(words, lack);
        else
                say_free_number(words, lack);
}

static void say_exclusive(Words *words, const Lack *lack) {
        if (lack->n_holders > 0) {
                words_tasks(words, lack);
        } else {
                words_say(words, "a program outside taskflow");
                if (lack->n_outsiders > 0)
                        words_say(words, " (");
                say_outsiders(words, lack);
                if (lack->n_outsiders > 0)
                        words_say(words, ")");
        }
        words_say(words, " has it, and its compute mode lets only one process use it");
}

/* What is the matter with the place that was named just before. */
static void say_matter(Words *words, const Lack *lack) {
        switch (lack->reason) {
        case WAIT_REASON_MEMORY:
        case WAIT_REASON_GPU_MEMORY:
                say_short(words, lack);
                return;
        case WAIT_REASON_GPU_SHARED:
                say_shared(words, lack);
                return;
        case WAIT_REASON_GPU_WHOLE:
                words_tasks(words, lack);
                words_say(words, " has it alone");
                return;
        case WAIT_REASON_GPU_UNKNOWN:
                words_say(words, "the driver does not answer");
                return;
        case WAIT_REASON_GPU_LOST:
                words_say(words, "the driver says that it is gone");
                return;
        case WAIT_REASON_GPU_KEPT:
                words_say(words, "the settings (gpus) no longer give it out");
                return;
        case WAIT_REASON_GPU_EXCLUSIVE:
                say_exclusive(words, lack);
                return;
        case WAIT_REASON_GPU_PROHIBITED:
                words_say(words, "its compute mode is 'prohibited'");
                return;
        case WAIT_REASON_GPU_SPLIT:
                words_say(words, "it was split into instances (MIG)");
                return;
        case WAIT_REASON_DELAY:
        case WAIT_REASON_SETTLING:
                say_settling(words, lack);
                return;
        case WAIT_REASON_LOOK:
                words_say(words, "about to be measured");
                return;
        case WAIT_REASON_ROOM_KEPT:
                say_kept(words, lack);
                return;
        case WAIT_REASON_CPUS:
        case WAIT_REASON_HELD:
        case WAIT_REASON_AWAY:
        case WAIT_REASON_OFFERS:
        case WAIT_REASON_ACTIVE:
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
        case WAIT_REASON_TOKENS:
        case WAIT_REASON_TOKENS_KEPT:
                return;
        }
}

void room_say_place(Words *words, const Lack *lack) {
        char where[WHERE_MAX];
        char id[GPU_ID_MAX];
        bool is_gpu = room_is_of_gpu(lack);
        Bytes asked;

        (void)show_where(lack, where);
        if (is_gpu && lack->gpu_index < 0 && lack->gpu_uuid[0] == '\0')
                (void)snprintf(where, sizeof(where), "a GPU");

        if (is_gpu && lack->asked_bytes == GPU_WHOLE)
                words_say(words, "needs %s alone: %s", where,
                          lack->reason == WAIT_REASON_GPU_SHARED ? "it is " : "");
        else if (is_gpu)
                words_say(words, "needs %s on %s: ", words_bytes(&asked, lack->asked_bytes), where);
        else
                words_say(words, "needs %s of RAM: ", words_bytes(&asked, lack->asked_bytes));
        say_matter(words, lack);
        if (lack->reason == WAIT_REASON_GPU_SHARED && lack->gpu_index >= 0)
                words_say(words, "; --gpu %s:SIZE would share it",
                          gpu_id_or_index(lack->gpu_id, (unsigned)lack->gpu_index, id));
}

/* GPUs that are alternatives: what is needed is said once. `GPU 0 has 3.9G free, …` */
void room_say_alternative(Words *words, const Lack *lack, bool first) {
        char where[WHERE_MAX];
        Bytes asked;

        if (first && lack->asked_bytes == GPU_WHOLE)
                words_say(words, "needs a GPU alone: ");
        else if (first)
                words_say(words, "needs %s on a GPU: ", words_bytes(&asked, lack->asked_bytes));
        else
                words_say(words, "; ");

        if (lack->gpu_index < 0 && lack->gpu_uuid[0] == '\0') {
                words_say(words, "none is there now");
                return;
        }

        words_say(words, "%s%s", show_where(lack, where),
                  lack->reason == WAIT_REASON_GPU_MEMORY || lack->reason == WAIT_REASON_ROOM_KEPT ?
                          " has " :
                  lack->reason == WAIT_REASON_GPU_SHARED ? " is " :
                                                           ": ");
        say_matter(words, lack);
}
