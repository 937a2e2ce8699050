/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow why: what a task waits for, in numbers.
 *
 * The daemon's answer has the numbers of each thing that is missing, and when it may start. Who is
 * ahead comes from the list of tasks, which is read up to the task itself.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/outside.h"
#include "cli/session.h"
#include "cli/view.h"
#include "core/gpu-word.h"
#include "core/ref.h"
#include "core/sentence-room.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/units.h"

enum {
        AHEAD_MAX = 8, /* tasks ahead that are named */
        CLOCK_TEXT_MAX = 32,
        LIST_PLACE_MAX = 1000, /* further back the list is too long to be read for it */
};

/* What is known of tasks other than the one asked about. */
typedef struct Others {
        size_t n_ahead; /* waiting, and before it */
        struct {
                uint64_t id;
                uid_t uid;
        } ahead[AHEAD_MAX];
} Others;

static const char *ref(uint64_t id, char buf[static TASK_REF_FORMAT_MAX]) {
        return task_ref_format(buf, TASK_REF_FORMAT_MAX, id);
}

static const char *user(uid_t uid, char buf[static 64]) {
        return cli_user_name(uid, buf, 64, NULL);
}

static void note_other(Others *others, const Task *task) {
        if (task->state != TASK_STATE_PENDING)
                return;
        if (others->n_ahead < AHEAD_MAX) {
                others->ahead[others->n_ahead].id = task->id;
                others->ahead[others->n_ahead].uid = task->uid;
        }
        others->n_ahead++;
}

/* Reads the list up to task @id. What can't be had is left out. */
static void read_others(Client *client, uint64_t id, Others *ret) {
        Call call = { .type = CALL_LIST, .more = true };
        bool more = true;
        Reply reply;
        int status;

        status = session_call(client, &call, &reply);
        while (status == 0 && more) {
                more = reply.continues;
                for (size_t i = 0; i < reply.list.n; i++) {
                        const Task *task = reply.list.tasks[i].task;

                        if (task->id == id) {
                                more = false;
                                break;
                        }
                        note_other(ret, task);
                }
                reply_done(&reply);
                if (more)
                        status = session_read(client, &reply);
        }
}

static void print_size(const char *what, uint64_t bytes) {
        char buf[UNITS_FORMAT_MAX];

        (void)printf("  %s %s", what, units_format_bytes(buf, sizeof(buf), bytes));
}

/* Cores or tokens: no bytes. */
static bool is_counted(const Lack *lack) {
        return lack->reason == WAIT_REASON_CPUS || lack->reason == WAIT_REASON_CPUS_KEPT ||
               lack->reason == WAIT_REASON_TOKENS || lack->reason == WAIT_REASON_TOKENS_KEPT;
}

static void print_numbers(const Lack *lack) {
        if (is_counted(lack)) {
                (void)printf("  asked %" PRIu64 "  free %" PRIu64 "  missing %" PRIu64
                             "  total %" PRIu64,
                             lack->asked_bytes, lack->free_bytes, lack->missing_bytes,
                             lack->total_bytes);
                return;
        }

        if (lack->asked_bytes == GPU_WHOLE)
                (void)fputs("  asked: all of it", stdout);
        else
                print_size("asked", lack->asked_bytes);
        print_size("free", lack->free_bytes);
        if (lack->missing_bytes > 0)
                print_size("missing", lack->missing_bytes);
        print_size("total", lack->total_bytes);
        if (lack->reserved_bytes > 0)
                print_size("reserved", lack->reserved_bytes);
}

/* What stands between the task and a sentence that begins with this reason, if that is not of the task itself ("needs"). */
static const char *const leads[N_WAIT_REASONS] = {
        [WAIT_REASON_HELD] = "is ",
        [WAIT_REASON_AWAY] = "waits: ",
        [WAIT_REASON_OFFERS] = "waits: ",
        [WAIT_REASON_ACTIVE] = "waits: ",
        [WAIT_REASON_LIMIT] = "waits: ",
        [WAIT_REASON_ELEMENTS] = "has not ended: ",
        [WAIT_REASON_DRAINED] = "waits: ",
        [WAIT_REASON_PRESSURE] = "waits: ",
        [WAIT_REASON_MAX_RUNNING] = "waits: ",
};

/* Room is kept for it. */
static void print_claim(const Lack *lack, const Holder *holder) {
        if (is_counted(lack))
                (void)printf("  has first claim to %" PRIu64, holder->promised_bytes);
        else
                print_size("has first claim to", holder->promised_bytes);
}

static void print_holder(const Lack *lack, const Holder *holder) {
        if (lack->reason == WAIT_REASON_ROOM_KEPT || lack->reason == WAIT_REASON_CPUS_KEPT ||
            lack->reason == WAIT_REASON_TOKENS_KEPT) {
                print_claim(lack, holder);
        } else if (is_counted(lack)) {
                (void)printf("  has %" PRIu64, holder->used_bytes);
        } else {
                print_size("uses", holder->used_bytes);
                if (holder->promised_bytes > 0)
                        print_size("still has to come:", holder->promised_bytes);
        }
}

static void print_holders(const Lack *lack) {
        char id[TASK_REF_FORMAT_MAX];
        char name[64];

        for (size_t i = 0; i < lack->n_holders; i++) {
                const Holder *holder = &lack->holders[i];

                (void)printf("    task %s of ", ref(holder->task_id, id));
                output_text(user(holder->uid, name));
                print_holder(lack, holder);
                (void)putchar('\n');
        }
        if (lack->n_more_holders > 0)
                (void)printf("    and %zu tasks more\n", lack->n_more_holders);
        if (lack->kept_for.task_id == 0)
                return;

        (void)printf("    task %s of ", ref(lack->kept_for.task_id, id));
        output_text(user(lack->kept_for.uid, name));
        print_claim(lack, &lack->kept_for);
        (void)putchar('\n');
}

static void print_outsider(const OutsideProcess *outsider) {
        char program[OUTSIDE_PROGRAM_MAX];
        char name[64];

        (void)printf("      process %d", (int)outsider->pid);
        if (outside_program(outsider, program, sizeof(program))) {
                (void)fputs(" (", stdout);
                output_text(program);
                (void)putchar(')');
        }
        if (outsider->uid != OUTSIDER_UID_UNKNOWN) {
                (void)fputs(" of ", stdout);
                output_text(user(outsider->uid, name));
        }
        if (outsider->used_bytes != OUTSIDER_BYTES_UNKNOWN)
                print_size("uses", outsider->used_bytes);
        (void)putchar('\n');
}

/* Asked on a connection of its own: on the other one the rest of a list may be under way. */
static void print_ram_outsiders(void) {
        _cleanup_(client_freep) Client *client = NULL;
        Outsiders outsiders;
        Error error;

        if (session_connect(&client, CLIENT_QUIET, &error) != 0 ||
            outside_ram(client, &outsiders) < 0)
                return;
        for (size_t i = 0; i < MIN(outsiders.n, (size_t)EXPLAIN_OUTSIDERS_MAX); i++)
                print_outsider(&outsiders.items[i]);
}

static void print_outside(const Lack *lack) {
        if (lack->outside_bytes == 0)
                return;

        (void)fputs("    outside taskflow", stdout);
        print_size("uses", lack->outside_bytes);
        (void)putchar('\n');
        if (lack->reason == WAIT_REASON_MEMORY)
                print_ram_outsiders();
        for (size_t i = 0; i < lack->n_outsiders; i++)
                print_outsider(&lack->outsiders[i]);
        if (lack->n_more_outsiders > 0)
                (void)printf("      and %zu processes more\n", lack->n_more_outsiders);
}

static void print_until(const Lack *lack, uint64_t now_boot_us) {
        char buf[UNITS_FORMAT_MAX];

        if (lack->until_boot_us > now_boot_us)
                (void)printf("    over in %s at the latest\n",
                             units_format_duration(buf, sizeof(buf),
                                                   lack->until_boot_us - now_boot_us));
}

static void print_lack(const Lack *lack, uint64_t now_boot_us) {
        char id[GPU_ID_MAX];

        if (!room_has_numbers(lack->reason))
                return;

        if (lack->gpu_index >= 0)
                (void)printf("  GPU %s",
                             gpu_id_or_index(lack->gpu_id, (unsigned)lack->gpu_index, id));
        else if (lack->token[0])
                (void)printf("  tokens of %s", lack->token);
        else
                (void)fputs(is_counted(lack) ? "  cores" : "  RAM", stdout);
        print_numbers(lack);
        (void)putchar('\n');
        print_holders(lack);
        print_outside(lack);
        print_until(lack, now_boot_us);
}

static void print_place(const Explain *explain, const Others *others) {
        char id[TASK_REF_FORMAT_MAX];
        char name[64];

        if (explain->place == 0)
                return;

        (void)printf("  place %zu in the queue", explain->place);
        for (size_t i = 0; i < MIN(others->n_ahead, (size_t)AHEAD_MAX); i++) {
                (void)printf("%s %s of ", i == 0 ? "; before it: task" : ",",
                             ref(others->ahead[i].id, id));
                output_text(user(others->ahead[i].uid, name));
        }
        if (others->n_ahead > AHEAD_MAX)
                (void)printf(" and %zu more", others->n_ahead - AHEAD_MAX);
        (void)putchar('\n');
}

/* How long it still waits until room is kept for it, or for how long it is. */
static void print_keep(const ExplainKeep *keep, uint64_t now_boot_us) {
        char buf[UNITS_FORMAT_MAX];

        if (keep->kept) {
                (void)printf("  room is kept for it since %s",
                             units_format_duration(buf, sizeof(buf),
                                                   now_boot_us -
                                                           MIN(now_boot_us, keep->since_boot_us)));
                if (keep->until_boot_us > now_boot_us)
                        (void)printf(", for at most %s more",
                                     units_format_duration(buf, sizeof(buf),
                                                           keep->until_boot_us - now_boot_us));
                (void)putchar('\n');
        } else if (keep->hopeless) {
                (void)puts("  no room is kept for it: the ends of running tasks would not bring "
                           "enough");
        } else if (keep->patient_boot_us > now_boot_us) {
                (void)printf("  others may overtake it for %s more, before room is kept\n",
                             units_format_duration(buf, sizeof(buf),
                                                   keep->patient_boot_us - now_boot_us));
        }
}

/* `14:20`; `14:20 on 3 Mar` if it is not today. */
static const char *clock_text(uint64_t boot_us,
                              uint64_t now_boot_us,
                              char buf[static CLOCK_TEXT_MAX]) {
        uint64_t now_us = clock_realtime_us();
        time_t at = (time_t)((now_us + boot_us - MIN(now_boot_us, now_us + boot_us)) / US_PER_SEC);
        time_t now = (time_t)(now_us / US_PER_SEC);
        struct tm then = { 0 }, today = { 0 };

        (void)localtime_r(&at, &then);
        (void)localtime_r(&now, &today);
        if (strftime(buf, CLOCK_TEXT_MAX,
                     then.tm_yday == today.tm_yday && then.tm_year == today.tm_year ?
                             "%H:%M" :
                             "%H:%M on %d %b",
                     &then) == 0)
                buf[0] = '\0';
        return buf;
}

static void print_rest(const StartRest *rest) {
        char id[TASK_REF_FORMAT_MAX];
        char name[64];

        (void)printf("    task %s of ", ref(rest->task_id, id));
        output_text(user(rest->uid, name));
        if (rest->n_runs == 0)
                (void)puts(" ends when its time limit is over");
        else if (rest->n_runs == 1)
                (void)printf(" takes as long as the last run of %s did\n",
                             rest->of_same ? "the same" : "that user");
        else
                (void)printf(" takes as long as the last %u runs of %s did\n", rest->n_runs,
                             rest->of_same ? "the same" : "that user");
}

/* Nothing where nothing is known: a guess would be taken for more. */
static void print_start(const ExplainStart *start, uint64_t now_boot_us) {
        char early[CLOCK_TEXT_MAX], about[CLOCK_TEXT_MAX], late[CLOCK_TEXT_MAX];

        if (start->late_boot_us == 0)
                return;

        (void)clock_text(start->early_boot_us, now_boot_us, early);
        (void)clock_text(start->about_boot_us, now_boot_us, about);
        (void)clock_text(start->late_boot_us, now_boot_us, late);
        if (start->latest_alone)
                (void)printf("  may start at %s or before", late);
        else if (strcmp(early, late) == 0)
                (void)printf("  may start about %s", about);
        else
                (void)printf("  may start about %s, between %s and %s", about, early, late);
        (void)puts(start->n_rests > 0 ? ", if" : "");
        for (size_t i = 0; i < start->n_rests; i++)
                print_rest(&start->rests[i]);
        if (start->n_more_rests > 0)
                (void)printf("    and %zu tasks more end as expected\n", start->n_more_rests);
}

static void print_why(Client *client, const Reply *reply) {
        const Explain *explain = reply->explain;
        uint64_t now_boot_us = view_now_boot_us(reply);
        char sentence[VIEW_SENTENCE_MAX];
        char id[TASK_REF_FORMAT_MAX];
        const char *lead;
        Others others = { 0 };

        (void)printf("task %s ", ref(reply->why.id, id));
        if (explain->n_lacks == 0) {
                (void)puts("lacks nothing: it starts at the next look at the machine");
        } else {
                explain_sentence(explain, now_boot_us, cli_user_name, NULL, sentence,
                                 sizeof(sentence));
                lead = leads[explain->lacks[0].reason];
                (void)fputs(lead ? lead : "", stdout);
                output_text(sentence);
                (void)putchar('\n');
        }

        if (explain->place <= LIST_PLACE_MAX)
                read_others(client, reply->why.id, &others);
        for (size_t i = 0; i < explain->n_lacks; i++)
                print_lack(&explain->lacks[i], now_boot_us);
        if (explain->any_gpu && explain->n_lacks > 1)
                (void)puts("  one of these GPUs would do");
        print_place(explain, &others);
        print_keep(&explain->keep, now_boot_us);
        print_start(&explain->start, now_boot_us);
}

static int why_run(_unused_ const Command *command,
                   _unused_ void *v,
                   _unused_ int n,
                   char **operands) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(reply_done) Reply reply = { 0 };
        Call call = { .type = CALL_WHY };
        char id[TASK_REF_FORMAT_MAX];
        Error error;
        int status;

        if (cli_parse_id(operands[0], &call.show.id, &error) < 0)
                return cli_fail(CLI_STATUS_USAGE, "why: %s", error.text);

        status = session_open(&client, SESSION_ACT);
        if (status != 0)
                return status;
        if (!client)
                return session_no_task(call.show.id);

        status = session_call(client, &call, &reply);
        if (status != 0)
                return status;

        if (reply.explain)
                print_why(client, &reply);
        else
                (void)printf("task %s does not wait: it is %s\n", ref(call.show.id, id),
                             task_state_to_string(reply.why.state));
        return output_finish(CLI_STATUS_DONE);
}

const Command command_why = {
        .name = "why",
        .operands = "ID",
        .summary = "say what a task waits for, who holds it, and when it may start",
        .min_operands = 1,
        .max_operands = 1,
        .usage_status = CLI_STATUS_USAGE,
        .run = why_run,
};
