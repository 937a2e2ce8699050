/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/spool-sql.h"

#include "util/macro.h"

/* clang-format off */
const char *const spool_sql_statements[N_SPOOL_SQL] = {
        [SPOOL_SQL_BEGIN] = "BEGIN IMMEDIATE",
        [SPOOL_SQL_COMMIT] = "COMMIT",
        [SPOOL_SQL_ROLLBACK] = "ROLLBACK",

        [SPOOL_SQL_META_GET] = "SELECT value FROM meta WHERE key = ?1",
        [SPOOL_SQL_META_PUT] = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
        [SPOOL_SQL_META_REMOVE] = "DELETE FROM meta WHERE key = ?1",

        [SPOOL_SQL_CONTEXT_FIND] = "SELECT id FROM context WHERE hash = ?1 AND bytes = ?2",
        [SPOOL_SQL_CONTEXT_PUT] = "INSERT INTO context (hash, bytes) VALUES (?1, ?2)",
        [SPOOL_SQL_CONTEXT_GET] = "SELECT bytes FROM context WHERE id = ?1",
        [SPOOL_SQL_CONTEXT_DROP] =
                "DELETE FROM context WHERE id = ?1",
        [SPOOL_SQL_CONTEXT_DROP_UNUSED] =
                "DELETE FROM context WHERE id NOT IN (SELECT context_id FROM task)",

        [SPOOL_SQL_TASK_PUT] =
                "INSERT INTO task (key, id, context_id, argv, output, name, give_up_at_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        [SPOOL_SQL_TASK_SET_ID] = "UPDATE task SET id = ?3 WHERE n = ?1 AND key = ?2",
        [SPOOL_SQL_TASK_REMOVE] =
                "DELETE FROM task WHERE n = ?1 AND key = ?2 RETURNING context_id",
        [SPOOL_SQL_TASK_GET] = "SELECT key, id, context_id, argv, output, name, give_up_at_us FROM task WHERE n = ?1",
        [SPOOL_SQL_TASKS] = "SELECT n, key, id, give_up_at_us FROM task ORDER BY n",
        [SPOOL_SQL_TASK_CONTEXTS] = "SELECT context_id FROM task",
        [SPOOL_SQL_TASK_COUNT] = "SELECT count(*) FROM task",
};
/* clang-format on */

const char *const spool_sql_migrations[] = {
        /* An id is never NULL twice in an index, and one that is not known yet takes no room there. */
        [0] = "CREATE TABLE meta ("
              "  key TEXT PRIMARY KEY,"
              "  value TEXT NOT NULL"
              ") STRICT, WITHOUT ROWID;"
              "CREATE TABLE context ("
              "  id INTEGER PRIMARY KEY,"
              "  hash INTEGER NOT NULL,"
              "  bytes BLOB NOT NULL"
              ") STRICT;"
              "CREATE INDEX context_hash ON context (hash);"
              "CREATE TABLE task ("
              "  n INTEGER PRIMARY KEY,"
              "  key BLOB NOT NULL,"
              "  id INTEGER,"
              "  context_id INTEGER NOT NULL,"
              "  argv BLOB NOT NULL,"
              "  output BLOB,"
              "  name BLOB,"
              "  give_up_at_us INTEGER"
              ") STRICT;"
              "CREATE UNIQUE INDEX task_key ON task (key);"
              "CREATE UNIQUE INDEX task_id ON task (id) WHERE id IS NOT NULL;"
              "CREATE INDEX task_context ON task (context_id);"
              "PRAGMA application_id = 0x74736b61",
        /* The agent has in memory what it looks for; each index was one more page to write for each task. */
        [1] = "DROP INDEX task_key;"
              "DROP INDEX task_id;"
              "DROP INDEX task_context",
};

const char *const spool_sql_set_version[] = {
        [0] = "PRAGMA user_version = 1",
        [1] = "PRAGMA user_version = 2",
};

_Static_assert(ELEMENTSOF(spool_sql_migrations) == ELEMENTSOF(spool_sql_set_version),
               "a step without an end");
