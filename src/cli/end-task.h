#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Ending a task whose runner does not (decisions.md 22)
 *
 * From the daemon come a pid, a start time and a boot id; a process is touched only if all three
 * are those of a living one. Signals go through pidfds, so that they cannot hit who comes after it.
 */

#include <stdbool.h>

#include "util/error.h"
#include "wire/message.h"

/* Whether the very command of the task is still there; a zombie is not. */
bool end_task_is_alive(const IdResult *task);

/**
 * end_task_wake_runner() - continue its runner, if that is stopped; of a detached one agent and keeper
 *
 * Return: true if it was stopped and has been continued.
 */
bool end_task_wake_runner(const IdResult *task);

/* Whether the process that should end it is still its parent. */
bool end_task_has_runner(const IdResult *task);

/* Whether the process that was told to end it is no more: of a detached one its agent. */
bool end_task_runner_is_gone(const IdResult *task);

/**
 * end_task_signal() - to the command and all its descendants, stopped ones are woken
 * @error:      names the process that could not be signalled, and why
 *
 * Return: 0, also if none is left; or negative errno.
 */
int end_task_signal(const IdResult *task, int signal, Error *error);
