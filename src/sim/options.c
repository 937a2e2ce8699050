/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/trace-read.h"
#include "util/cleanup.h"
#include "util/units.h"

enum {
        USERS_DEFAULT = 10,
        USERS_MAX = 100000,
        ESTIMATE_DEFAULT_PERMILLE = 5000, /* what is usual in studies of backfilling */
        FACTOR_MAX_PERMILLE = 1000 * 1000,
        RAMP_DEFAULT_US = 60 * 1000000,
};

/* "1.5" */
static int parse_factor(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        uint64_t permille;

        if (!trace_seconds(word, &permille) || permille / 1000 == 0 ||
            permille / 1000 > FACTOR_MAX_PERMILLE)
                return error_set(error, -EINVAL,
                                 "'%s' is no factor: a number above 0 and up to 1000, such as 0.9",
                                 word);
        *(uint64_t *)target = permille / 1000;
        return 0;
}

/* "50", "50%" */
static int parse_percent(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        size_t n = strlen(word);
        char digits[8];
        uint64_t value;

        if (n > 0 && word[n - 1] == '%')
                n--;
        if (n >= sizeof(digits))
                n = 0;
        memcpy(digits, word, n);
        digits[n] = '\0';
        if (!trace_uint(digits, 100, &value))
                return error_set(error, -EINVAL, "'%s' is no percentage: 0 to 100", word);
        *(unsigned *)target = (unsigned)value;
        return 0;
}

static int parse_cpus(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        uint64_t n;
        int r = units_parse_uint(word, 1, TRACE_CPUS_MAX, &n, error);

        if (r == 0)
                *(unsigned *)target = (unsigned)n;
        return r;
}

static int parse_users(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        uint64_t n;
        int r = units_parse_uint(word, 1, USERS_MAX, &n, error);

        if (r == 0)
                *(unsigned *)target = (unsigned)n;
        return r;
}

static int parse_seed(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        return units_parse_uint(word, 0, UINT32_MAX, target, error);
}

static int parse_seeds(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        return units_parse_uint(word, 1, OPTIONS_SEEDS_MAX, target, error);
}

static int parse_memory(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        Options *options = target;
        uint64_t bytes;
        int r = units_parse_bytes(word, &bytes, error);

        if (r < 0)
                return r;
        if (bytes == 0 || bytes > TRACE_SIZE_MAX)
                return error_set(error, -EINVAL, "'%s' is no machine's memory", word);
        options->workload.machine.memory_bytes = bytes;
        options->has_memory = true;
        return 0;
}

/* "4x24G" or "24G" */
static int add_gpus(SimMachine *machine, const char *word, Error *error) {
        const char *times = strchr(word, 'x');
        uint64_t n = 1, bytes = 0;
        char number[8];

        if (times) {
                size_t n_number = (size_t)(times - word);

                if (n_number >= sizeof(number))
                        n_number = 0;
                memcpy(number, word, n_number);
                number[n_number] = '\0';
                if (!trace_uint(number, GPU_MAX, &n) || n == 0)
                        return error_set(error, -EINVAL, "'%s': not 1 to %d GPUs", word, GPU_MAX);
        }
        if (units_parse_bytes(times ? times + 1 : word, &bytes, NULL) < 0 || bytes < 100 ||
            bytes > TRACE_SIZE_MAX)
                return error_set(error, -EINVAL, "'%s' is no number and size, such as 4x24G", word);
        if (machine->n_gpus + n > GPU_MAX)
                return error_set(error, -EINVAL, "there are more than %d GPUs", GPU_MAX);
        while (n-- > 0)
                machine->gpu_bytes[machine->n_gpus++] = bytes;
        return 0;
}

static int parse_gpus(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        SimMachine machine = *(SimMachine *)target;
        _cleanup_free_ char *copy = strdup(word);
        char *rest = copy, *part;
        int r = copy ? 0 : error_set(error, -ENOMEM, "out of memory");

        while (r == 0 && (part = strsep(&rest, ",")))
                r = add_gpus(&machine, part, error);
        if (r == 0)
                *(SimMachine *)target = machine;
        return r;
}

static int parse_config(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        Options *options = target;

        if (options->n_configs == OPTIONS_CONFIGS_MAX)
                return error_set(error, -EINVAL, "more than %d of them", OPTIONS_CONFIGS_MAX);
        options->configs[options->n_configs++] = word;
        return 0;
}

static int add_scheduler(Options *options, const char *name, Error *error) {
        bool all = strcmp(name, "all") == 0, found = false;

        for (size_t i = 0; schedulers[i]; i++) {
                if (!all && strcmp(schedulers[i]->name, name) != 0)
                        continue;
                if (options->n_schedulers == OPTIONS_SCHEDULERS_MAX)
                        return error_set(error, -EINVAL, "more than %d of them",
                                         OPTIONS_SCHEDULERS_MAX);
                options->schedulers[options->n_schedulers++] = schedulers[i];
                found = true;
        }
        return found ? 0 :
                       error_set(error, -EINVAL,
                                 "'%s' is none of taskflow, fcfs, first-fit, easy, sjf and all",
                                 name);
}

static int parse_schedulers(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        _cleanup_free_ char *copy = strdup(word);
        char *rest = copy, *name;
        int r = copy ? 0 : error_set(error, -ENOMEM, "out of memory");

        while (r == 0 && (name = strsep(&rest, ",")))
                r = add_scheduler(target, name, error);
        return r;
}

/* NAME:N */
static int parse_token(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        SimMachine *machine = target;
        Token token;
        int r;

        r = token_parse(word, &token, error);
        if (r < 0)
                return r;
        if (token_find(machine->tokens, machine->n_tokens, token.name) >= 0)
                return error_set(error, -EINVAL, "token '%s' is named twice", token.name);
        if (machine->n_tokens == TOKENS_MAX)
                return error_set(error, -EINVAL, "more than %d names of tokens", TOKENS_MAX);
        machine->tokens[machine->n_tokens++] = token;
        return 0;
}

static int parse_format(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        int format = trace_format_from_string(word);

        if (format < 0)
                return error_set(error, -EINVAL, "'%s' is none of history, openb, tiresias and swf",
                                 word);
        *(int *)target = format;
        return 0;
}

static const char *const scheduler_words[] = { "taskflow", "fcfs", "first-fit", "easy",
                                               "sjf",      "all",  NULL };
static const char *const format_words[] = { "history", "openb", "tiresias", "swf", NULL };
static const char *const shell_words[] = { "bash", "zsh", "fish", NULL };

#define AT(member) offsetof(Options, member)

/* clang-format off */
const Opt options_opts[] = {
        { 'm', "memory", "SIZE", "RAM of the machine; else what this one has", parse_memory, 0, NULL },
        { 'c', "cpus", "N", "cores of the machine; else they are not reckoned with", parse_cpus, AT(workload.machine.n_cpus), NULL },
        { 'g', "gpus", "LIST", "GPUs of the machine: 4x24G, or 2x24G,1x80G", parse_gpus, AT(workload.machine), NULL },
        { 0, "token", "NAME[:N]", "N (1) tokens of that name; may be repeated; else what the settings have", parse_token, AT(workload.machine), NULL },
        { 0, "config", "FILE", "settings of taskflowd to try; may be repeated, to compare them", parse_config, 0, NULL },
        { 's', "scheduler", "LIST", "what to compare, with commas between: taskflow (if nothing is said), fcfs, first-fit, easy, sjf, or all", parse_schedulers, 0, scheduler_words },
        { 0, "format", "FORMAT", "of the trace: history, openb, tiresias or swf; else by its first line", parse_format, AT(format), format_words },
        { 0, "from", "TIME", "leave out what came before, by the times of the trace", opt_parse_duration, AT(from_us), NULL },
        { 0, "to", "TIME", "and what came then or later", opt_parse_duration, AT(to_us), NULL },
        { 0, "longest", "TIME", "and what took longer", opt_parse_duration, AT(longest_us), NULL },
        { 0, "gpu-tasks", NULL, "and what asked for no GPU", opt_parse_flag, AT(gpus_only), NULL },
        { 'l', "load", "FACTOR", "let tasks come so fast that there is that much to do: 0.9", parse_factor, AT(workload.load_permille), NULL },
        { 0, "jitter", "TIME", "let each come later by up to that, by chance", opt_parse_duration, AT(workload.jitter_us), NULL },
        { 0, "error", "PERCENT", "requests are off by up to that from what is taken", parse_percent, AT(workload.error_pct), NULL },
        { 0, "estimates", "FACTOR", "users say that a task takes up to so many times as long as it does (5)", parse_factor, AT(workload.estimate_permille), NULL },
        { 0, "with-time", "PERCENT", "of the tasks are run with that as their time limit (0)", parse_percent, AT(workload.with_time_pct), NULL },
        { 0, "outside", "PERCENT", "of the machine is taken by people beside taskflow, on the average (0)", parse_percent, AT(workload.outside_pct), NULL },
        { 0, "ramp", "TIME", "a task has taken its memory after that at the latest (1m)", opt_parse_duration, AT(workload.ramp_us), NULL },
        { 0, "users", "N", "of a trace that does not tell them (10)", parse_users, AT(workload.n_users), NULL },
        { 0, "seed", "N", "what chance begins with (1)", parse_seed, AT(seed), NULL },
        { 'n', "seeds", "N", "run it so many times, with one seed after another (1)", parse_seeds, AT(n_seeds), NULL },
        { 0, "csv", NULL, "print CSV: a line for each run", opt_parse_flag, AT(csv), NULL },
        { 0, "gantt", "FILE", "write a Gantt chart of the one run there is: a script for gnuplot", opt_parse_string, AT(gantt), NULL },
        { 0, "completion", "SHELL", "print the completion script of a shell: bash, zsh or fish", opt_parse_string, AT(completion), shell_words },
        { 'V', "version", NULL, "print the version", opt_parse_flag, AT(version), NULL },
        { 0 },
};
/* clang-format on */

void options_init(Options *options) {
        *options = (Options){
                .workload = {
                        .estimate_permille = ESTIMATE_DEFAULT_PERMILLE,
                        .n_users = USERS_DEFAULT,
                        .ramp_us = RAMP_DEFAULT_US,
                },
                .format = -1,
                .to_us = UNITS_INF,
                .longest_us = UNITS_INF,
                .seed = 1,
                .n_seeds = 1,
        };
}

static void use_own_memory(SimMachine *machine) {
        long n_pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

        if (n_pages > 0 && page > 0)
                machine->memory_bytes = MIN((uint64_t)n_pages * (uint64_t)page, TRACE_SIZE_MAX);
}

int options_finish(Options *options, Error *error) {
        WorkloadOptions *workload = &options->workload;
        unsigned n_rows;

        if (!options->has_memory)
                use_own_memory(&workload->machine);
        if (workload->machine.memory_bytes == 0)
                return error_set(error, -EINVAL, "the memory of the machine is missing: --memory");
        if (workload->estimate_permille < 1000)
                return error_set(error, -EINVAL,
                                 "--estimates: nothing takes longer than its user says: 1 or more");
        if (workload->jitter_us > TRACE_DURATION_MAX || workload->ramp_us > TRACE_DURATION_MAX)
                return error_set(error, -EINVAL, "--jitter and --ramp are at most ten years");
        if (options->n_schedulers == 0)
                options->schedulers[options->n_schedulers++] = &scheduler_core;

        n_rows = options->n_schedulers + (options->n_configs > 1 ? options->n_configs - 1 : 0);
        if (options->gantt && (n_rows > 1 || options->n_seeds > 1))
                return error_set(error, -EINVAL,
                                 "--gantt shows one run: of one scheduler, and one seed");
        return 0;
}
