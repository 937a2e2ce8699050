#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * SQL of the spool
 *
 * Every statement that is ever run on an agent's database, by name. Settings and questions that all databases share are in
 * sql.h.
 */

#include "store/sql.h"

typedef enum SpoolSqlId {
        SPOOL_SQL_BEGIN = SQL_BEGIN, /* as database.h wants it */
        SPOOL_SQL_COMMIT = SQL_COMMIT,
        SPOOL_SQL_ROLLBACK = SQL_ROLLBACK,
        SPOOL_SQL_META_GET,            /* key -> value */
        SPOOL_SQL_META_PUT,            /* key, value */
        SPOOL_SQL_META_REMOVE,         /* key */
        SPOOL_SQL_CONTEXT_FIND,        /* hash, bytes -> id */
        SPOOL_SQL_CONTEXT_PUT,         /* hash, bytes */
        SPOOL_SQL_CONTEXT_GET,         /* id -> bytes */
        SPOOL_SQL_CONTEXT_DROP,        /* id */
        SPOOL_SQL_CONTEXT_DROP_UNUSED, /* all that no task has */
        SPOOL_SQL_TASK_PUT,            /* key, id, context_id, argv, output, name, give_up_at_us */
        SPOOL_SQL_TASK_SET_ID,         /* row, key, id */
        SPOOL_SQL_TASK_REMOVE,         /* row, key -> context_id */
        SPOOL_SQL_TASK_GET,            /* row -> as it was put */
        SPOOL_SQL_TASKS,               /* -> row, key, id, give_up_at_us */
        SPOOL_SQL_TASK_CONTEXTS,       /* -> the context_id of each */
        SPOOL_SQL_TASK_COUNT,          /* -> a number */
} SpoolSqlId;

enum {
        N_SPOOL_SQL = SPOOL_SQL_TASK_COUNT + 1,
        SPOOL_SQL_APPLICATION_ID = 0x74736b61, /* "tska" */
};

extern const char *const spool_sql_statements[N_SPOOL_SQL];
extern const char *const spool_sql_migrations[];
extern const char *const spool_sql_set_version[];
