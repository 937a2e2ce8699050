/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Arrays, their elements, and tasks that wait for others, in the store; and what becomes of databases that had none
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "store/sql.h"
#include "store/store.h"
#include "util/cleanup.h"

#include "check.h"
#include "store-fixture.h"

/* An array of which the elements of @set still wait. */
static Task *array_task(uint64_t id, const char *set) {
        Task *task = full_task(id);

        task->state = TASK_STATE_PENDING;
        task->array = calloc(1, sizeof(*task->array));
        assert_non_null(task->array);
        if (set[0] != '\0')
                assert_int_equal(index_set_parse(set, TASK_INDEX_MAX, &task->array->waiting, NULL),
                                 0);
        task->array->first = 1;
        task->array->last = TASK_INDEX_MAX;
        task->array->limit = 2;
        task->array->n_done = 3;
        task->array->n_failed = 4;
        task->array->n_cancelled = 5;
        task->array->n_timeout = 6;
        task->array->n_lost = TASK_INDEX_MAX + 1;
        return task;
}

static void put(Store *store, Task *task) {
        assert_int_equal(store_put_task(store, task), 0);
        (void)task_free(task);
}

/* An element that ended then, or (0) has not. */
static void put_element(Store *store, uint64_t id, int64_t index, uint64_t ended_at_us) {
        Task *task = plain_task(task_ref(id, index));

        memset(task->key, 0, sizeof(task->key));
        task->submitted_at_us = 1;
        task->ended_at_us = ended_at_us;
        task->state = ended_at_us > 0 ? TASK_STATE_DONE : TASK_STATE_PENDING;
        put(store, task);
}

static void assert_comes_back(Store *store, const Task *want) {
        _cleanup_(task_freep) Task *have = NULL;

        assert_int_equal(store_load_task(store, want->id, &have), 0);
        assert_task_equal(have, want);
}

static void test_an_array_comes_back(void **state) {
        static const char *const sets[] = { "1-9,12,16777214", "", "0-16777214" };
        _cleanup_(store_freep) Store *store = open_store(*state);

        for (size_t i = 0; i < ELEMENTSOF(sets); i++) {
                _cleanup_(task_freep) Task *task = array_task(5, sets[i]);

                assert_int_equal(store_put_task(store, task), 0);
                assert_comes_back(store, task);
                assert_int_equal(store_commit(store, false), 0);
                assert_comes_back(store, task);
        }
}

/* Of as many pieces as there are when every second element of a large array was cancelled by itself. */
static void test_a_set_of_many_pieces_comes_back(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        _cleanup_(task_freep) Task *task = array_task(5, "");
        IndexSet *set = &task->array->waiting;

        set->n = 50000;
        set->ranges = calloc(set->n, sizeof(*set->ranges));
        assert_non_null(set->ranges);
        for (uint32_t i = 0; i < set->n; i++)
                set->ranges[i] = (IndexRange){ 2 * i, 2 * i };
        assert_int_equal(store_put_task(store, task), 0);
        assert_comes_back(store, task);
}

/* A task may get and lose its array and what it waits for, and nothing of that stays. */
static void test_what_is_in_other_tables_comes_and_goes(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);

        for (int i = 0; i < 2; i++) {
                _cleanup_(task_freep) Task *task = array_task(5, "7");

                for (; task->n_after > 0; task->n_after--) {
                        assert_int_equal(store_put_task(store, task), 0);
                        assert_comes_back(store, task);
                }
                assert_int_equal(store_put_task(store, task), 0);
                assert_comes_back(store, task);
                task->array = task_array_free(task->array);
                assert_int_equal(store_put_task(store, task), 0);
                assert_comes_back(store, task);
        }
        assert_int_equal(store_commit(store, false), 0);
        (void)store_free(store);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task"), 1);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task_after"), 0);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task_array"), 0);
}

static void test_a_removed_array_leaves_nothing_but_its_elements(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);

        put(store, array_task(5, "7"));
        put_element(store, 5, 0, 0);
        assert_int_equal(store_remove_task(store, 5), 0);
        assert_int_equal(store_commit(store, false), 0);
        (void)store_free(store);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task"), 1);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task_gpu"), 0);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task_after"), 0);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task_array"), 0);
}

static void test_what_makes_no_sense_is_not_written(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);

        for (int i = 0; i < 6; i++) {
                _cleanup_(task_freep) Task *task = array_task(5, "7");

                switch (i) {
                case 0:
                        task->after[1].id = 0;
                        break;
                case 1:
                        task->after[1].id = task_ref(1, 0);
                        break;
                case 2:
                        task->array->last = TASK_INDEX_MAX + 1;
                        break;
                case 3:
                        task->array->n_lost = TASK_INDEX_MAX + 2;
                        break;
                case 4:
                        task->id = UINT64_C(1) << 63;
                        break;
                case 5:
                        task->id = task_ref(0, 3);
                        break;
                }
                assert_int_equal(store_put_task(store, task), -ERANGE);
                assert_false(store_is_dirty(store));
        }
}

static void test_active_tasks_come_in_order_an_array_first(void **state) {
        const uint64_t want[] = {
                1, task_ref(1, 0), 2, task_ref(2, 0), task_ref(2, 7), task_ref(2, TASK_INDEX_MAX), 3
        };
        _cleanup_(store_freep) Store *store = open_store(*state);
        Loaded loaded = {};

        for (size_t i = ELEMENTSOF(want); i > 0; i--) {
                uint64_t ref = want[i - 1];

                if (task_ref_index(ref) < 0)
                        put(store, array_task(ref, "9"));
                else
                        put_element(store, task_ref_id(ref), task_ref_index(ref), 0);
        }
        put_element(store, 2, 5, 99);
        assert_int_equal(store_load_active(store, note_task, &loaded), 0);
        assert_int_equal(loaded.n, ELEMENTSOF(want));
        assert_memory_equal(loaded.ids, want, sizeof(want));
}

static void test_ended_elements_are_paged_in_order(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        uint64_t before = UINT64_MAX;
        unsigned n = 0;

        for (uint64_t id = 1; id <= 3; id++) {
                Task *task = array_task(id, "");

                task->state = TASK_STATE_FAILED;
                task->uid = 1000;
                put(store, task);
                for (int64_t index = 0; index < 10; index++)
                        put_element(store, id, index, 5);
        }

        for (;;) {
                Loaded page = {};

                assert_int_equal(store_load_ended(store, before, 1000, 4, note_task, &page), 0);
                for (unsigned i = 0; i < page.n; i++, n++)
                        assert_int_equal(page.ids[i], task_ref(3 - n / 11, 9 - (int64_t)(n % 11)));
                if (page.n == 0)
                        break;
                before = page.ids[page.n - 1];
        }
        assert_int_equal(n, 33);
}

static void test_an_array_is_purged_behind_its_elements(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        Task *task = array_task(5, "");

        task->state = TASK_STATE_FAILED;
        task->submitted_at_us = 1;
        task->ended_at_us = 100;
        put(store, task);
        for (int64_t index = 0; index < 3; index++)
                put_element(store, 5, index, 100);

        for (int i = 0; i < 3; i++) {
                assert_int_equal(store_purge(store, 200, 1), 1);
                task = NULL;
                assert_int_equal(store_load_task(store, 5, &task), 0);
                (void)task_free(task);
        }
        assert_int_equal(store_purge(store, 200, 9), 1);
        assert_int_equal(store_commit(store, false), 0);
        (void)store_free(store);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task"), 0);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task_gpu"), 0);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task_after"), 0);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task_array"), 0);
}

static void test_elements_do_not_change_which_ids_are_given_out(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        uint64_t id = 0;

        assert_int_equal(store_take_id(store, &id), 0);
        put(store, array_task(id, "9"));
        put_element(store, id, TASK_INDEX_MAX, 0);
        assert_int_equal(store_commit(store, true), 0);
        (void)store_free(store);

        store = open_store(folder);
        assert_int_equal(store_take_id(store, &id), 0);
        assert_int_equal(id, 1 + STORE_IDS_BLOCK);
        (void)store_free(store);
}

static void test_an_array_that_makes_no_sense_is_left_out(void **state) {
        static const char other_id[] = "UPDATE task SET id = id + 1;"
                                       "UPDATE task_array SET task_id = task_id + 1;"
                                       "UPDATE task_gpu SET task_id = task_id + 1;"
                                       "UPDATE task_after SET task_id = task_id + 1";
        static const char *const harms[] = {
                "DELETE FROM task_array",
                "UPDATE task_array SET waiting = 'x'",
                "UPDATE task_array SET waiting = '1-99999999'",
                "UPDATE task_array SET first = -1",
                "UPDATE task_array SET first = 9, last = 8",
                "UPDATE task_array SET n_done = 16777216",
                "UPDATE task_array SET \"limit\" = -1",
                other_id,
        };
        const Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(harms); i++) {
                Loaded loaded = {};
                Store *store = open_store(folder);

                put(store, array_task(5, "1-9"));
                assert_int_equal(store_commit(store, false), 0);
                (void)store_free(store);
                harm(folder, harms[i]);

                store = open_store(folder);
                assert_int_equal(store_load_active(store, note_task, &loaded), 0);
                if (loaded.n != 0 || store_n_damaged(store, NULL) != 1)
                        fail_msg("%s", harms[i]);
                assert_int_equal(store_remove_task(store, 5), 0);
                assert_int_equal(store_remove_task(store, task_ref(5, 0)), 0);
                assert_int_equal(store_commit(store, false), 0);
                (void)store_free(store);
        }
}

/* Version 1 */

#define COLUMNS_1                                                                               \
        "id, key, uid, state, name, command, argv, cwd, memory_bytes, cpus, n_gpus, priority, " \
        "delay_us, delay_given, time_limit_us, pin, detached, runner_pid, submitted_at_us, "    \
        "started_at_us, ended_at_us, queued_boot_us, started_boot_us, pid, pid_start_ticks, "   \
        "boot_id, exit_status, signal, memory_known, memory_let_go, memory_used_bytes, "        \
        "memory_peak_bytes, reason, over_at_us"

/*
 * A database as version 1 made it: @n tasks with one GPU each, of which the first has no GPU and waits, and those with an even
 * id have ended. One has an id that is the place of another now.
 */
static void make_version_1(const Folder *folder, unsigned n) {
        sqlite3 *db = NULL;
        char sql[2048];

        assert_int_equal(sqlite3_open(in_folder(folder, "taskflow.db"), &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql_migrations[0], NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql_set_version[0], NULL, NULL, NULL), SQLITE_OK);
        (void)snprintf(
                sql, sizeof(sql),
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
                "INSERT INTO task (" COLUMNS_1 ") SELECT iif(i = 3, 16777216, i), "
                "iif(i = 1, NULL, cast(printf('%%16d', i) AS BLOB)), 1000, "
                "iif(i = 1, 'pending', iif(i %% 2, 'running', 'failed')), 'name ' || i, 'c', "
                "x'630000', '/', 5, 6, i > 1, 100, NULL, 1, 7, 'on', i > 5, 8, 9, "
                "iif(i = 1, NULL, 10), iif(i %% 2, NULL, 100 + i), 11, 12, 13, 14, "
                "'01234567-89ab-cdef-0123-456789abcdef', iif(i %% 2, NULL, 3), 0, 1, 0, 15, 16, "
                "'because', iif(i %% 2, NULL, 100 + i) FROM n",
                n);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        assert_int_equal(sqlite3_exec(db,
                                      "INSERT INTO task_gpu SELECT id, 0, 'any', 'GPU-a', 17, 1, "
                                      "'GPU-a', 2, 18, 1, 0, 19, 20 FROM task WHERE n_gpus > 0;"
                                      "INSERT INTO gpu VALUES ('GPU-a', 'A', 2, 21);"
                                      "UPDATE meta SET ids_end = 16778240",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void assert_task_of_version_1(Store *store, uint64_t id, unsigned i) {
        _cleanup_(task_freep) Task *task = NULL;
        char key[TASK_KEY_BYTES + 1], name[32];

        assert_int_equal(store_load_task(store, id, &task), 0);
        (void)snprintf(key, sizeof(key), "%16u", i);
        (void)snprintf(name, sizeof(name), "name %u", i);
        assert_int_equal(task->id, id);
        assert_string_equal(task->name, name);
        assert_string_equal(task->argv[0], "c");
        assert_int_equal(task->state, i == 1     ? TASK_STATE_PENDING :
                                      i % 2 == 1 ? TASK_STATE_RUNNING :
                                                   TASK_STATE_FAILED);
        assert_int_equal(task->attempt, i > 1);
        assert_int_equal(task->detached, i > 5);
        assert_false(task->requeue || task->cancelled);
        assert_true(task->retry_max == 0 && task->n_retries == 0 && task->n_after == 0);
        assert_true(!task->array && !task->output);
        assert_string_equal(task->reason, "because");
        assert_int_equal(task->memory.peak_bytes, 16);
        if (i == 1)
                return;

        assert_memory_equal(task->key, key, TASK_KEY_BYTES);
        assert_string_equal(task->gpus[0].uuid, "GPU-a");
        assert_int_equal(task->gpus[0].bytes, 18);
        assert_int_equal(task->gpu_usage[0].peak_bytes, 20);
}

static void assert_tasks_of_version_1(Store *store, unsigned n) {
        Loaded active = {}, ended = {};

        for (unsigned i = 1; i <= n; i++)
                assert_task_of_version_1(store, i == 3 ? 16777216 : i, i);
        assert_int_equal(store_load_active(store, note_task, &active), 0);
        assert_int_equal(active.n, (n + 1) / 2);
        assert_int_equal(store_load_ended(store, UINT64_MAX, (uid_t)-1, 4000, note_task, &ended),
                         0);
        assert_int_equal(ended.n, n / 2);
        assert_int_equal(store_n_damaged(store, NULL), 0);
}

static void test_a_database_of_version_1_keeps_all_its_data(void **state) {
        const Folder *folder = *state;
        GpuSample gpus[GPU_MAX];
        Task *task = NULL;
        Store *store;
        uint64_t id = 0;

        make_version_1(folder, 500);
        store = open_store(folder);
        assert_tasks_of_version_1(store, 500);
        assert_int_equal(store_get_gpus(store, gpus), 1);
        assert_int_equal(store_load_key(store, 1000, (const uint8_t *)"               7", &task),
                         0);
        assert_int_equal(task->id, 7);
        (void)task_free(task);
        assert_int_equal(store_take_id(store, &id), 0);
        assert_true(id >= 16778240);
        put(store, array_task(id, "9"));
        assert_int_equal(store_commit(store, true), 0);
        assert_int_equal(store_purge(store, 104, 100), 1);
        (void)store_free(store);
        assert_int_equal(ask(folder, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
        assert_int_equal(ask(folder, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%_1'"),
                         0);
        assert_int_equal(ask(folder, "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'task_%'"),
                         9);

        store = open_store(folder);
        (void)store_free(store);
}

static void test_a_migration_that_fails_leaves_the_old_database(void **state) {
        const Folder *folder = *state;
        Store *store = NULL;
        Error error;

        make_version_1(folder, 10);
        harm(folder, "CREATE TABLE task_array (x)");
        assert_int_equal(store_open(&store, folder->path, false, &error), STORE_E_DAMAGED);
        assert_int_equal(folder_count(folder, "taskflow.db.damaged-"), 1);
}

/* What --recover finds may be of the version before. */
static void test_recovery_reads_version_1(void **state) {
        const Folder *folder = *state;
        Store *store = NULL;
        Error error;

        make_version_1(folder, 300);
        harm(folder, "DROP INDEX task_over; CREATE TABLE task_array (x)");
        assert_int_equal(store_open(&store, folder->path, true, &error), 0);
        assert_non_null(strstr(error.text, "300 tasks"));
        assert_tasks_of_version_1(store, 300);
        (void)store_free(store);
}

#define LESS_OF_8 "ALTER TABLE task DROP COLUMN tokens;"
#define LESS_OF_7 "DROP TABLE user_past;"
#define LESS_OF_6                                      \
        "ALTER TABLE task_gpu DROP COLUMN grant_id;"   \
        "ALTER TABLE task_gpu DROP COLUMN grant_kind;" \
        "ALTER TABLE gpu DROP COLUMN kind;"            \
        "ALTER TABLE gpu DROP COLUMN part;"
#define LESS_OF_5 "DROP INDEX task_runs; ALTER TABLE task DROP COLUMN signature;"
#define LESS_OF_4 "DROP TABLE drain;"
#define LESS_OF_3 "ALTER TABLE task DROP COLUMN cancelled;"

/* What is written by this taskflow, less what is new in it since then. */
static const struct {
        unsigned version;
        const char *less;
} older_versions[] = {
        { 2,
          LESS_OF_8 LESS_OF_7 LESS_OF_6 LESS_OF_5 LESS_OF_4 LESS_OF_3 "PRAGMA user_version = 2" },
        { 3, LESS_OF_8 LESS_OF_7 LESS_OF_6 LESS_OF_5 LESS_OF_4 "PRAGMA user_version = 3" },
        { 4, LESS_OF_8 LESS_OF_7 LESS_OF_6 LESS_OF_5 "PRAGMA user_version = 4" },
        { 5, LESS_OF_8 LESS_OF_7 LESS_OF_6 "PRAGMA user_version = 5" },
        { 6, LESS_OF_8 LESS_OF_7 "PRAGMA user_version = 6" },
        { 7, LESS_OF_8 "PRAGMA user_version = 7" },
};

static void make_older(const Folder *folder, size_t version, uint64_t id, const char *harm_it) {
        Store *store = open_store(folder);

        put(store, full_task(id));
        assert_int_equal(store_commit(store, true), 0);
        (void)store_free(store);
        harm(folder, older_versions[version].less);
        harm(folder, harm_it);
}

/* All of the task is there, as far as that version knew it. */
static void assert_older(Store *store, size_t version, uint64_t id) {
        _cleanup_(task_freep) Task *want = full_task(id), *have = NULL;

        for (unsigned i = 0; older_versions[version].version < 6 && i < want->needs.n_gpus; i++) {
                want->gpus[i].id[0] = '\0';
                want->gpus[i].kind = GPU_KIND_NVIDIA;
        }
        if (older_versions[version].version < 3)
                want->cancelled = false;
        needs_drop_tokens(&want->needs);
        assert_int_equal(store_load_task(store, id, &have), 0);
        assert_task_equal(have, want);
}

static void test_a_database_of_an_older_version_keeps_all_its_data(void **state) {
        const Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(older_versions); i++) {
                Store *store;

                make_older(folder, i, 7 + i, "");
                store = open_store(folder);
                assert_older(store, i, 7 + i);
                (void)store_free(store);
        }
}

static void test_recovery_reads_older_versions(void **state) {
        const Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(older_versions); i++) {
                Store *store = NULL;
                Error error;

                make_older(folder, i, 7 + i, "DROP INDEX task_over; DROP TABLE gpu");
                assert_int_equal(store_open(&store, folder->path, true, &error), 0);
                assert_older(store, i, 7 + i);
                (void)store_free(store);
        }
}

/* Of the @n-th leaf of the table of tasks. */
static int64_t ask_leaf(const Folder *folder, const char *column, unsigned n) {
        char sql[192];

        (void)snprintf(sql, sizeof(sql),
                       "SELECT %s FROM dbstat WHERE name = 'task' AND pagetype = 'leaf' "
                       "ORDER BY path LIMIT 1 OFFSET %u",
                       column, n);
        return ask(folder, sql);
}

/* Overwrites that leaf. Return: how many rows were on it. */
static unsigned harm_leaf(const Folder *folder, unsigned n) {
        static const char zeros[4096];
        int64_t page = ask_leaf(folder, "pageno", n);
        unsigned n_rows;
        int fd;

        n_rows = (unsigned)ask_leaf(folder, "ncell", n);
        assert_true(n_rows > 3);

        fd = open(in_folder(folder, "taskflow.db"), O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, zeros, sizeof(zeros), (page - 1) * (off_t)sizeof(zeros)),
                         sizeof(zeros));
        (void)close(fd);
        return n_rows;
}

static void test_recovery_reads_around_pages_amid_elements(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        Loaded *loaded = calloc(1, sizeof(*loaded));
        unsigned n_lost;
        Error error;

        assert_non_null(loaded);
        put_plain(store, 1, 100);
        put(store, array_task(101, ""));
        for (int64_t index = 0; index < 600; index++)
                put_element(store, 101, index, 0);
        put_plain(store, 102, 100);
        assert_int_equal(store_commit(store, false), 0);
        (void)store_free(store);

        n_lost = harm_leaf(folder, 2) + harm_leaf(folder, 8) + harm_leaf(folder, 14);
        harm(folder, "DROP TABLE gpu");
        assert_int_equal(store_open(&store, folder->path, true, &error), 0);
        assert_int_equal(store_load_active(store, note_task, loaded), 0);
        assert_int_equal(loaded->n, 801 - n_lost);
        assert_int_equal(store_n_damaged(store, NULL), 0);
        for (unsigned i = 1; i < loaded->n; i++)
                assert_true(task_ref_order(loaded->ids[i]) > task_ref_order(loaded->ids[i - 1]));
        assert_int_equal(loaded->ids[loaded->n - 1], 201);
        (void)store_free(store);
        free(loaded);
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                store_test(test_an_array_comes_back),
                store_test(test_a_set_of_many_pieces_comes_back),
                store_test(test_what_is_in_other_tables_comes_and_goes),
                store_test(test_a_removed_array_leaves_nothing_but_its_elements),
                store_test(test_what_makes_no_sense_is_not_written),
                store_test(test_active_tasks_come_in_order_an_array_first),
                store_test(test_ended_elements_are_paged_in_order),
                store_test(test_an_array_is_purged_behind_its_elements),
                store_test(test_elements_do_not_change_which_ids_are_given_out),
                store_test(test_an_array_that_makes_no_sense_is_left_out),
                store_test(test_a_database_of_version_1_keeps_all_its_data),
                store_test(test_a_migration_that_fails_leaves_the_old_database),
                store_test(test_recovery_reads_version_1),
                store_test(test_a_database_of_an_older_version_keeps_all_its_data),
                store_test(test_recovery_reads_older_versions),
                store_test(test_recovery_reads_around_pages_amid_elements),
        };

        return cmocka_run_group_tests_name("store-array", tests, NULL, NULL);
}
