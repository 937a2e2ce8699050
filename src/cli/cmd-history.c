/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow history: the tasks that have ended, the last one first.
 *
 * Exported they are printed as they come, however many they are: a line each, for other programs, taskflow-sim among them.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/table.h"
#include "cli/view.h"
#include "core/gpu-word.h"
#include "core/ref.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/text.h"
#include "util/units.h"

typedef enum ExportFormat {
        EXPORT_NONE,
        EXPORT_CSV,
        EXPORT_JSON,
} ExportFormat;

static const char *const format_words[] = { "csv", "json", NULL };

typedef struct Values {
        const char *user;
        bool has_since;
        uint64_t since_us;
        bool has_lines;
        uint64_t n_lines;
        ExportFormat export;
} Values;

static int parse_export(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        ExportFormat format;

        if (!word || strcmp(word, "csv") == 0)
                format = EXPORT_CSV;
        else if (strcmp(word, "json") == 0)
                format = EXPORT_JSON;
        else
                return error_set(error, -EINVAL, "'%s' is neither csv nor json", word);
        *(ExportFormat *)target = format;
        return 0;
}

static int parse_since(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        Values *values = target;
        int r = units_parse_duration_us(word, &values->since_us, error);

        values->has_since = r == 0;
        return r;
}

static int parse_lines(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        Values *values = target;
        int r = units_parse_uint(word, 0, UINT64_MAX, &values->n_lines, error);

        values->has_lines = r == 0;
        return r;
}

static const Opt opts[] = {
        { 'u', "user", "USER", "tasks of USER only", opt_parse_string, offsetof(Values, user),
          NULL },
        { 0, "since", "TIME", "what ended in the last TIME: 12h, 30d", parse_since, 0, NULL },
        { 'n', "lines", "N", "the last N of them only", parse_lines, 0, NULL },
        { 0, "export", "[FORMAT]", "for other programs: csv (if nothing is said), or json",
          parse_export, offsetof(Values, export), format_words },
        { 0 },
};

static const TableColumn columns[] = {
        { "ID", true, false },           { "USER", false, false },  { "STATE", false, false },
        { "STATUS", true, false },       { "ENDED", false, false }, { "WAITED", true, false },
        { "RAN", true, false },          { "NEEDS", false, false }, { "PEAK", false, false },
        { "NAME/COMMAND", false, true },
};

typedef struct History {
        const Values *values;
        Table *table; /* owned; NULL: exported */
        uint64_t since_at_us;
        uint64_t n_shown;
} History;

/* -- CSV -- */

static void put_uint(const char *before, bool known, uint64_t value) {
        (void)fputs(before, stdout);
        if (known)
                (void)printf("%" PRIu64, value);
}

/* Without what a line, or a terminal, would be broken by. */
static int put_text(const char *text) {
        _cleanup_free_ char *visible = text_visible(text ? text : "");

        if (!visible)
                return -ENOMEM;
        (void)fputs(",\"", stdout);
        for (const char *c = visible; *c; c++) {
                if (*c == '"')
                        (void)putchar('"');
                (void)putchar(*c);
        }
        (void)putchar('"');
        return 0;
}

static void put_instant(uint64_t at_us) {
        char iso[CLOCK_ISO_MAX];
        bool known = at_us > 0 && clock_format_iso(iso, sizeof(iso), at_us) == 0;

        (void)printf(",%s", known ? iso : "");
}

static void put_seconds(uint64_t us) {
        if (us == TASK_TIME_INF)
                (void)fputs(",inf", stdout);
        else
                (void)printf(",%" PRIu64 ".%03u", us / US_PER_SEC,
                             (unsigned)(us % US_PER_SEC / US_PER_MSEC));
}

/* "any:10737418240 0:all": what was asked for, with the GPU that it got in place of a name */
static void put_gpus(const Task *task) {
        (void)putchar(',');
        for (unsigned i = 0; i < task->needs.n_gpus; i++) {
                const GpuNeed *need = &task->needs.gpus[i];
                GpuKind kind;

                (void)fputs(i > 0 ? " " : "", stdout);
                if (gpu_word_is_any(need->want, GPU_KIND_NVIDIA, &kind) || !task->gpus)
                        (void)fputs("any:", stdout);
                else
                        (void)printf("%u:", task->gpus[i].index);
                if (need->bytes == GPU_WHOLE)
                        (void)fputs("all", stdout);
                else
                        (void)printf("%" PRIu64, need->bytes);
        }
}

static void put_gpu_peaks(const Task *task) {
        (void)putchar(',');
        for (unsigned i = 0; i < task->needs.n_gpus; i++) {
                (void)fputs(i > 0 ? " " : "", stdout);
                if (task->gpu_usage && task->gpu_usage[i].known)
                        (void)printf("%" PRIu64, task->gpu_usage[i].peak_bytes);
                else
                        (void)putchar('-');
        }
}

/* "ansys:1 matlab:2" */
static int put_tokens(const Needs *needs) {
        _cleanup_free_ char *list = token_format_list(needs->tokens, needs->n_tokens);

        if (!list)
                return -ENOMEM;
        (void)printf(",%s", list);
        return 0;
}

static void put_csv_header(void) {
        (void)puts("id,user,uid,state,exit_status,signal,priority,submitted_at,started_at,ended_at,"
                   "memory_bytes,memory_peak_bytes,cpus,gpus,gpu_peaks,delay_seconds,delay_given,"
                   "time_limit_seconds,detached,name,command,tokens");
}

static int put_csv(const TaskView *view) {
        const Task *task = view->task;
        char id[TASK_REF_FORMAT_MAX], user[64];
        int r;

        (void)fputs(task_ref_format(id, sizeof(id), task->id), stdout);
        r = put_text(cli_user_name(task->uid, user, sizeof(user), NULL));
        (void)printf(",%u,%s", (unsigned)task->uid, task_state_to_string(task->state));
        put_uint(",", task->exit_status >= 0, (uint64_t)task->exit_status);
        put_uint(",", task->signal > 0, (uint64_t)task->signal);
        put_uint(",", true, task->priority);
        put_instant(task->submitted_at_us);
        put_instant(task->started_at_us);
        put_instant(task->ended_at_us);
        put_uint(",", true, task->needs.memory_bytes);
        put_uint(",", task->memory.known, task->memory.peak_bytes);
        put_uint(",", true, task->needs.cpus);
        put_gpus(task);
        put_gpu_peaks(task);
        put_seconds(task->delay_us);
        put_uint(",", true, task->delay_given);
        put_seconds(task->time_limit_us);
        put_uint(",", true, task->detached);
        if (r == 0)
                r = put_text(view->hidden ? NULL : task->name);
        if (r == 0)
                r = put_text(view->hidden ? NULL : task->command);
        if (r == 0)
                r = put_tokens(&task->needs);
        (void)putchar('\n');
        return r;
}

/* -- the table -- */

static void set_duration_cell(TableRow *cells, uint64_t from_us, uint64_t to_us) {
        char buf[UNITS_FORMAT_MAX];

        table_row_put(cells,
                      from_us > 0 && to_us >= from_us ?
                              units_format_duration(buf, sizeof(buf), to_us - from_us) :
                              "-",
                      TONE_PLAIN);
}

static int add_row(Table *table, const TaskView *view) {
        const Task *task = view->task;
        char buf[FORMAT_INSTANT_MAX], status[FORMAT_STATUS_MAX];
        TableRow cells = { .table = table };

        cells.r = table_add_row(table);
        table_row_put_owned(&cells, format_id(task, FORMAT_SET_SHORT));
        table_row_put(&cells, cli_user_name(task->uid, buf, sizeof(buf), NULL), TONE_PLAIN);
        table_row_put(&cells, task_state_to_string(task->state), format_state_tone(task->state));
        table_row_put(&cells, format_status(task, status), TONE_PLAIN);
        table_row_put(&cells, format_instant(task->ended_at_us, buf), TONE_PLAIN);
        set_duration_cell(&cells, task->submitted_at_us,
                          task->started_at_us > 0 ? task->started_at_us : task->ended_at_us);
        set_duration_cell(&cells, task->started_at_us, task->ended_at_us);
        table_row_put_owned(&cells, format_needs(task));
        table_row_put_owned(&cells, format_used(task, true));
        table_row_put(&cells,
                      view->hidden ? "(hidden)" :
                      task->name   ? task->name :
                                     task->command,
                      TONE_PLAIN);
        return cells.r;
}

/* -- what the daemon sends -- */

/* An array is its elements, and those are tasks of their own. */
static bool is_wanted(const History *history, const Task *task) {
        return task_state_is_final(task->state) && !task->array &&
               task->ended_at_us >= history->since_at_us;
}

static int show_task(History *history, const TaskView *view, uint64_t now_boot_us) {
        int r;

        history->n_shown++;
        switch (history->values->export) {
        case EXPORT_CSV:
                return put_csv(view);
        case EXPORT_JSON:
                r = view_print_json(view, now_boot_us);
                (void)putchar('\n');
                return r;
        case EXPORT_NONE:
                break;
        }
        return add_row(history->table, view);
}

static bool is_full(const History *history) {
        return history->values->has_lines && history->n_shown >= history->values->n_lines;
}

static int show_reply(History *history, const Reply *reply) {
        int r = 0;

        for (size_t i = 0; i < reply->list.n && r == 0 && !is_full(history); i++)
                if (is_wanted(history, reply->list.tasks[i].task))
                        r = show_task(history, &reply->list.tasks[i], view_now_boot_us(reply));
        return r;
}

static int show_all(History *history, Client *client, const Call *call) {
        bool more = true;
        Reply reply;
        int status;

        status = session_call(client, call, &reply);
        while (status == 0 && more) {
                int r = show_reply(history, &reply);

                more = reply.continues && !is_full(history);
                reply_done(&reply);
                if (r < 0)
                        return cli_fail(CLI_STATUS_REFUSED, "out of memory");
                if (more)
                        status = session_read(client, &reply);
        }
        return status;
}

static int make_call(const Values *values, Call *ret) {
        *ret = (Call){ .type = CALL_LIST, .more = true };
        ret->list.ended = true;
        ret->list.has_uid = values->user != NULL;
        if (values->user && names_find_user(values->user, &ret->list.uid) < 0)
                return cli_fail(CLI_STATUS_USAGE, "history: -u: there is no user '%s'",
                                values->user);
        return 0;
}

static uint64_t since_at_us(const Values *values) {
        uint64_t now_us = clock_realtime_us();

        return values->has_since && values->since_us < now_us ? now_us - values->since_us : 0;
}

static int history_run(_unused_ const Command *command,
                       void *v,
                       _unused_ int n_operands,
                       _unused_ char **operands) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(table_freep) Table *table = NULL;
        Values *values = v;
        History history = { .values = values, .since_at_us = since_at_us(values) };
        Call call;
        int status;

        status = make_call(values, &call);
        if (status == 0)
                status = session_open(&client, SESSION_ACT);
        if (status != 0)
                return status;

        if (values->export == EXPORT_CSV)
                put_csv_header();
        if (values->export == EXPORT_NONE && table_new(&table, columns, ELEMENTSOF(columns)) < 0)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");
        history.table = table;
        if (client && !is_full(&history))
                status = show_all(&history, client, &call);
        if (table && status == 0 && table_print(table) < 0)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");
        return output_finish(status);
}

const Command command_history = {
        .name = "history",
        .operands = "",
        .summary = "show the tasks that have ended; export them",
        .description =
                "The last one comes first. They are kept for as long as the setting 'history_days' says. "
                "What is exported as CSV can be replayed with taskflow-sim, to try other settings.",
        .opts = opts,
        .usage_status = CLI_STATUS_USAGE,
        .values_size = sizeof(Values),
        .run = history_run,
};
