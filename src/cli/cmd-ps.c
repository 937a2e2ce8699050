/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow ps: the tasks of everybody.
 *
 * The daemon sends them in the order in which they are shown, in several replies. Ids and JSON are
 * printed as they come; a table needs its widest cell first. Why tasks wait is a sentence each: on
 * a terminal the sentences stand below the table, because a column would leave them no room.
 */

#include <errno.h>
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
#include "core/ref.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/units.h"

/* Whose tasks. */
typedef struct UserFilter {
        bool given;
        bool named; /* by a word, and not only -u */
        uid_t uid;
} UserFilter;

typedef struct Values {
        bool all;
        UserFilter user;
        bool running;
        bool pending;
        bool verbose;
        bool quiet;
        bool json;
} Values;

static int parse_user(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        UserFilter *user = target;
        UserFilter filter = { .given = true, .named = word != NULL, .uid = getuid() };

        if (word && names_find_user(word, &filter.uid) < 0)
                return error_set(error, -EINVAL, "there is no user '%s'", word);

        *user = filter;
        return 0;
}

static const Opt opts[] = {
        { 'a', "all", NULL, "ended tasks too", opt_parse_flag, offsetof(Values, all), NULL },
        { 'u', "user", "[USER]", "my tasks only, or those of USER", parse_user,
          offsetof(Values, user), NULL },
        { 'r', "running", NULL, "running tasks only", opt_parse_flag, offsetof(Values, running),
          NULL },
        { 'p', "pending", NULL, "waiting tasks only, held ones too", opt_parse_flag,
          offsetof(Values, pending), NULL },
        { 'v', "verbose", NULL, "more columns", opt_parse_flag, offsetof(Values, verbose), NULL },
        { 'q', "quiet", NULL, "ids alone, one in a line", opt_parse_flag, offsetof(Values, quiet),
          NULL },
        { 0, "json", NULL, "print JSON", opt_parse_flag, offsetof(Values, json), NULL },
        { 0 },
};

static const TableColumn columns[] = {
        { "ID", true, false },   { "USER", false, false },  { "STATE", false, false },
        { "TIME", true, false }, { "NEEDS", false, false }, { "NAME/COMMAND", false, true },
};

static const TableColumn verbose_columns[] = {
        { "ID", true, false },     { "USER", false, false },  { "SHARE", true, false },
        { "PRIO", true, false },   { "STATE", false, false }, { "STATUS", true, false },
        { "TIME", true, false },   { "NEEDS", false, false }, { "USED", false, false },
        { "PEAK", false, false },  { "NAME", false, true },   { "COMMAND", false, true },
        { "FOLDER", false, true }, { "WHY", false, true },
};

static bool is_wanted(const Values *values, TaskState state) {
        bool either = values->running || values->pending;

        if (task_state_is_final(state))
                return values->all;
        if (state == TASK_STATE_RUNNING)
                return values->running || !either;
        return values->pending || !either;
}

static void put_id_and_user(TableRow *row, const Task *task, size_t max_set) {
        char buf[64];

        table_row_put_owned(row, format_id(task, max_set));
        table_row_put(row, cli_user_name(task->uid, buf, sizeof(buf), NULL), TONE_PLAIN);
}

static void put_state(TableRow *row, const Task *task) {
        table_row_put(row, task_state_to_string(task->state), format_state_tone(task->state));
}

static const char *shown(const TaskView *view, const char *text) {
        return view->hidden ? "(hidden)" : text;
}

static int add_row(Table *table, const TaskView *view) {
        const Task *task = view->task;
        TableRow row = { .table = table };
        char buf[UNITS_FORMAT_MAX];

        row.r = table_add_row(table);
        put_id_and_user(&row, task, FORMAT_SET_SHORT);
        put_state(&row, task);
        table_row_put(&row,
                      format_time(task, clock_realtime_us(), clock_boottime_us(), buf, sizeof(buf)),
                      TONE_PLAIN);
        table_row_put_owned(&row, format_needs(task));
        table_row_put(&row, shown(view, task->name ? task->name : task->command), TONE_PLAIN);
        return row.r;
}

static int add_verbose_row(Table *table,
                           const TaskView *view,
                           bool with_reason,
                           uint64_t now_boot_us) {
        const Task *task = view->task;
        TableRow row = { .table = table };
        char sentence[VIEW_SENTENCE_MAX];
        char status[FORMAT_STATUS_MAX];
        char buf[UNITS_FORMAT_MAX];

        row.r = table_add_row(table);
        put_id_and_user(&row, task, FORMAT_SET_LONG);
        table_row_put(&row, view->share > 0 ? format_share(view->share, buf, sizeof(buf)) : NULL,
                      TONE_PLAIN);
        (void)snprintf(buf, sizeof(buf), "%u", task->priority);
        table_row_put(&row, buf, TONE_PLAIN);
        put_state(&row, task);
        table_row_put(&row, task_state_is_final(task->state) ? format_status(task, status) : NULL,
                      TONE_PLAIN);
        table_row_put(&row,
                      format_time(task, clock_realtime_us(), clock_boottime_us(), buf, sizeof(buf)),
                      TONE_PLAIN);
        table_row_put_owned(&row, format_needs(task));
        table_row_put_owned(&row, format_used(task, false));
        table_row_put_owned(&row, format_used(task, true));
        table_row_put(&row, shown(view, task->name), TONE_PLAIN);
        table_row_put(&row, shown(view, task->command), TONE_PLAIN);
        table_row_put(&row, shown(view, task->cwd), TONE_PLAIN);
        if (with_reason)
                table_row_put(&row, view_reason(view, now_boot_us, sentence), TONE_PLAIN);
        return row.r;
}

/* Why a task waits, or ended as it did. */
typedef struct Reason {
        uint64_t id;
        char *text; /* owned */
} Reason;

/* What was printed so far. */
typedef struct Listing {
        const Values *values;
        Table *table; /* owned; NULL: ids or JSON */
        bool reasons_below;
        size_t n_reasons;
        Reason *reasons; /* owned */
        size_t n_shown;
} Listing;

static void listing_done(Listing *listing) {
        (void)table_free(listing->table);
        for (size_t i = 0; i < listing->n_reasons; i++)
                free(listing->reasons[i].text);
        free(listing->reasons);
}

static int listing_init(Listing *ret, const Values *values) {
        size_t n_verbose = ELEMENTSOF(verbose_columns);

        *ret = (Listing){ .values = values };
        if (values->json || values->quiet)
                return 0;
        if (!values->verbose)
                return table_new(&ret->table, columns, ELEMENTSOF(columns));

        ret->reasons_below = output_is_terminal();
        return table_new(&ret->table, verbose_columns,
                         ret->reasons_below ? n_verbose - 1 : n_verbose);
}

static int keep_reason(Listing *listing, const TaskView *view, uint64_t now_boot_us) {
        char sentence[VIEW_SENTENCE_MAX];
        const char *text = view_reason(view, now_boot_us, sentence);
        Reason *reasons;

        if (!text)
                return 0;

        reasons = reallocarray(listing->reasons, listing->n_reasons + 1, sizeof(*reasons));
        if (!reasons)
                return -ENOMEM;
        listing->reasons = reasons;
        reasons[listing->n_reasons].id = view->task->id;
        reasons[listing->n_reasons].text = strdup(text);
        return reasons[listing->n_reasons++].text ? 0 : -ENOMEM;
}

static void print_reasons(const Listing *listing) {
        if (listing->n_reasons > 0)
                (void)putchar('\n');
        for (size_t i = 0; i < listing->n_reasons; i++) {
                char id[TASK_REF_FORMAT_MAX + 2];
                char buf[TASK_REF_FORMAT_MAX];

                (void)snprintf(id, sizeof(id),
                               "%s: ", task_ref_format(buf, sizeof(buf), listing->reasons[i].id));
                (void)printf("%s%s%s", output_tone(TONE_STRONG), id, output_tone_end(TONE_STRONG));
                output_wrapped(listing->reasons[i].text, (unsigned)strlen(id), output_width());
        }
}

static int show_task(Listing *listing, const TaskView *view, uint64_t now_boot_us) {
        int r;

        if (!is_wanted(listing->values, view->task->state))
                return 0;

        listing->n_shown++;
        if (listing->values->json) {
                (void)fputs(listing->n_shown > 1 ? "," : "", stdout);
                return view_print_json(view, now_boot_us);
        }
        if (listing->values->quiet) {
                char buf[TASK_REF_FORMAT_MAX];

                (void)puts(task_ref_format(buf, sizeof(buf), view->task->id));
                return 0;
        }
        if (!listing->values->verbose)
                return add_row(listing->table, view);
        if (!listing->reasons_below)
                return add_verbose_row(listing->table, view, true, now_boot_us);

        r = add_verbose_row(listing->table, view, false, now_boot_us);
        return r < 0 ? r : keep_reason(listing, view, now_boot_us);
}

/* Shows all that the daemon has; an exit status. */
static int show_all(Listing *listing, Client *client) {
        const Values *values = listing->values;
        Call call = { .type = CALL_LIST, .more = true };
        bool more = true;
        Reply reply;
        int status;

        call.list.ended = values->all;
        call.list.has_uid = values->user.given;
        call.list.uid = values->user.uid;
        call.list.explain = values->json || values->verbose;

        status = session_call(client, &call, &reply);
        while (status == 0 && more) {
                int r = 0;

                for (size_t i = 0; i < reply.list.n && r == 0; i++)
                        r = show_task(listing, &reply.list.tasks[i], view_now_boot_us(&reply));
                more = reply.continues;
                reply_done(&reply);

                if (r < 0)
                        return cli_fail(CLI_STATUS_REFUSED, "out of memory");
                if (more)
                        status = session_read(client, &reply);
        }

        return status;
}

/* `-u bob`: the word after an option whose argument may be missing is an operand at first. */
static int take_operand(Values *values, int n_operands, char **operands) {
        if (n_operands == 0)
                return 0;
        if (!values->user.given || values->user.named)
                return cli_fail(CLI_STATUS_USAGE,
                                "ps: unexpected '%s'; for the tasks of a user: -u %s", operands[0],
                                operands[0]);

        values->user.named = true;
        if (names_find_user(operands[0], &values->user.uid) < 0)
                return cli_fail(CLI_STATUS_USAGE, "ps: -u: there is no user '%s'", operands[0]);
        return 0;
}

static int check_form(const Values *values) {
        if (values->quiet + values->verbose + values->json > 1)
                return cli_fail(CLI_STATUS_USAGE,
                                "ps: of --quiet, --verbose and --json only one can be had");
        return 0;
}

static int ps_run(_unused_ const Command *command, void *v, int n_operands, char **operands) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(listing_done) Listing listing = { 0 };
        Values *values = v;
        int status;

        status = check_form(values);
        if (status == 0)
                status = take_operand(values, n_operands, operands);
        if (status == 0)
                status = session_open(&client, values->all ? SESSION_ACT : SESSION_LOOK);
        if (status != 0)
                return status;
        if (listing_init(&listing, values) < 0)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");

        if (values->json)
                (void)fputs("{\"schema\":1,\"tasks\":[", stdout);
        if (client)
                status = show_all(&listing, client);
        if (values->json && status == 0)
                (void)puts("]}");
        if (listing.table && status == 0) {
                if (table_print(listing.table) < 0)
                        return cli_fail(CLI_STATUS_REFUSED, "out of memory");
                print_reasons(&listing);
        }
        return output_finish(status);
}

const Command command_ps = {
        .name = "ps",
        .operands = "",
        .summary = "show the tasks of everybody: what runs, what waits",
        .description =
                "Running tasks come first, then the waiting ones in the order in which they would "
                "start. TIME is how long a task has been running or waiting, and how long it ran "
                "if it has ended. 12_3 is element 3 of the array 12, and 12_[4-9] are those of its elements "
                "that wait.",
        .opts = opts,
        .max_operands = 1,
        .usage_status = CLI_STATUS_USAGE,
        .values_size = sizeof(Values),
        .run = ps_run,
};
