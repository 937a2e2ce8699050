#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * SQL
 *
 * Every statement that is ever run on the database of tasks, by name. Nothing else in the program contains SQL, but for
 * spool-sql.c. An id in a statement is the place in order, task_ref_order().
 */

#include <stdint.h>

typedef enum SqlId {
        SQL_BEGIN, /* first, as every kind of database has it (store/database.h) */
        SQL_COMMIT,
        SQL_ROLLBACK,
        SQL_META_GET,         /* -> database_id, ids_end, recovered_from, boot_id */
        SQL_META_PUT_IDS_END, /* ids_end */
        SQL_META_PUT_DATABASE_ID,
        SQL_META_PUT_RECOVERED_FROM,
        SQL_META_PUT_BOOT_ID,
        SQL_TASK_PUT_ACTIVE,   /* the columns of a task, and when it was over: NULL */
        SQL_TASK_PUT_ENDED,    /* likewise */
        SQL_TASK_REMOVE,       /* id */
        SQL_TASK_AFTER_PUT,    /* id, n, id of the other, any */
        SQL_TASK_AFTERS,       /* id -> n, id of the other, any; in order */
        SQL_TASK_AFTER_REMOVE, /* id */
        SQL_TASK_ARRAY_PUT,    /* the columns of an array, id */
        SQL_TASK_ARRAY_GET,    /* id -> the columns of an array */
        SQL_TASK_ARRAY_REMOVE, /* id */
        SQL_TASK_GPU_PUT,      /* the columns of a GPU, id, n */
        SQL_TASK_GPU_TRIM,     /* id, n: forget GPUs from the n-th on */
        SQL_TASK_GPUS,         /* id -> the columns of a GPU, in order */
        SQL_TASK_GET,          /* id -> the columns of a task; so all down to TASKS_DOWN_7 */
        SQL_TASK_GET_KEY,      /* uid, key */
        SQL_TASKS_ACTIVE,
        SQL_TASKS_ENDED,     /* before id, at most */
        SQL_TASKS_ENDED_UID, /* before id, at most, uid */
        SQL_TASKS_RUNS,      /* uid, signature, at most */
        SQL_TASKS_UP,        /* first id, last id */
        SQL_TASKS_DOWN,      /* likewise, and those of older versions below */
        SQL_TASKS_UP_1,
        SQL_TASKS_DOWN_1,
        SQL_TASKS_UP_2,
        SQL_TASKS_DOWN_2,
        SQL_TASKS_UP_7,
        SQL_TASKS_DOWN_7,
        SQL_TASK_GPUS_1,
        SQL_TASK_GPUS_5,
        SQL_TASK_MAX_ID,     /* -> id or NULL */
        SQL_TASK_LAST_END,   /* -> when the last one was over, or NULL */
        SQL_PURGE_ANY,       /* before time -> a row if there is something to purge */
        SQL_PURGE_TASK_GPUS, /* before time, at most */
        SQL_PURGE_TASK_AFTERS,
        SQL_PURGE_TASK_ARRAYS,
        SQL_PURGE_TASKS, /* before time, at most */
        SQL_GPUS,        /* -> the columns of a GPU of the machine, by index */
        SQL_GPUS_CLEAR,
        SQL_GPU_PUT,   /* the columns of a GPU of the machine */
        SQL_DRAIN_GET, /* -> the columns of a drain, or nothing */
        SQL_DRAIN_CLEAR,
        SQL_DRAIN_PUT, /* the columns of a drain */
        SQL_PASTS_GET, /* -> the columns of a user's past, by uid */
        SQL_PASTS_CLEAR,
        SQL_PAST_PUT, /* the columns of a user's past */
} SqlId;

enum {
        N_SQL = SQL_PAST_PUT + 1,
        SQL_APPLICATION_ID = 0x74736b66, /* "tskf" */
};

extern const char *const sql_statements[N_SQL];

/* sql_migrations[N] makes version N + 1 of version N; version 0 is the empty database. */
extern const char *const sql_migrations[];

/* sql_set_version[N] is the end of sql_migrations[N]. */
extern const char *const sql_set_version[];

/* How a connection is set up before its first look into the file, and then for writing. */
extern const char sql_setup[];
extern const char sql_setup_writing[];

/* The file as a whole; each says one value. */
extern const char sql_use_wal[];
extern const char sql_quick_check[];
extern const char sql_get_application_id[];
extern const char sql_get_user_version[];
extern const char sql_count_tables[];
