/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/run-options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/learned.h"
#include "cli/opt-task.h"
#include "core/gpu-word.h"
#include "core/output.h"
#include "util/macro.h"
#include "util/text.h"
#include "util/units.h"

static int parse_size(const Opt *opt, const char *word, void *target, Error *error) {
        RunSize *size = target;
        int r;

        if (learned_is_auto(word)) {
                *size = (RunSize){ .word = word };
                return 0;
        }
        r = opt_parse_bytes(opt, word, &size->bytes, error);
        if (r < 0)
                return r;
        size->word = word;
        return 0;
}

static int parse_time(const Opt *opt, const char *word, void *target, Error *error) {
        RunTime *time = target;
        int r;

        r = opt_parse_duration(opt, word, &time->us, error);
        if (r < 0)
                return r;
        time->word = word;
        return 0;
}

/* Users of other queues know -d as "detach"; what follows it is then their command. */
static int parse_delay(const Opt *opt, const char *word, void *target, Error *error) {
        int r;

        r = parse_time(opt, word, target, error);
        if (r == -EINVAL)
                return error_set(error, r, "'%s' is no TIME; did you mean -D (detach)?", word);
        return r;
}

/* 0 is "no limit" for timeout(1) and for Slurm. */
static int parse_limit(const Opt *opt, const char *word, void *target, Error *error) {
        RunTime *time = target;
        int r;

        r = parse_time(opt, word, target, error);
        if (r == 0 && time->us == 0)
                time->us = TASK_TIME_INF;
        return r;
}

static int parse_cpus(const Opt *opt, const char *word, void *target, Error *error) {
        RunNumber *number = target;
        int r;

        r = opt_parse_cpus(opt, word, &number->value, error);
        if (r < 0)
                return r;
        number->word = word;
        return 0;
}

static int parse_priority(const Opt *opt, const char *word, void *target, Error *error) {
        RunNumber *number = target;
        int r;

        r = opt_parse_priority(opt, word, &number->value, error);
        if (r < 0)
                return r;
        number->word = word;
        return 0;
}

/* Of WHICH:auto the size is still to be found out. */
static int add_gpu(const Opt *opt, const char *word, Needs *needs, Error *error) {
        char which[GPU_WANT_MAX + sizeof(":1")];
        size_t n = gpu_word_length(word);

        if (word[n] != ':' || !learned_is_auto(word + n + 1) || n >= GPU_WANT_MAX)
                return opt_parse_gpu(opt, word, needs, error);
        (void)snprintf(which, sizeof(which), "%.*s:1", (int)n, word);
        return opt_parse_gpu(opt, which, needs, error);
}

/* A size comes after the colon; two GPUs in one word are a habit of elsewhere. */
static int parse_gpu(const Opt *opt, const char *word, void *target, Error *error) {
        RunOptions *options = target;
        Needs needs = { 0 };
        int r = 0;

        for (size_t i = 0; i < options->n_gpus && r == 0; i++)
                r = add_gpu(opt, options->gpus[i], &needs, error);
        if (r == 0)
                r = add_gpu(opt, word, &needs, error);
        needs_done(&needs);
        if (r < 0)
                return r;
        options->gpus[options->n_gpus++] = word;
        return 0;
}

static int parse_token(const Opt *opt, const char *word, void *target, Error *error) {
        RunOptions *options = target;
        Needs needs = {};
        int r = 0;

        for (size_t i = 0; i < options->n_tokens && r == 0; i++)
                r = opt_parse_token(opt, options->tokens[i], &needs, error);
        if (r == 0)
                r = opt_parse_token(opt, word, &needs, error);
        needs_done(&needs);
        if (r < 0)
                return r;
        options->tokens[options->n_tokens++] = word;
        return 0;
}

static int parse_yes(_unused_ const Opt *opt,
                     _unused_ const char *word,
                     void *target,
                     _unused_ Error *error) {
        *(RunFlag *)target = (RunFlag){ .word = "yes", .set = true };
        return 0;
}

static int parse_no(_unused_ const Opt *opt,
                    _unused_ const char *word,
                    void *target,
                    _unused_ Error *error) {
        *(RunFlag *)target = (RunFlag){ .word = "no", .set = false };
        return 0;
}

static int parse_output(const Opt *opt, const char *word, void *target, Error *error) {
        if (!word[0])
                return error_set(error, -EINVAL, "'' names no file");
        if (output_check(word, error) < 0)
                return -EINVAL;
        return opt_parse_string(opt, word, target, error);
}

static int parse_retry(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        RunNumber *number = target;
        uint64_t n;
        int r;

        r = units_parse_uint(word, 0, TASK_RETRIES_MAX, &n, error);
        if (r < 0)
                return r;
        *number = (RunNumber){ .word = word, .value = (unsigned)n };
        return 0;
}

static int parse_array(const Opt *opt, const char *word, void *target, Error *error) {
        TaskArray *array = NULL;
        int r;

        r = opt_make_array(word, &array, error);
        if (r < 0)
                return r;
        (void)task_array_free(array);
        return opt_parse_string(opt, word, target, error);
}

/* All ids that were named, of both kinds. */
static int list_after(const RunOptions *options, AfterList *list, Error *error) {
        int r = 0;

        for (size_t i = 0; i < options->after.n && r == 0; i++)
                r = opt_add_after(options->after.words[i], false, list, error);
        for (size_t i = 0; i < options->after_any.n && r == 0; i++)
                r = opt_add_after(options->after_any.words[i], true, list, error);
        return r;
}

static int parse_after_of(RunOptions *options, bool any, const char *word, Error *error) {
        RunWords *words = any ? &options->after_any : &options->after;
        AfterList list = { 0 };
        int r;

        r = list_after(options, &list, error);
        if (r == 0)
                r = opt_add_after(word, any, &list, error);
        if (r == 0 && words->n == ELEMENTSOF(words->words))
                r = error_set(error, -E2BIG, "given more than %d times", TASK_AFTER_MAX);
        if (r < 0)
                return r;
        words->words[words->n++] = word;
        return 0;
}

static int parse_after(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        return parse_after_of(target, false, word, error);
}

static int parse_after_any(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        return parse_after_of(target, true, word, error);
}

/* clang-format off */
#define TASK_OPTS \
        { 'm', "memory", "SIZE", "RAM it needs: 512M, 5G, 1.5T; or auto: what runs of the same took", parse_size, offsetof(RunOptions, memory), NULL }, \
        { 0, "gpu", "WHICH[:SIZE]", "memory on a GPU: its number, UUID or 'any'; no SIZE (or 'all') is the whole GPU, " \
          "SIZE 'auto' what runs of the same took; may be repeated", parse_gpu, 0, opt_gpu_words }, \
        { 'c', "cpus", "N", "cores it needs", parse_cpus, offsetof(RunOptions, cpus), NULL }, \
        { 0, "token", "NAME[:N]", "N (1) of what the settings count under that name, as the seats of a licence; may be repeated", \
          parse_token, 0, NULL }, \
        { 'd', "delay", "TIME", "start no other task that needs the same for TIME, or until this one holds what it asked for", \
          parse_delay, offsetof(RunOptions, delay), NULL }, \
        { 'p', "priority", "P", "low, medium (default), high, or 0 to 200", parse_priority, \
          offsetof(RunOptions, priority), opt_priority_words }, \
        { 'n', "name", "NAME", "a name to show", opt_parse_string, offsetof(RunOptions, name), NULL }, \
        { 't', "time", "TIME", "end it after TIME: SIGTERM, 10 s later SIGKILL; status 124", parse_limit, \
          offsetof(RunOptions, time), NULL }, \
        { 0, "after", "ID[,ID]", "once those have succeeded; may be repeated", parse_after, 0, NULL }, \
        { 0, "after-any", "ID[,ID]", "once those have ended, in whatever way; may be repeated", parse_after_any, 0, NULL }, \
        { 0, "pin", NULL, "show the command its GPUs alone (default: only for 'any')", parse_yes, \
          offsetof(RunOptions, pin), NULL }, \
        { 0, "no-pin", NULL, "let the command see all GPUs", parse_no, offsetof(RunOptions, pin), NULL }

/* @_d: what stands in front where it needs -D */
#define DETACHED_OPTS(_d) \
        { 'o', "output", "FILE", _d "where its output goes, in place of a log of its own; {id}, {index} and {name} " \
          "are filled in", parse_output, offsetof(RunOptions, output), NULL }, \
        { 0, "array", "SET[%N]", _d "one task with an element for each number: 0-9, 1-3,7; at most N run at once", \
          parse_array, offsetof(RunOptions, array), NULL }, \
        { 0, "retry", "N", _d "run it again, up to N times, if it fails or runs out of time", parse_retry, \
          offsetof(RunOptions, retry), NULL }, \
        { 0, "requeue", NULL, _d "run it again if the machine goes down while it runs", parse_yes, \
          offsetof(RunOptions, requeue), NULL }

#define FROM_OPT \
        { 'f', "from", "FILE", "read options from a task file; the command line wins", opt_parse_string, \
          offsetof(RunOptions, from), NULL }
#define QUIET_OPT \
        { 'q', "quiet", NULL, "no messages of taskflow's own but errors", parse_yes, offsetof(RunOptions, quiet), NULL }

const Opt run_opts[] = {
        TASK_OPTS,
        { 'w', "wait", "TIME", "give up, status 125 (with -D: it is cancelled), if it could not start within TIME (0: now or "
          "not at all)", parse_time, offsetof(RunOptions, wait), NULL },
        { 'D', "detach", NULL, "queue it, print its id, and return; it outlives terminal and logout", parse_yes,
          offsetof(RunOptions, detach), NULL },
        DETACHED_OPTS("with -D: "),
        { 0, "json", NULL, "with -D: print the new task as JSON, in place of its id", parse_yes, offsetof(RunOptions, json),
          NULL },
        FROM_OPT,
        { 's', "save", "FILE", "write the options to a task file", opt_parse_string, offsetof(RunOptions, save), NULL },
        { 0, "dry-run", NULL, "say whether it could start now, and run nothing: status 0 it could, 1 it would wait, 125 never",
          opt_parse_flag, offsetof(RunOptions, dry_run), NULL },
        QUIET_OPT,
        {},
};

const Opt submit_opts[] = {
        TASK_OPTS,
        { 'w', "wait", "TIME", "cancel those that could not start within TIME (0: now or not at all)", parse_time,
          offsetof(RunOptions, wait), NULL },
        DETACHED_OPTS(""),
        FROM_OPT,
        QUIET_OPT,
        {},
};

/* What may stand in a file, once each; all begin with their word. */
static const struct {
        const char *name;
        size_t offset;
        size_t n;
} values[] = {
        { "memory", offsetof(RunOptions, memory), sizeof(RunSize) },
        { "cpus", offsetof(RunOptions, cpus), sizeof(RunNumber) },
        { "delay", offsetof(RunOptions, delay), sizeof(RunTime) },
        { "priority", offsetof(RunOptions, priority), sizeof(RunNumber) },
        { "name", offsetof(RunOptions, name), sizeof(const char *) },
        { "time", offsetof(RunOptions, time), sizeof(RunTime) },
        { "wait", offsetof(RunOptions, wait), sizeof(RunTime) },
        { "pin", offsetof(RunOptions, pin), sizeof(RunFlag) },
        { "quiet", offsetof(RunOptions, quiet), sizeof(RunFlag) },
        { "detach", offsetof(RunOptions, detach), sizeof(RunFlag) },
        { "output", offsetof(RunOptions, output), sizeof(const char *) },
        { "array", offsetof(RunOptions, array), sizeof(const char *) },
        { "retry", offsetof(RunOptions, retry), sizeof(RunNumber) },
        { "requeue", offsetof(RunOptions, requeue), sizeof(RunFlag) },
        { "json", offsetof(RunOptions, json), sizeof(RunFlag) },
};
/* clang-format on */

static const char *word_at(const RunOptions *options, size_t i) {
        const char *word;

        (void)memcpy(&word, (const char *)options + values[i].offset, sizeof(word));
        return word;
}

void run_options_merge(RunOptions *options, const RunOptions *file) {
        for (size_t i = 0; i < ELEMENTSOF(values); i++)
                if (!word_at(options, i))
                        (void)memcpy((char *)options + values[i].offset,
                                     (const char *)file + values[i].offset, values[i].n);
        if (options->after.n == 0)
                options->after = file->after;
        if (options->after_any.n == 0)
                options->after_any = file->after_any;
        if (options->n_gpus == 0) {
                (void)memcpy(options->gpus, file->gpus, sizeof(options->gpus));
                options->n_gpus = file->n_gpus;
        }
        if (options->n_tokens == 0) {
                (void)memcpy(options->tokens, file->tokens, sizeof(options->tokens));
                options->n_tokens = file->n_tokens;
        }
}

int run_options_walk(const RunOptions *options,
                     int (*fn)(void *userdata, const char *name, const char *word),
                     void *userdata) {
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(values) && r >= 0; i++)
                if (word_at(options, i))
                        r = fn(userdata, values[i].name, word_at(options, i));
        for (size_t i = 0; i < options->n_gpus && r >= 0; i++)
                r = fn(userdata, "gpu", options->gpus[i]);
        for (size_t i = 0; i < options->n_tokens && r >= 0; i++)
                r = fn(userdata, "token", options->tokens[i]);
        for (size_t i = 0; i < options->after.n && r >= 0; i++)
                r = fn(userdata, "after", options->after.words[i]);
        for (size_t i = 0; i < options->after_any.n && r >= 0; i++)
                r = fn(userdata, "after-any", options->after_any.words[i]);
        return MIN(r, 0);
}

static int check_foreground(const RunOptions *options, Error *error) {
        if (options->output)
                return error_set(error, -EINVAL,
                                 "-o needs -D: a command that runs here writes to this terminal");
        if (options->array)
                return error_set(error, -EINVAL,
                                 "--array needs -D: its elements run at the same time");
        if (options->retry.value > 0)
                return error_set(error, -EINVAL,
                                 "--retry needs -D: a command that runs here is run once");
        if (options->requeue.set)
                return error_set(
                        error, -EINVAL,
                        "--requeue needs -D: a command that runs here ends with the machine");
        if (options->json.set)
                return error_set(error, -EINVAL,
                                 "--json needs -D: stdout is that of a command that runs here");
        return 0;
}

int run_options_check(const RunOptions *options, Error *error) {
        bool many = options->array || options->retry.value > 0;

        if (!options->detach.set)
                return check_foreground(options, error);
        if (many && options->output && !output_has_place(options->output))
                return error_set(
                        error, -EINVAL,
                        "%s would write to the one file '%s'; name {id}, {index} or {name} "
                        "in it",
                        options->array ? "all elements" : "all tries", options->output);
        return 0;
}

static int apply_after(const RunOptions *options, Task *task, Error *error) {
        AfterList list = { 0 };
        int r;

        r = list_after(options, &list, error);
        if (r < 0 || list.n == 0)
                return r;
        task->after = calloc(list.n, sizeof(*task->after));
        if (!task->after)
                return error_set(error, -ENOMEM, "out of memory");
        (void)memcpy(task->after, list.items, list.n * sizeof(*task->after));
        task->n_after = list.n;
        return 0;
}

static int apply_detached(const RunOptions *options, Task *task, Error *error) {
        if (!options->detach.set)
                return 0;
        task->detached = true;
        task->requeue = options->requeue.set;
        task->retry_max = options->retry.value;
        return options->array ? opt_make_array(options->array, &task->array, error) : 0;
}

int run_options_apply(const RunOptions *options, Task *task, Error *error) {
        int r;

        task->needs.memory_bytes = options->memory.bytes;
        task->needs.cpus = options->cpus.value;
        for (size_t i = 0; i < options->n_gpus; i++) {
                r = add_gpu(NULL, options->gpus[i], &task->needs, error);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < options->n_tokens; i++) {
                r = opt_parse_token(NULL, options->tokens[i], &task->needs, error);
                if (r < 0)
                        return r;
        }
        if (options->delay.word) {
                task->delay_given = true;
                task->delay_us = options->delay.us;
        }
        if (options->priority.word)
                task->priority = options->priority.value;
        if (options->time.word)
                task->time_limit_us = options->time.us;
        if (options->pin.word)
                task->pin = options->pin.set ? PIN_MODE_ON : PIN_MODE_OFF;
        if (options->name) {
                task->name = text_repair_utf8(options->name, strlen(options->name), TASK_TEXT_MAX);
                if (!task->name)
                        return error_set(error, -ENOMEM, "out of memory");
        }
        r = apply_after(options, task, error);
        return r < 0 ? r : apply_detached(options, task, error);
}
