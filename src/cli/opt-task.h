#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Options that say what a task needs
 *
 * The kinds that `run`, `submit` and `update` share; most are functions of type opt_fn (cli/opt.h).
 */

#include "cli/opt.h"
#include "core/task.h"

/* WHICH[:SIZE] is added to a Needs; the same id twice is refused. */
int opt_parse_gpu(const Opt *opt, const char *word, void *target, Error *error);

/* NAME[:N] is added to a Needs; the same name twice is refused. */
int opt_parse_token(const Opt *opt, const char *word, void *target, Error *error);

/* unsigned: cores, 0 for none */
int opt_parse_cpus(const Opt *opt, const char *word, void *target, Error *error);

/* unsigned: low, medium, high, or 0 to TASK_PRIORITY_MAX */
int opt_parse_priority(const Opt *opt, const char *word, void *target, Error *error);

/* The tasks that one waits for. */
typedef struct AfterList {
        unsigned n;
        TaskAfter items[TASK_AFTER_MAX];
} AfterList;

/**
 * opt_add_after() - what --after and --after-any say, added to a list
 * @word:       ID[,ID]; no elements, because an array is waited for as a whole
 * @any:        --after-any
 * @list:       each id stands in it once: one that was named for both has to end well; unchanged unless 0 is returned
 *
 * Return: 0, or negative errno with @error.
 */
int opt_add_after(const char *word, bool any, AfterList *list, Error *error);

/**
 * opt_make_array() - what --array says
 * @word:       SET[%N]: "0-9", "1-3,7%2"
 * @ret:        to be freed with task_array_free(); all of it waits
 *
 * Return: 0, or negative errno with @error.
 */
int opt_make_array(const char *word, TaskArray **ret, Error *error);

/* Words for completion, ended by NULL. */
extern const char *const opt_priority_words[];
extern const char *const opt_gpu_words[];
