/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow update: change what a waiting task asks for.
 *
 * Only options that were given are sent: the rest of the task stays as it is.
 */

#include <stddef.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/ids.h"
#include "cli/opt-task.h"
#include "cli/session.h"
#include "core/needs.h"
#include "core/task.h"
#include "util/macro.h"
#include "util/units.h"

typedef struct Values {
        bool set_memory, set_gpus, set_cpus, set_tokens, set_priority, set_time_limit, set_name;
        bool no_gpus;   /* --gpu none */
        bool no_tokens; /* --token none */
        Needs needs;
        unsigned priority;
        uint64_t time_limit_us;
        const char *name;
} Values;

static int parse_memory(const Opt *opt, const char *word, void *target, Error *error) {
        Values *values = target;

        values->set_memory = true;
        return opt_parse_bytes(opt, word, &values->needs.memory_bytes, error);
}

static int parse_gpu(const Opt *opt, const char *word, void *target, Error *error) {
        Values *values = target;

        values->set_gpus = true;
        if (strcmp(word, "none") != 0)
                return opt_parse_gpu(opt, word, &values->needs, error);

        values->no_gpus = true;
        return 0;
}

static int parse_cpus(const Opt *opt, const char *word, void *target, Error *error) {
        Values *values = target;

        values->set_cpus = true;
        return opt_parse_cpus(opt, word, &values->needs.cpus, error);
}

static int parse_token(const Opt *opt, const char *word, void *target, Error *error) {
        Values *values = target;

        values->set_tokens = true;
        if (strcmp(word, "none") != 0)
                return opt_parse_token(opt, word, &values->needs, error);

        values->no_tokens = true;
        return 0;
}

static int parse_priority(const Opt *opt, const char *word, void *target, Error *error) {
        Values *values = target;

        values->set_priority = true;
        return opt_parse_priority(opt, word, &values->priority, error);
}

static int parse_time(const Opt *opt, const char *word, void *target, Error *error) {
        Values *values = target;

        values->set_time_limit = true;
        return opt_parse_duration(opt, word, &values->time_limit_us, error);
}

static int parse_name(const Opt *opt, const char *word, void *target, Error *error) {
        Values *values = target;

        values->set_name = true;
        return opt_parse_string(opt, word, &values->name, error);
}

static const char *const gpu_words[] = { "any", "any:", "none", NULL };
static const char *const token_words[] = { "none", NULL };

static const Opt opts[] = {
        { 'm', "memory", "SIZE", "RAM it needs", parse_memory, 0, NULL },
        { 0, "gpu", "WHICH[:SIZE]",
          "memory on a GPU, in place of all that it asked for on GPUs; may be repeated; 'none' for no "
          "GPU",
          parse_gpu, 0, gpu_words },
        { 'c', "cpus", "N", "cores it needs", parse_cpus, 0, NULL },
        { 0, "token", "NAME[:N]",
          "tokens, in place of all that it asked for; may be repeated; 'none' for no token",
          parse_token, 0, token_words },
        { 'p', "priority", "P", "low, medium, high, or 0 to 200", parse_priority, 0,
          opt_priority_words },
        { 't', "time", "TIME", "end it after TIME; 'inf' for no limit", parse_time, 0, NULL },
        { 'n', "name", "NAME", "a name to show; '' for none", parse_name, 0, NULL },
        { 0 },
};

static int check(const Values *values) {
        if (values->no_gpus && values->needs.n_gpus > 0)
                return cli_fail(CLI_STATUS_USAGE,
                                "update: '--gpu none' and other GPUs exclude each "
                                "other");
        if (values->no_tokens && values->needs.n_tokens > 0)
                return cli_fail(CLI_STATUS_USAGE,
                                "update: '--token none' and tokens exclude each other");
        if (!values->set_memory && !values->set_gpus && !values->set_cpus && !values->set_tokens &&
            !values->set_priority && !values->set_time_limit && !values->set_name)
                return cli_fail(
                        CLI_STATUS_USAGE,
                        "update: nothing to change was given; see 'taskflow update --help'");
        return 0;
}

static int send_update(const Values *values, uint64_t id) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(reply_done) Reply reply = { 0 };
        Call call = { .type = CALL_UPDATE };
        int status;

        status = session_open(&client, SESSION_CHANGE);
        if (status != 0)
                return status;
        if (!client)
                return session_no_task(id);

        call.update.id = id;
        call.update.set_needs_memory = values->set_memory;
        call.update.set_needs_gpus = values->set_gpus;
        call.update.set_needs_cpus = values->set_cpus;
        call.update.set_needs_tokens = values->set_tokens;
        call.update.set_priority = values->set_priority;
        call.update.set_time_limit = values->set_time_limit;
        call.update.set_name = values->set_name;
        call.update.needs = values->needs; /* lent: encoding frees nothing */
        call.update.priority = values->priority;
        call.update.time_limit_us = values->time_limit_us;
        call.update.name = (char *)(uintptr_t)values->name;
        return session_change(client, &call, &reply);
}

static int update_run(const Command *command, void *v, _unused_ int n, char **operands) {
        Values *values = v;
        Error error;
        uint64_t id;
        int status;

        if (cli_parse_id(operands[0], &id, &error) < 0)
                return cli_fail(CLI_STATUS_USAGE, "%s: %s", command->name, error.text);

        status = check(values);
        if (status == 0)
                status = send_update(values, id);
        needs_done(&values->needs);
        return status;
}

const Command command_update = {
        .name = "update",
        .operands = "ID",
        .summary = "change what a waiting task asks for",
        .description = "What no option names stays as it is.",
        .opts = opts,
        .min_operands = 1,
        .max_operands = 1,
        .usage_status = CLI_STATUS_USAGE,
        .values_size = sizeof(Values),
        .run = update_run,
};
