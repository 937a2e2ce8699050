/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow show: all about one task.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/format.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/view.h"
#include "core/excess.h"
#include "core/output.h"
#include "core/ref.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/units.h"

typedef struct Values {
        bool json;
} Values;

static const Opt opts[] = {
        { 0, "json", NULL, "print JSON", opt_parse_flag, offsetof(Values, json), NULL },
        { 0 },
};

static void field_owned(const char *label, char *text) {
        field_text(label, text ? text : "(out of memory)");
        free(text);
}

static void print_state(const Task *task) {
        char duration[UNITS_FORMAT_MAX];
        const char *state = task_state_to_string(task->state);
        char text[128];

        (void)format_time(task, clock_realtime_us(), clock_boottime_us(), duration,
                          sizeof(duration));
        if (task_state_is_final(task->state))
                (void)snprintf(text, sizeof(text), "%s", state);
        else
                (void)snprintf(text, sizeof(text), "%s for %s", state, duration);
        field_tone("state", text, format_state_tone(task->state));
}

static void print_delay(const TaskView *view, uint64_t now_boot_us) {
        const Task *task = view->task;
        char delay[UNITS_FORMAT_MAX];
        char left[UNITS_FORMAT_MAX];

        (void)units_format_duration(delay, sizeof(delay), task->delay_us);
        if (task->state != TASK_STATE_RUNNING)
                field_printf("delay", "%s%s", delay, task->delay_given ? " (strict: -d)" : "");
        else if (view->settle_until_boot_us > now_boot_us)
                field_printf("delay", "%s%s, over in %s at the latest", delay,
                             task->delay_given ? " (strict: -d)" : "",
                             units_format_duration(left, sizeof(left),
                                                   view->settle_until_boot_us - now_boot_us));
        else
                field_printf("delay", "%s, over", delay);
}

static void print_time_limit(const Task *task) {
        char limit[UNITS_FORMAT_MAX];
        char left[UNITS_FORMAT_MAX];
        uint64_t ran_us = format_ran_us(task, clock_boottime_us());

        if (task->time_limit_us == TASK_TIME_INF)
                return;

        (void)units_format_duration(limit, sizeof(limit), task->time_limit_us);
        if (task->state == TASK_STATE_RUNNING && ran_us < task->time_limit_us)
                field_printf("time limit", "%s, %s left", limit,
                             units_format_duration(left, sizeof(left),
                                                   task->time_limit_us - ran_us));
        else
                field_text("time limit", limit);
}

static void print_times(const Task *task) {
        char instant[FORMAT_INSTANT_MAX];
        char duration[UNITS_FORMAT_MAX];

        field_text("submitted", format_instant(task->submitted_at_us, instant));
        if (task->started_at_us > 0)
                field_text("started", format_instant(task->started_at_us, instant));
        if (task->ended_at_us > 0)
                field_printf("ended", "%s%s%s%s", format_instant(task->ended_at_us, instant),
                             task->started_at_us > 0 ? " (ran " : "",
                             task->started_at_us > 0 ?
                                     format_time(task, 0, 0, duration, sizeof(duration)) :
                                     "",
                             task->started_at_us > 0 ? ")" : "");
}

/* Parts that were let go because nobody can measure them (decisions.md 8). */
static void print_let_go(const Task *task) {
        char id[GPU_ID_MAX];

        if (task->memory.let_go)
                field_text("let go", "what is not used of its RAM is given to others: it can't be "
                                     "measured");
        for (unsigned i = 0; task->gpus && task->gpu_usage && i < task->needs.n_gpus; i++)
                if (task->gpu_usage[i].let_go)
                        field_printf(
                                "let go",
                                "what is not used of its part of GPU %s is given to others: it "
                                "can't be measured",
                                format_gpu_id(&task->gpus[i], id));
}

/* A GPU that it did not ask for, or much more than it asked for. */
static void print_excess(const Task *task) {
        bool running = task->state == TASK_STATE_RUNNING;
        char words[EXCESS_SENTENCE_MAX];
        unsigned at = 0;
        Excess excess;

        while (excess_next(task, &at, &excess)) {
                bool now = running && excess_is_now(&excess);

                (void)excess_sentence(&excess, !now, words, sizeof(words));
                field_printf("excess", "%s%s", now ? "holds " : "held up to ", words);
        }
}

static void print_use(const Task *task) {
        if (task->state == TASK_STATE_RUNNING)
                field_owned("used now", format_used_words(task, false));
        if (task->started_at_us > 0)
                field_owned("peak", format_used_words(task, true));
        print_excess(task);
        print_let_go(task);
}

/* What it waits for, and what happens when it fails. */
static void print_terms(const Task *task) {
        if (task->n_after > 0)
                field_owned("after", format_after(task));
        if (task->retry_max > 0)
                field_printf("retries", "%u of at most %u", task->n_retries, task->retry_max);
        if (task->requeue)
                field_text("requeue", "runs again if the machine goes down while it runs");
}

static void print_output(const TaskView *view) {
        const Task *task = view->task;

        if (!task->detached)
                field_text("output", "in its own terminal (taskflow run)");
        else if (view->hidden)
                field_text("output", "(hidden)");
        else if (task->output && task->array)
                field_text("output", task->output);
        else if (task->output)
                field_owned("output", output_expand(task->output, task->id, task->name));
}

static void print_task(const TaskView *view, uint64_t now_boot_us) {
        const Task *task = view->task;
        char sentence[VIEW_SENTENCE_MAX];
        char status[FORMAT_STATUS_MAX];
        char buf[64];

        field_text("id", task_ref_format(buf, sizeof(buf), task->id));
        field_text("name", task->name);
        field_text("user", cli_user_name(task->uid, buf, sizeof(buf), NULL));
        print_state(task);
        if (task_state_is_final(task->state))
                field_text("status", format_status(task, status));
        field_text(task_state_is_final(task->state) ? "reason" : "why",
                   view_reason(view, now_boot_us, sentence));
        if (task->array)
                field_owned("array", format_array(task));
        field_text("command", view->hidden ? "(hidden)" : task->command);
        field_text("folder", view->hidden ? "(hidden)" : task->cwd);
        field_owned("needs", format_needs_words(&task->needs));
        if (task->gpus)
                field_owned("gpus", format_gpus(task));
        print_use(task);
        field_text("priority", format_priority(task->priority, buf, sizeof(buf)));
        print_terms(task);
        print_delay(view, now_boot_us);
        print_time_limit(task);
        print_times(task);
        if (task->state == TASK_STATE_RUNNING && task->pid > 0)
                field_printf("pid", "%d", (int)task->pid);
        print_output(view);
}

static int show_run(_unused_ const Command *command, void *v, _unused_ int n, char **operands) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(reply_done) Reply reply = { 0 };
        const Values *values = v;
        Call call = { .type = CALL_SHOW };
        Error error;
        int status;

        if (cli_parse_id(operands[0], &call.show.id, &error) < 0)
                return cli_fail(CLI_STATUS_USAGE, "show: %s", error.text);

        status = session_open(&client, SESSION_ACT);
        if (status != 0)
                return status;
        if (!client)
                return session_no_task(call.show.id);

        status = session_call(client, &call, &reply);
        if (status != 0)
                return status;
        if (reply.list.n != 1)
                return session_no_task(call.show.id);

        if (values->json) {
                if (view_print_json(&reply.list.tasks[0], view_now_boot_us(&reply)) < 0)
                        return cli_fail(CLI_STATUS_REFUSED, "out of memory");
                (void)putchar('\n');
        } else {
                print_task(&reply.list.tasks[0], view_now_boot_us(&reply));
        }
        return output_finish(CLI_STATUS_DONE);
}

const Command command_show = {
        .name = "show",
        .operands = "ID",
        .summary = "show all about one task",
        .opts = opts,
        .min_operands = 1,
        .max_operands = 1,
        .usage_status = CLI_STATUS_USAGE,
        .values_size = sizeof(Values),
        .run = show_run,
};
