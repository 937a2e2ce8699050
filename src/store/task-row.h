#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tasks and GPUs as rows
 */

#include <stdint.h>

#include <sqlite3.h>

#include "core/machine.h"
#include "core/task.h"
#include "store/db.h"
#include "store/sql.h"
#include "util/error.h"

/* The places in order that a row may have, task_ref_order(); no id is as large as TASK_ID_MAX (store/ids.h). */
#define TASK_ROW_PLACE_MIN (INT64_C(1) << 24)
#define TASK_ROW_PLACE_MAX ((int64_t)(TASK_ID_MAX << 24) - 1)

/* task_row_read(), gpu_row_read() */
enum {
        TASK_ROW_E_DAMAGED = 1, /* the row makes no sense; the sentence says why */
};

/**
 * task_row_put() - insert or replace
 *
 * Return: 0, -ERANGE, -EINVAL, -E2BIG or -EILSEQ if the task holds what could not be read back, or negative errno.
 */
int task_row_put(Db *db, const Task *task);

/* Return: 0, also if there was none, or negative errno. */
int task_row_remove(Db *db, uint64_t id);

/**
 * task_row_read() - the current row of a statement that returns tasks
 *
 * Return: 0, TASK_ROW_E_DAMAGED, or negative errno.
 */
int task_row_read(Db *db, sqlite3_stmt *statement, Task **ret, Error *error);

/* What reads a task's GPUs from tables of that Db.old_version. */
SqlId task_row_gpus_sql(unsigned old_version);

int gpu_row_put(Db *db, const GpuSample *gpu);

/* Return: 0, TASK_ROW_E_DAMAGED, or negative errno. */
int gpu_row_read(sqlite3_stmt *statement, GpuSample *ret, Error *error);
