/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/run-options.h"

#include <errno.h>
#include <string.h>

#include "cli/opt-task.h"
#include "util/macro.h"
#include "util/text.h"
#include "util/units.h"

static int parse_size(const Opt *opt, const char *word, void *target, Error *error) {
        RunSize *size = target;
        int r;

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

/* A size comes after the colon; two GPUs in one word are a habit of elsewhere. */
static int parse_gpu(const Opt *opt, const char *word, void *target, Error *error) {
        RunOptions *options = target;
        Needs needs = { 0 };
        int r = 0;

        for (size_t i = 0; i < options->n_gpus && r == 0; i++)
                r = opt_parse_gpu(opt, options->gpus[i], &needs, error);
        if (r == 0)
                r = opt_parse_gpu(opt, word, &needs, error);
        needs_done(&needs);
        if (r < 0)
                return r;
        options->gpus[options->n_gpus++] = word;
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

/* clang-format off */
const Opt run_opts[] = {
        { 'm', "memory", "SIZE", "RAM it needs: 512M, 5G, 1.5T", parse_size, offsetof(RunOptions, memory), NULL },
        { 0, "gpu", "WHICH[:SIZE]", "memory on a GPU: its number, UUID or 'any'; no SIZE (or 'all') is the whole GPU; "
          "may be repeated", parse_gpu, 0, opt_gpu_words },
        { 'c', "cpus", "N", "cores it needs", parse_cpus, offsetof(RunOptions, cpus), NULL },
        { 'd', "delay", "TIME", "start no other task that needs the same for TIME, or until this one holds what it asked for",
          parse_delay, offsetof(RunOptions, delay), NULL },
        { 'p', "priority", "P", "low, medium (default), high, or 0 to 200", parse_priority,
          offsetof(RunOptions, priority), opt_priority_words },
        { 'n', "name", "NAME", "a name to show", opt_parse_string, offsetof(RunOptions, name), NULL },
        { 't', "time", "TIME", "end it after TIME: SIGTERM, 10 s later SIGKILL; status 124", parse_limit,
          offsetof(RunOptions, time), NULL },
        { 'w', "wait", "TIME", "give up, status 125, if it could not start within TIME (0: now or not at all)", parse_time,
          offsetof(RunOptions, wait), NULL },
        { 0, "pin", NULL, "show the command its GPUs alone (default: only for 'any')", parse_yes,
          offsetof(RunOptions, pin), NULL },
        { 0, "no-pin", NULL, "let the command see all GPUs", parse_no, offsetof(RunOptions, pin), NULL },
        { 'f', "from", "FILE", "read options from a task file; the command line wins", opt_parse_string,
          offsetof(RunOptions, from), NULL },
        { 's', "save", "FILE", "write the options to a task file", opt_parse_string, offsetof(RunOptions, save), NULL },
        { 0, "dry-run", NULL, "say whether it could start now, and run nothing: status 0 it could, 1 it would wait, 125 never",
          opt_parse_flag, offsetof(RunOptions, dry_run), NULL },
        { 'q', "quiet", NULL, "no messages of taskflow's own but errors", parse_yes, offsetof(RunOptions, quiet), NULL },

        /* refused by name */
        { 'D', "detach", NULL, "queue it, print its id, and return", NULL, 0, NULL },
        { 'o', "output", "FILE", "with -D: where its output goes", NULL, 0, NULL },
        { 0, "after", "ID[,ID]", "once those have succeeded", NULL, 0, NULL },
        { 0, "after-any", "ID[,ID]", "once those have ended", NULL, 0, NULL },
        { 0, "json", NULL, "with -D: print the new task", NULL, 0, NULL },
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
        if (options->n_gpus > 0)
                return;
        (void)memcpy(options->gpus, file->gpus, sizeof(options->gpus));
        options->n_gpus = file->n_gpus;
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
        return MIN(r, 0);
}

int run_options_apply(const RunOptions *options, Task *task, Error *error) {
        int r;

        task->needs.memory_bytes = options->memory.bytes;
        task->needs.cpus = options->cpus.value;
        for (size_t i = 0; i < options->n_gpus; i++) {
                r = opt_parse_gpu(NULL, options->gpus[i], &task->needs, error);
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
        return 0;
}
