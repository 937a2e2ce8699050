/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * All SQL there is. The order of the columns is the contract with task-row.c, which checks the names
 * when a statement is prepared.
 *
 * over_at_us is NULL while a task is active. The indexes and the queries say the same of it, because SQLite uses a
 * partial index only for a query that repeats its condition; and of it rather than of the state, because a list of states
 * would become a table of its own at each change of a task (measured: half of the time).
 */

#include "store/sql.h"

#include "util/macro.h"

#define ACTIVE "over_at_us IS NULL"
#define ENDED  "over_at_us IS NOT NULL"

#define LEARNED "signature IS NOT NULL"

#define TASK_COLUMNS TASK_COLUMNS_7 ", tokens"

/* Those of versions 3 to 7. */
#define TASK_COLUMNS_7 TASK_COLUMNS_2 ", cancelled"

/* Those of version 2, for what --recover reads. */
#define TASK_COLUMNS_2                                                                          \
        "id, key, uid, state, name, command, argv, cwd, memory_bytes, cpus, n_gpus, priority, " \
        "delay_us, delay_given, time_limit_us, pin, detached, runner_pid, submitted_at_us, "    \
        "started_at_us, ended_at_us, queued_boot_us, started_boot_us, pid, pid_start_ticks, "   \
        "boot_id, exit_status, signal, memory_known, memory_let_go, memory_used_bytes, "        \
        "memory_peak_bytes, reason, requeue, retry_max, attempt, n_retries, output, n_after"

/* Those of version 1, in the places of those of version 2. */
#define TASK_COLUMNS_1                                                                        \
        "id << 24, key, uid, state, name, command, argv, cwd, memory_bytes, cpus, n_gpus, "   \
        "priority, delay_us, delay_given, time_limit_us, pin, detached, runner_pid, "         \
        "submitted_at_us, started_at_us, ended_at_us, queued_boot_us, started_boot_us, pid, " \
        "pid_start_ticks, boot_id, exit_status, signal, memory_known, memory_let_go, "        \
        "memory_used_bytes, memory_peak_bytes, reason, 0, 0, started_at_us IS NOT NULL, 0, "  \
        "NULL, 0"

#define TASK_ARRAY_COLUMNS \
        "first, last, waiting, \"limit\", n_done, n_failed, n_cancelled, n_timeout, n_lost"

#define TASK_GPU_COLUMNS                                                                  \
        "want, uuid, bytes, granted, grant_uuid, grant_index, grant_bytes, usage_known, " \
        "usage_let_go, used_bytes, peak_bytes, grant_id, grant_kind"

/* Of the versions before the sixth, in which a GPU's index was all that it was called. */
#define TASK_GPU_COLUMNS_5                                                                \
        "want, uuid, bytes, granted, grant_uuid, grant_index, grant_bytes, usage_known, " \
        "usage_let_go, used_bytes, peak_bytes, '', 'nvidia'"

#define GPU_COLUMNS "uuid, name, gpu_index, total_bytes, kind, part"

#define SET(column) #column " = excluded." #column

/*
 * Changing a task leaves alone what the indexes hold, or each of them would be written again; and how much of it is in
 * other tables, so that one that has nothing there takes one statement. When one of those columns differs, nothing is
 * changed, and the caller removes the task and puts it again.
 */
#define SAME_TASK                                                                               \
        " WHERE uid = excluded.uid AND key IS excluded.key AND n_after = excluded.n_after AND " \
        "is_array = excluded.is_array"
/* clang-format off */
#define PUT_TASK                                                                                  \
        "INSERT INTO task (" TASK_COLUMNS ", is_array, over_at_us, signature) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, " \
        "?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, "     \
        "?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39, ?40, ?41, "    \
        "?42, ?43, ?44) "                                                                              \
        "ON CONFLICT (id) DO UPDATE SET "                                                         \
        SET(state) ", " SET(name) ", " SET(command) ", " SET(argv) ", " SET(cwd) ", "             \
        SET(memory_bytes) ", " SET(cpus) ", " SET(n_gpus) ", " SET(priority) ", "                 \
        SET(delay_us) ", " SET(delay_given) ", " SET(time_limit_us) ", " SET(pin) ", "            \
        SET(detached) ", " SET(runner_pid) ", " SET(submitted_at_us) ", " SET(started_at_us) ", " \
        SET(ended_at_us) ", " SET(queued_boot_us) ", " SET(started_boot_us) ", " SET(pid) ", "    \
        SET(pid_start_ticks) ", " SET(boot_id) ", " SET(exit_status) ", " SET(signal) ", "        \
        SET(memory_known) ", " SET(memory_let_go) ", " SET(memory_used_bytes) ", "                \
        SET(memory_peak_bytes) ", " SET(reason) ", " SET(requeue) ", " SET(retry_max) ", "        \
        SET(attempt) ", " SET(n_retries) ", " SET(output) ", " SET(cancelled) ", "       \
        SET(tokens)
/* clang-format on */

#define SELECT_TASK   "SELECT " TASK_COLUMNS ", is_array, over_at_us FROM task "
#define SELECT_TASK_1 "SELECT " TASK_COLUMNS_1 ", 0, NULL, 0, over_at_us FROM task "
#define SELECT_TASK_2 "SELECT " TASK_COLUMNS_2 ", 0, NULL, is_array, over_at_us FROM task "
#define SELECT_TASK_7 "SELECT " TASK_COLUMNS_7 ", NULL, is_array, over_at_us FROM task "
#define PLACES_1      "WHERE id >= (?1 + 16777215) >> 24 AND id <= ?2 >> 24"
#define PURGED \
        "(SELECT id FROM task WHERE " ENDED " AND over_at_us < ?1 ORDER BY over_at_us, id LIMIT ?2)"

/* clang-format off */
const char *const sql_statements[N_SQL] = {
        [SQL_BEGIN] = "BEGIN IMMEDIATE",
        [SQL_COMMIT] = "COMMIT",
        [SQL_ROLLBACK] = "ROLLBACK",

        [SQL_META_GET] = "SELECT database_id, ids_end, recovered_from, boot_id FROM meta",
        [SQL_META_PUT_IDS_END] = "UPDATE meta SET ids_end = ?1",
        [SQL_META_PUT_DATABASE_ID] = "UPDATE meta SET database_id = ?1",
        [SQL_META_PUT_RECOVERED_FROM] = "UPDATE meta SET recovered_from = ?1",
        [SQL_META_PUT_BOOT_ID] = "UPDATE meta SET boot_id = ?1",

        [SQL_TASK_PUT_ACTIVE] = PUT_TASK SAME_TASK " AND " ACTIVE,
        [SQL_TASK_PUT_ENDED] = PUT_TASK ", " SET(over_at_us) ", " SET(signature) SAME_TASK,
        [SQL_TASK_REMOVE] = "DELETE FROM task WHERE id = ?1",
        [SQL_TASK_AFTER_PUT] =
                "INSERT OR REPLACE INTO task_after (task_id, n, after_id, any) VALUES (?1, ?2, ?3, ?4)",
        [SQL_TASK_AFTERS] =
                "SELECT n, after_id, any FROM task_after WHERE task_id = ?1 ORDER BY n",
        [SQL_TASK_AFTER_REMOVE] = "DELETE FROM task_after WHERE task_id = ?1",
        [SQL_TASK_ARRAY_PUT] =
                "INSERT OR REPLACE INTO task_array (" TASK_ARRAY_COLUMNS ", task_id) VALUES "
                "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        [SQL_TASK_ARRAY_GET] = "SELECT " TASK_ARRAY_COLUMNS " FROM task_array WHERE task_id = ?1",
        [SQL_TASK_ARRAY_REMOVE] = "DELETE FROM task_array WHERE task_id = ?1",
        [SQL_TASK_GPU_PUT] =
                "INSERT OR REPLACE INTO task_gpu (" TASK_GPU_COLUMNS ", task_id, n) VALUES "
                "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        [SQL_TASK_GPU_TRIM] = "DELETE FROM task_gpu WHERE task_id = ?1 AND n >= ?2",
        [SQL_TASK_GPUS] =
                "SELECT " TASK_GPU_COLUMNS ", task_id, n FROM task_gpu WHERE task_id = ?1 ORDER BY n",

        [SQL_TASK_GET] = SELECT_TASK "WHERE id = ?1",
        [SQL_TASK_GET_KEY] = SELECT_TASK "WHERE uid = ?1 AND key = ?2 ORDER BY id LIMIT 1",
        [SQL_TASKS_ACTIVE] = SELECT_TASK "WHERE " ACTIVE " ORDER BY id",
        [SQL_TASKS_ENDED] = SELECT_TASK "WHERE " ENDED " AND id < ?1 ORDER BY id DESC LIMIT ?2",
        [SQL_TASKS_ENDED_UID] =
                SELECT_TASK "WHERE " ENDED " AND uid = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2",
        [SQL_TASKS_RUNS] = SELECT_TASK "WHERE " LEARNED " AND uid = ?1 AND signature = ?2 "
                                       "ORDER BY over_at_us DESC, id DESC LIMIT ?3",
        /* The table itself, not an index: of a damaged file one tree may be readable alone. */
        [SQL_TASKS_UP] = SELECT_TASK "NOT INDEXED WHERE id >= ?1 AND id <= ?2 ORDER BY id",
        [SQL_TASKS_DOWN] = SELECT_TASK "NOT INDEXED WHERE id >= ?1 AND id <= ?2 ORDER BY id DESC",
        [SQL_TASKS_UP_1] = SELECT_TASK_1 "NOT INDEXED " PLACES_1 " ORDER BY id",
        [SQL_TASKS_DOWN_1] =
                SELECT_TASK_1 "NOT INDEXED " PLACES_1 " ORDER BY id DESC",
        [SQL_TASKS_UP_2] = SELECT_TASK_2 "NOT INDEXED WHERE id >= ?1 AND id <= ?2 ORDER BY id",
        [SQL_TASKS_DOWN_2] =
                SELECT_TASK_2 "NOT INDEXED WHERE id >= ?1 AND id <= ?2 ORDER BY id DESC",
        [SQL_TASKS_UP_7] = SELECT_TASK_7 "NOT INDEXED WHERE id >= ?1 AND id <= ?2 ORDER BY id",
        [SQL_TASKS_DOWN_7] =
                SELECT_TASK_7 "NOT INDEXED WHERE id >= ?1 AND id <= ?2 ORDER BY id DESC",
        [SQL_TASK_GPUS_1] =
                "SELECT " TASK_GPU_COLUMNS_5 ", task_id, n FROM task_gpu WHERE task_id = ?1 >> 24 ORDER BY n",
        [SQL_TASK_GPUS_5] =
                "SELECT " TASK_GPU_COLUMNS_5 ", task_id, n FROM task_gpu WHERE task_id = ?1 ORDER BY n",
        [SQL_TASK_MAX_ID] = "SELECT max(id) FROM task",
        [SQL_TASK_LAST_END] = "SELECT max(over_at_us) FROM task WHERE " ENDED,

        [SQL_PURGE_ANY] = "SELECT 1 FROM task WHERE " ENDED " AND over_at_us < ?1 LIMIT 1",
        [SQL_PURGE_TASK_GPUS] = "DELETE FROM task_gpu WHERE task_id IN " PURGED,
        [SQL_PURGE_TASK_AFTERS] = "DELETE FROM task_after WHERE task_id IN " PURGED,
        [SQL_PURGE_TASK_ARRAYS] = "DELETE FROM task_array WHERE task_id IN " PURGED,
        [SQL_PURGE_TASKS] = "DELETE FROM task WHERE id IN " PURGED,

        [SQL_GPUS] = "SELECT " GPU_COLUMNS " FROM gpu ORDER BY gpu_index, uuid",
        [SQL_GPUS_CLEAR] = "DELETE FROM gpu",
        [SQL_GPU_PUT] =
                "INSERT OR IGNORE INTO gpu (" GPU_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6)",

        [SQL_DRAIN_GET] = "SELECT by_uid, at_us, reason FROM drain",
        [SQL_DRAIN_CLEAR] = "DELETE FROM drain",
        [SQL_DRAIN_PUT] =
                "INSERT INTO drain (one, by_uid, at_us, reason) VALUES (1, ?1, ?2, ?3)",

        [SQL_PASTS_GET] = "SELECT uid, had, at_us FROM user_past ORDER BY uid",
        [SQL_PASTS_CLEAR] = "DELETE FROM user_past",
        [SQL_PAST_PUT] = "INSERT OR REPLACE INTO user_past (uid, had, at_us) VALUES (?1, ?2, ?3)",
};
/* clang-format on */

const char *const sql_migrations[] = {
        /* NULL: unlimited, a whole GPU, not yet, or none, as task-row.c says for each */
        [0] = "CREATE TABLE meta ("
              "  one INTEGER PRIMARY KEY CHECK (one = 1),"
              "  database_id TEXT NOT NULL,"
              "  ids_end INTEGER NOT NULL,"
              "  recovered_from TEXT,"
              "  boot_id TEXT"
              ") STRICT;"
              "INSERT INTO meta (one, database_id, ids_end)"
              "  VALUES (1, lower(hex(randomblob(16))), 1);"
              "CREATE TABLE task ("
              "  id INTEGER PRIMARY KEY,"
              "  key BLOB,"
              "  uid INTEGER NOT NULL,"
              "  state TEXT NOT NULL,"
              "  name TEXT,"
              "  command TEXT,"
              "  argv BLOB,"
              "  cwd TEXT,"
              "  memory_bytes INTEGER NOT NULL,"
              "  cpus INTEGER NOT NULL,"
              "  n_gpus INTEGER NOT NULL,"
              "  priority INTEGER NOT NULL,"
              "  delay_us INTEGER,"
              "  delay_given INTEGER NOT NULL,"
              "  time_limit_us INTEGER,"
              "  pin TEXT NOT NULL,"
              "  detached INTEGER NOT NULL,"
              "  runner_pid INTEGER NOT NULL,"
              "  submitted_at_us INTEGER NOT NULL,"
              "  started_at_us INTEGER,"
              "  ended_at_us INTEGER,"
              "  queued_boot_us INTEGER NOT NULL,"
              "  started_boot_us INTEGER NOT NULL,"
              "  pid INTEGER NOT NULL,"
              "  pid_start_ticks INTEGER NOT NULL,"
              "  boot_id TEXT NOT NULL,"
              "  exit_status INTEGER,"
              "  signal INTEGER NOT NULL,"
              "  memory_known INTEGER NOT NULL,"
              "  memory_let_go INTEGER NOT NULL,"
              "  memory_used_bytes INTEGER,"
              "  memory_peak_bytes INTEGER,"
              "  reason TEXT,"
              "  over_at_us INTEGER"
              ") STRICT;"
              "CREATE INDEX task_key ON task (uid, key) WHERE key IS NOT NULL;"
              "CREATE INDEX task_active ON task (id) WHERE " ACTIVE ";"
              "CREATE INDEX task_ended ON task (id) WHERE " ENDED ";"
              "CREATE INDEX task_ended_uid ON task (uid, id) WHERE " ENDED ";"
              "CREATE INDEX task_over ON task (over_at_us) WHERE " ENDED ";"
              "CREATE TABLE task_gpu ("
              "  task_id INTEGER NOT NULL,"
              "  n INTEGER NOT NULL,"
              "  want TEXT NOT NULL,"
              "  uuid TEXT NOT NULL,"
              "  bytes INTEGER,"
              "  granted INTEGER NOT NULL,"
              "  grant_uuid TEXT NOT NULL,"
              "  grant_index INTEGER NOT NULL,"
              "  grant_bytes INTEGER,"
              "  usage_known INTEGER NOT NULL,"
              "  usage_let_go INTEGER NOT NULL,"
              "  used_bytes INTEGER,"
              "  peak_bytes INTEGER,"
              "  PRIMARY KEY (task_id, n)"
              ") STRICT, WITHOUT ROWID;"
              "CREATE TABLE gpu ("
              "  uuid TEXT PRIMARY KEY,"
              "  name TEXT NOT NULL,"
              "  gpu_index INTEGER NOT NULL,"
              "  total_bytes INTEGER NOT NULL"
              ") STRICT, WITHOUT ROWID;"
              "PRAGMA application_id = 0x74736b66",

        /*
         * Ids become places in order (core/task.h). The tables of them are made anew: changing each row's own would meet the old
         * ids of others.
         */
        [1] = "ALTER TABLE task RENAME TO task_1;"
              "ALTER TABLE task_gpu RENAME TO task_gpu_1;"
              "CREATE TABLE task ("
              "  id INTEGER PRIMARY KEY,"
              "  key BLOB,"
              "  uid INTEGER NOT NULL,"
              "  state TEXT NOT NULL,"
              "  name TEXT,"
              "  command TEXT,"
              "  argv BLOB,"
              "  cwd TEXT,"
              "  memory_bytes INTEGER NOT NULL,"
              "  cpus INTEGER NOT NULL,"
              "  n_gpus INTEGER NOT NULL,"
              "  priority INTEGER NOT NULL,"
              "  delay_us INTEGER,"
              "  delay_given INTEGER NOT NULL,"
              "  time_limit_us INTEGER,"
              "  pin TEXT NOT NULL,"
              "  detached INTEGER NOT NULL,"
              "  runner_pid INTEGER NOT NULL,"
              "  submitted_at_us INTEGER NOT NULL,"
              "  started_at_us INTEGER,"
              "  ended_at_us INTEGER,"
              "  queued_boot_us INTEGER NOT NULL,"
              "  started_boot_us INTEGER NOT NULL,"
              "  pid INTEGER NOT NULL,"
              "  pid_start_ticks INTEGER NOT NULL,"
              "  boot_id TEXT NOT NULL,"
              "  exit_status INTEGER,"
              "  signal INTEGER NOT NULL,"
              "  memory_known INTEGER NOT NULL,"
              "  memory_let_go INTEGER NOT NULL,"
              "  memory_used_bytes INTEGER,"
              "  memory_peak_bytes INTEGER,"
              "  reason TEXT,"
              "  requeue INTEGER NOT NULL,"
              "  retry_max INTEGER NOT NULL,"
              "  attempt INTEGER NOT NULL,"
              "  n_retries INTEGER NOT NULL,"
              "  output TEXT,"
              "  n_after INTEGER NOT NULL,"
              "  is_array INTEGER NOT NULL,"
              "  over_at_us INTEGER"
              ") STRICT;"
              "INSERT INTO task SELECT " TASK_COLUMNS_1 ", 0, over_at_us FROM task_1"
              "  WHERE id BETWEEN 1 AND 549755813886;"
              "DROP TABLE task_1;"
              "CREATE INDEX task_key ON task (uid, key) WHERE key IS NOT NULL;"
              "CREATE INDEX task_active ON task (over_at_us) WHERE " ACTIVE ";"
              "CREATE INDEX task_ended ON task (id) WHERE " ENDED ";"
              "CREATE INDEX task_ended_uid ON task (uid) WHERE " ENDED ";"
              "CREATE INDEX task_over ON task (over_at_us) WHERE " ENDED ";"
              "CREATE TABLE task_gpu ("
              "  task_id INTEGER NOT NULL,"
              "  n INTEGER NOT NULL,"
              "  want TEXT NOT NULL,"
              "  uuid TEXT NOT NULL,"
              "  bytes INTEGER,"
              "  granted INTEGER NOT NULL,"
              "  grant_uuid TEXT NOT NULL,"
              "  grant_index INTEGER NOT NULL,"
              "  grant_bytes INTEGER,"
              "  usage_known INTEGER NOT NULL,"
              "  usage_let_go INTEGER NOT NULL,"
              "  used_bytes INTEGER,"
              "  peak_bytes INTEGER,"
              "  PRIMARY KEY (task_id, n)"
              ") STRICT, WITHOUT ROWID;"
              "INSERT INTO task_gpu SELECT task_id << 24, n, want, uuid, bytes, granted, grant_uuid,"
              "  grant_index, grant_bytes, usage_known, usage_let_go, used_bytes, peak_bytes"
              "  FROM task_gpu_1 WHERE task_id BETWEEN 1 AND 549755813886;"
              "DROP TABLE task_gpu_1;"
              "CREATE TABLE task_after ("
              "  task_id INTEGER NOT NULL,"
              "  n INTEGER NOT NULL,"
              "  after_id INTEGER NOT NULL,"
              "  any INTEGER NOT NULL,"
              "  PRIMARY KEY (task_id, n)"
              ") STRICT, WITHOUT ROWID;"
              "CREATE TABLE task_array ("
              "  task_id INTEGER PRIMARY KEY,"
              "  first INTEGER NOT NULL,"
              "  last INTEGER NOT NULL,"
              "  waiting TEXT NOT NULL,"
              "  \"limit\" INTEGER NOT NULL,"
              "  n_done INTEGER NOT NULL,"
              "  n_failed INTEGER NOT NULL,"
              "  n_cancelled INTEGER NOT NULL,"
              "  n_timeout INTEGER NOT NULL,"
              "  n_lost INTEGER NOT NULL"
              ") STRICT",

        [2] = "ALTER TABLE task ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0",
        [3] = "CREATE TABLE drain ("
              "  one INTEGER PRIMARY KEY CHECK (one = 1),"
              "  by_uid INTEGER NOT NULL,"
              "  at_us INTEGER NOT NULL,"
              "  reason TEXT"
              ") STRICT",
        [4] = "ALTER TABLE task ADD COLUMN signature INTEGER;"
              "CREATE INDEX task_runs ON task (uid, signature, over_at_us) WHERE " LEARNED,
        [5] = "ALTER TABLE task_gpu ADD COLUMN grant_id TEXT NOT NULL DEFAULT '';"
              "ALTER TABLE task_gpu ADD COLUMN grant_kind TEXT NOT NULL DEFAULT 'nvidia';"
              "ALTER TABLE gpu ADD COLUMN kind TEXT NOT NULL DEFAULT 'nvidia';"
              "ALTER TABLE gpu ADD COLUMN part INTEGER NOT NULL DEFAULT 0",
        [6] = "CREATE TABLE user_past ("
              "  uid INTEGER PRIMARY KEY,"
              "  had INTEGER NOT NULL,"
              "  at_us INTEGER NOT NULL"
              ") STRICT",
        [7] = "ALTER TABLE task ADD COLUMN tokens TEXT",
};

const char *const sql_set_version[] = {
        [0] = "PRAGMA user_version = 1", [1] = "PRAGMA user_version = 2",
        [2] = "PRAGMA user_version = 3", [3] = "PRAGMA user_version = 4",
        [4] = "PRAGMA user_version = 5", [5] = "PRAGMA user_version = 6",
        [6] = "PRAGMA user_version = 7", [7] = "PRAGMA user_version = 8",
};

_Static_assert(ELEMENTSOF(sql_migrations) == ELEMENTSOF(sql_set_version), "a step without an end");

/*
 * locking_mode must come before the first access, or WAL would make a file of shared memory. What is in
 * the file is not trusted: no triggers or functions of its own, and each cell is looked at.
 */
const char sql_setup[] = "PRAGMA locking_mode = EXCLUSIVE;"
                         "PRAGMA trusted_schema = OFF;"
                         "PRAGMA cell_size_check = ON;"
                         "PRAGMA temp_store = MEMORY;"
                         "PRAGMA cache_size = -1024";

/*
 * synchronous = NORMAL: a commit is written to the WAL and survives the process; it is brought to the disk
 * by db_sync() when the caller asks, and before each checkpoint by SQLite. A power cut loses the commits
 * since, but never the database.
 */
const char sql_setup_writing[] = "PRAGMA synchronous = NORMAL;"
                                 "PRAGMA journal_size_limit = 33554432;"
                                 "PRAGMA secure_delete = FAST";

const char sql_use_wal[] = "PRAGMA journal_mode = WAL";
const char sql_quick_check[] = "PRAGMA quick_check(1)";
const char sql_get_application_id[] = "PRAGMA application_id";
const char sql_get_user_version[] = "PRAGMA user_version";
const char sql_count_tables[] = "SELECT count(*) FROM sqlite_schema";
