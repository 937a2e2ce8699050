#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The options of `taskflow run`
 *
 * From two places: the command line and a task file, of which the command line wins. So each value knows the word that gave it;
 * no word: not given. The words are also what is saved, so that a file reads back to the same.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/opt.h"
#include "core/task.h"
#include "util/error.h"

typedef struct RunSize {
        const char *word; /* "auto": of what runs of the same took (cli/learned.h) */
        uint64_t bytes;
} RunSize;

typedef struct RunTime {
        const char *word;
        uint64_t us;
} RunTime;

typedef struct RunNumber {
        const char *word;
        unsigned value;
} RunNumber;

typedef struct RunFlag {
        const char *word; /* "yes", "no" */
        bool set;
} RunFlag;

/* Of an option that may be repeated. */
typedef struct RunWords {
        size_t n;
        const char *words[TASK_AFTER_MAX];
} RunWords;

/* Words are borrowed: from argv, or from who read the file. */
typedef struct RunOptions {
        RunSize memory;
        RunNumber cpus;
        RunTime delay;
        RunNumber priority;
        const char *name;
        RunTime time;
        RunTime wait;
        RunFlag pin;
        RunFlag quiet;
        RunFlag detach;
        const char *output;
        RunFlag requeue;
        RunNumber retry;
        const char *array; /* SET[%N] */
        RunFlag json;
        RunWords after;     /* ID[,ID] */
        RunWords after_any; /* ID[,ID] */
        size_t n_gpus;
        const char *gpus[NEEDS_GPUS_MAX]; /* WHICH[:SIZE], WHICH:auto */
        size_t n_tokens;
        const char *tokens[NEEDS_TOKENS_MAX]; /* NAME[:N] */

        /* of the command line alone */
        const char *from;
        const char *save;
        bool dry_run;
} RunOptions;

extern const Opt run_opts[];
extern const Opt submit_opts[]; /* those that say what a task is; also into a RunOptions */

/* What the file says and the command line does not. */
void run_options_merge(RunOptions *options, const RunOptions *file);

/**
 * run_options_walk() - each value that was given, in the order of the table
 * @fn:         gets the long option's name and the word; what is negative ends the walk
 *
 * Return: 0, or what @fn returned.
 */
int run_options_walk(const RunOptions *options,
                     int (*fn)(void *userdata, const char *name, const char *word),
                     void *userdata);

/**
 * run_options_check() - whether those that were given go together
 *
 * Return: 0, or -EINVAL with @error.
 */
int run_options_check(const RunOptions *options, Error *error);

/* The half of a task that options say, but for its output. @task: as task_new() made it. Return: 0, or negative errno with @error. */
int run_options_apply(const RunOptions *options, Task *task, Error *error);
