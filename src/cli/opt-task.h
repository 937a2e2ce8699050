#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Options that say what a task needs
 *
 * The kinds that `run` and `update` share; functions of type opt_fn (cli/opt.h).
 */

#include "cli/opt.h"

/* WHICH[:SIZE] is added to a Needs; the same id twice is refused. */
int opt_parse_gpu(const Opt *opt, const char *word, void *target, Error *error);

/* unsigned: cores, 0 for none */
int opt_parse_cpus(const Opt *opt, const char *word, void *target, Error *error);

/* unsigned: low, medium, high, or 0 to TASK_PRIORITY_MAX */
int opt_parse_priority(const Opt *opt, const char *word, void *target, Error *error);

/* Words for completion, ended by NULL. */
extern const char *const opt_priority_words[];
extern const char *const opt_gpu_words[];
