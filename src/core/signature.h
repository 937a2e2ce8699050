#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Signatures: which tasks of a user are runs of the same thing
 *
 * Program and script, without what is said to them: "python -u train.py --lr 3" and "python train.py" are the same. The script is
 * the first word that looks like one by its ending, else the first that is no option. Files that are named relative to the
 * task's folder are told apart by it. A line for a shell that is more than a command with words is itself.
 */

#include <stddef.h>
#include <stdint.h>

#include "core/task.h"

enum {
        SIGNATURE_LABEL_MAX = 128,
};

/**
 * signature_of() - of what a task executes
 * @task:       command, argv and cwd count
 * @label:      "python train.py", cut; NULL: not wanted
 *
 * Return: a number of 63 bits, never 0, that is the same for what is the same; two others may be alike by chance.
 */
uint64_t signature_of(const Task *task, char label[SIGNATURE_LABEL_MAX]);
