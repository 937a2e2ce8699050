/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What becomes of files that are damaged, foreign or from the future
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/recover.h"
#include "util/cleanup.h"
#include "util/fd.h"

#include "check.h"
#include "store-fixture.h"

enum {
        PAGE_BYTES = 4096,
};

static void read_all(const Folder *folder, const char *name, char **ret, size_t *ret_n) {
        assert_int_equal(fd_read_file(AT_FDCWD, in_folder(folder, name), ret, ret_n, 1 << 26), 0);
}

static void write_all(const Folder *folder, const char *name, const void *bytes, size_t n) {
        _cleanup_close_ int fd = -1;

        fd = open(in_folder(folder, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, bytes, n), 0);
}

static void write_page(const Folder *folder, int64_t page, const void *bytes, size_t n) {
        _cleanup_close_ int fd = -1;

        fd = open(in_folder(folder, "taskflow.db"), O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, bytes, n, (page - 1) * PAGE_BYTES), n);
}

/* A store with @n plain tasks and one full one behind them, closed. Return: one more than the last id. */
static uint64_t make_store(const Folder *folder, unsigned n) {
        Store *store = open_store(folder);
        GpuSample gpu = { .uuid = "GPU-a", .name = "a", .total_bytes = 1 };
        Task *full = NULL;
        uint64_t id = 0;

        for (unsigned i = 0; i <= n; i++)
                assert_int_equal(store_take_id(store, &id), 0);
        full = full_task(id);
        assert_int_equal(store_put_task(store, full), 0);
        assert_int_equal(store_put_gpus(store, &gpu, 1), 0);
        put_plain(store, 1, n);
        (void)store_free(store);
        (void)task_free(full);
        return id + 1;
}

static int open_again(const Folder *folder, bool recover, Store **ret, Error *error) {
        *ret = NULL;
        return store_open(ret, folder->path, recover, error);
}

static void assert_recovered(const Folder *folder, unsigned at_least, unsigned at_most) {
        Loaded *loaded = calloc(1, sizeof(*loaded));
        Store *store = NULL;
        Error error;
        int r;

        r = open_again(folder, true, &store, &error);
        if (r != 0)
                fail_msg("%d: %s", r, error.text);
        assert_non_null(strstr(error.text, "taken over"));
        assert_int_equal(store_load_active(store, note_task, loaded), 0);
        assert_in_range(loaded->n, at_least, at_most);
        assert_int_equal(store_n_damaged(store, NULL), 0);
        (void)store_free(store);
        free(loaded);
}

static void test_a_damaged_database_is_set_aside(void **state) {
        static const char noise[3 * PAGE_BYTES] = "no database";
        const Folder *folder = *state;
        _cleanup_free_ char *name = NULL;
        _cleanup_free_ char *bytes = NULL;
        Store *store = NULL;
        size_t n = 0;
        Error error;

        write_all(folder, "taskflow.db", noise, sizeof(noise));
        assert_int_equal(open_again(folder, false, &store, &error), STORE_E_DAMAGED);
        assert_null(store);
        assert_non_null(strstr(error.text, "--recover"));
        assert_false(folder_has(folder, "taskflow.db"));

        name = folder_find(folder, "taskflow.db.damaged-");
        assert_non_null(strstr(error.text, name));
        assert_int_equal(strlen(name), strlen("taskflow.db.damaged-20260131-100000"));
        read_all(folder, name, &bytes, &n);
        assert_int_equal(n, sizeof(noise));
        assert_memory_equal(bytes, noise, n);

        store = open_store(folder); /* empty */
        (void)store_free(store);
}

static void test_several_in_one_second_get_names_of_their_own(void **state) {
        const Folder *folder = *state;
        Store *store;
        Error error;

        for (unsigned i = 1; i <= 5; i++) {
                write_all(folder, "taskflow.db", "noise", 5);
                assert_int_equal(open_again(folder, false, &store, &error), STORE_E_DAMAGED);
                assert_int_equal(folder_count(folder, "taskflow.db.damaged-"), i);
        }
}

/* Its WAL goes with it: that is where the last commits are. */
static void test_the_wal_goes_with_its_database(void **state) {
        const Folder *folder = *state;
        _cleanup_free_ char *name = NULL;
        char wal[96];
        Store *store;
        Error error;

        write_all(folder, "taskflow.db", "noise", 5);
        write_all(folder, "taskflow.db-wal", "noise", 5);
        assert_int_equal(open_again(folder, false, &store, &error), STORE_E_DAMAGED);

        assert_int_equal(folder_count(folder, "taskflow.db.damaged-"), 2);
        name = folder_find(folder, "taskflow.db.damaged-");
        (void)snprintf(wal, sizeof(wal), "%.35s-wal", name);
        assert_true(folder_has(folder, wal));
        assert_false(folder_has(folder, "taskflow.db-wal"));
}

/* SQLite would remove it without a word, with all that was accepted in it. */
static void test_a_wal_without_its_database_is_damage(void **state) {
        const Folder *folder = *state;
        Store *store;
        Error error;

        write_all(folder, "taskflow.db-wal", "noise", 5);
        assert_int_equal(open_again(folder, false, &store, &error), STORE_E_DAMAGED);
        assert_int_equal(folder_count(folder, "taskflow.db.damaged-"), 1);

        write_all(folder, "taskflow.db", "", 0);
        write_all(folder, "taskflow.db-wal", "noise", 5);
        assert_int_equal(open_again(folder, true, &store, &error), 0);
        assert_non_null(strstr(error.text, "0 tasks"));
        (void)store_free(store);
}

static void test_an_empty_file_is_a_new_database(void **state) {
        const Folder *folder = *state;
        Store *store;

        write_all(folder, "taskflow.db", "", 0);
        store = open_store(folder);
        (void)store_free(store);
}

static void test_a_database_of_others_is_not_used(void **state) {
        const Folder *folder = *state;
        Store *store;
        Error error;

        harm(folder, "CREATE TABLE task (id)");
        assert_int_equal(open_again(folder, false, &store, &error), STORE_E_DAMAGED);
        assert_non_null(strstr(error.text, "not made by taskflow"));
}

/* Files as they are, byte by byte. */
static void assert_untouched(const Folder *folder, const char *name, const char *bytes, size_t n) {
        _cleanup_free_ char *now = NULL;
        size_t n_now = 0;

        read_all(folder, name, &now, &n_now);
        assert_int_equal(n_now, n);
        assert_memory_equal(now, bytes, n);
}

static void test_a_newer_database_is_left_alone(void **state) {
        const Folder *folder = *state;
        _cleanup_free_ char *bytes = NULL;
        _cleanup_free_ char *wal = NULL;
        size_t n_bytes = 0;
        size_t n_wal = 0;
        Store *store;
        Error error;
        pid_t pid;

        (void)make_store(folder, 10);

        /* the newer daemon was killed, and left a WAL */
        pid = fork();
        if (pid == 0) {
                sqlite3 *db = NULL;

                (void)sqlite3_open(in_folder(folder, "taskflow.db"), &db);
                (void)sqlite3_exec(db,
                                   "PRAGMA locking_mode = EXCLUSIVE; PRAGMA user_version = 99;"
                                   "CREATE TABLE news (x); INSERT INTO news VALUES (1)",
                                   NULL, NULL, NULL);
                (void)raise(SIGKILL);
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        read_all(folder, "taskflow.db", &bytes, &n_bytes);
        read_all(folder, "taskflow.db-wal", &wal, &n_wal);
        assert_true(n_wal > 0);

        for (int recover = 0; recover < 2; recover++) {
                assert_int_equal(open_again(folder, recover, &store, &error), STORE_E_NEWER);
                assert_non_null(strstr(error.text, "newer"));
                assert_null(store);
                assert_untouched(folder, "taskflow.db", bytes, n_bytes);
                assert_untouched(folder, "taskflow.db-wal", wal, n_wal);
        }
}

static void test_recovery_takes_over_what_can_be_read(void **state) {
        const Folder *folder = *state;
        uint64_t end = make_store(folder, 500);
        _cleanup_(task_freep) Task *want = full_task(end - 1);
        _cleanup_(task_freep) Task *have = NULL;
        Store *store = open_store(folder);
        GpuSample gpus[GPU_MAX];
        uint64_t id = 0;
        char database_id[STORE_DATABASE_ID_CHARS + 1];
        Drain drain = {};
        UserPast past = {};
        Error error;

        (void)snprintf(database_id, sizeof(database_id), "%s", store_database_id(store));
        assert_int_equal(store_put_drain(store, &(Drain){ .on = true, .reason = "new kernel" }), 0);
        assert_int_equal(store_put_pasts(store, &(UserPast){ 7, 8, 9 }, 1), 0);
        assert_int_equal(store_commit(store, false), 0);
        (void)store_free(store);

        /* the tables are whole, but not those that this version knows */
        harm(folder, "DROP TABLE meta; CREATE TABLE meta (one)");
        assert_int_equal(open_again(folder, true, &store, &error), 0);
        assert_non_null(strstr(error.text, "501 tasks"));
        assert_int_equal(store_load_task(store, end - 1, &have), 0);
        assert_task_equal(have, want);
        assert_int_equal(store_get_gpus(store, gpus), 1);
        assert_int_equal(store_get_drain(store, &drain), 0);
        assert_true(drain.on);
        assert_string_equal(drain.reason, "new kernel");
        assert_int_equal(store_get_pasts(store, &past, 1), 1);
        assert_true(past.uid == 7 && past.had == 8 && past.at_us == 9);

        /* its runners must not be matched by number with tasks that another database had */
        assert_string_not_equal(store_database_id(store), database_id);
        assert_int_equal(store_take_id(store, &id), 0);
        assert_true(id >= end);
        (void)store_free(store);
}

static void test_recovery_keeps_the_database_id_it_can_read(void **state) {
        const Folder *folder = *state;
        char database_id[STORE_DATABASE_ID_CHARS + 1];
        Store *store;
        Error error;

        (void)make_store(folder, 3);
        store = open_store(folder);
        (void)snprintf(database_id, sizeof(database_id), "%s", store_database_id(store));
        (void)store_free(store);
        harm(folder, "DROP INDEX task_over; DROP TABLE gpu");

        assert_int_equal(open_again(folder, true, &store, &error), 0);
        assert_string_equal(store_database_id(store), database_id);
        (void)store_free(store);
        store = open_store(folder);
        assert_string_equal(store_database_id(store), database_id);
        (void)store_free(store);
}

/* One leaf of the table of tasks is gone: what stood on it is lost, and nothing else. */
static void test_recovery_reads_around_a_damaged_page(void **state) {
        const Folder *folder = *state;
        char zeros[PAGE_BYTES] = {};
        int64_t page;
        unsigned n;

        (void)make_store(folder, 500);
        page = ask(
                folder,
                "SELECT pageno FROM dbstat WHERE name = 'task' AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 5");
        n = (unsigned)ask(
                folder,
                "SELECT ncell FROM dbstat WHERE name = 'task' AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 5");
        assert_true(n > 3);
        write_page(folder, page, zeros, sizeof(zeros));
        /* and one that is looked at when it is opened */
        write_page(folder, ask(folder, "SELECT rootpage FROM sqlite_schema WHERE name = 'meta'"),
                   zeros, sizeof(zeros));

        assert_recovered(folder, 501 - n, 501 - n);
}

/* Not a million times: of the processor's time, as others need it too, it takes a few ms. */
static void test_recovery_looks_for_a_table_that_is_gone_once(void **state) {
        const Folder *folder = *state;
        clock_t begin;

        (void)make_store(folder, 20);
        harm(folder, "DROP TABLE task");
        begin = clock();
        assert_recovered(folder, 0, 0);
        assert_true(clock() - begin < CLOCKS_PER_SEC);
}

static void test_recovery_of_an_earlier_one_is_done_once(void **state) {
        const Folder *folder = *state;
        Loaded loaded = {};
        Store *store;
        Error error;
        uint64_t end;
        uint64_t id = 0;

        end = make_store(folder, 20);
        harm(folder, "DROP TABLE gpu");
        assert_int_equal(open_again(folder, false, &store, &error), STORE_E_DAMAGED);

        /* the daemon was started again without --recover, and took a task */
        store = open_store(folder);
        assert_int_equal(store_take_id(store, &id), 0);
        assert_true(id >= end);
        put_plain(store, id, 1);
        (void)store_free(store);

        assert_int_equal(open_again(folder, true, &store, &error), 0);
        assert_non_null(strstr(error.text, "21 tasks"));
        assert_int_equal(store_load_active(store, note_task, &loaded), 0);
        assert_int_equal(loaded.n, 22);
        assert_int_equal(store_remove_task(store, 1), 0);
        assert_int_equal(store_commit(store, false), 0);
        (void)store_free(store);

        assert_int_equal(open_again(folder, true, &store, &error), 0);
        assert_string_equal(error.text, "");
        loaded.n = 0;
        assert_int_equal(store_load_active(store, note_task, &loaded), 0);
        assert_int_equal(loaded.n, 21);
        (void)store_free(store);
}

static void test_ids_leap_when_nobody_knows_which_were_given_out(void **state) {
        static const char noise[] = "noise";
        const Folder *folder = *state;
        Store *store;
        Error error;
        uint64_t id = 0;

        (void)make_store(folder, 20);
        write_all(folder, "taskflow.db", noise, sizeof(noise));
        assert_int_equal(unlink(in_folder(folder, "taskflow.ids")), 0);

        assert_int_equal(open_again(folder, true, &store, &error), 0);
        assert_non_null(strstr(error.text, "nobody knows"));
        assert_int_equal(store_take_id(store, &id), 0);
        assert_true(id > 1000000);
        (void)store_free(store);

        store = open_store(folder);
        assert_int_equal(store_take_id(store, &id), 0);
        assert_true(id > 1000000);
        (void)store_free(store);
}

static void put_full(Store *store, uint64_t first, uint64_t last) {
        for (uint64_t id = first; id <= last; id++) {
                Task *task = full_task(id);

                assert_int_equal(store_put_task(store, task), 0);
                (void)task_free(task);
        }
        assert_int_equal(store_commit(store, false), 0);
}

/* Each makes one task of three senseless. */
static const char *const row_harms[] = {
        "UPDATE task SET state = 'nonsense' WHERE id = 2 << 24",
        "UPDATE task SET state = 'done' WHERE id = 2 << 24",
        "UPDATE task SET priority = 201 WHERE id = 2 << 24",
        "UPDATE task SET priority = -1 WHERE id = 2 << 24",
        "UPDATE task SET uid = -1 WHERE id = 2 << 24",
        "UPDATE task SET uid = 4294967295 WHERE id = 2 << 24",
        "UPDATE task SET memory_bytes = -1 WHERE id = 2 << 24",
        "UPDATE task SET cpus = 4294967296 WHERE id = 2 << 24",
        "UPDATE task SET tokens = '' || x'00' WHERE id = 2 << 24",
        "UPDATE task SET tokens = 'matlab:0' WHERE id = 2 << 24",
        "UPDATE task SET tokens = 'matlab:1 matlab:1' WHERE id = 2 << 24",
        "UPDATE task SET tokens = printf('%5000d', 1) WHERE id = 2 << 24",
        "UPDATE task SET delay_us = -2 WHERE id = 2 << 24",
        "UPDATE task SET delay_given = 2 WHERE id = 2 << 24",
        "UPDATE task SET pin = '' WHERE id = 2 << 24",
        "UPDATE task SET key = x'00' WHERE id = 2 << 24",
        "UPDATE task SET argv = x'6162' WHERE id = 2 << 24",
        "UPDATE task SET argv = zeroblob(20000000) WHERE id = 2 << 24",
        "UPDATE task SET name = 'a' || char(0) || 'b' WHERE id = 2 << 24",
        "UPDATE task SET name = cast(x'ff' AS TEXT) WHERE id = 2 << 24",
        "UPDATE task SET command = printf('%5000d', 1) WHERE id = 2 << 24",
        "UPDATE task SET boot_id = printf('%37d', 1) WHERE id = 2 << 24",
        "UPDATE task SET exit_status = 256 WHERE id = 2 << 24",
        "UPDATE task SET exit_status = -1 WHERE id = 2 << 24",
        "UPDATE task SET signal = 128 WHERE id = 2 << 24",
        "UPDATE task SET pid = 4294967296 WHERE id = 2 << 24",
        "UPDATE task SET pid = -5 WHERE id = 2 << 24",
        "UPDATE task SET n_gpus = 1 WHERE id = 2 << 24",
        "UPDATE task SET n_gpus = 3 WHERE id = 2 << 24",
        "UPDATE task SET n_gpus = 65 WHERE id = 2 << 24",
        "UPDATE task SET n_gpus = 9223372036854775807 WHERE id = 2 << 24",
        "UPDATE task_gpu SET want = '' WHERE task_id = 2 << 24 AND n = 1",
        "UPDATE task_gpu SET want = printf('%96d', 1) WHERE task_id = 2 << 24 AND n = 1",
        "UPDATE task_gpu SET bytes = -1 WHERE task_id = 2 << 24 AND n = 1",
        "UPDATE task_gpu SET grant_index = -1 WHERE task_id = 2 << 24 AND n = 1",
        "UPDATE task_gpu SET granted = 0 WHERE task_id = 2 << 24 AND n = 1",
        "UPDATE task_gpu SET granted = 0 WHERE task_id = 2 << 24 AND n = 0",
        "UPDATE task_gpu SET granted = 0 WHERE task_id = 2 << 24",
        "UPDATE task_gpu SET n = 7 WHERE task_id = 2 << 24 AND n = 1",
        "UPDATE task_gpu SET n = -1 WHERE task_id = 2 << 24 AND n = 1",
        "DELETE FROM task_gpu WHERE task_id = 2 << 24",
        "UPDATE task SET requeue = 2 WHERE id = 2 << 24",
        "UPDATE task SET retry_max = 1001 WHERE id = 2 << 24",
        "UPDATE task SET attempt = -1 WHERE id = 2 << 24",
        "UPDATE task SET output = cast(x'ff' AS TEXT) WHERE id = 2 << 24",
        "UPDATE task SET is_array = 1 WHERE id = 2 << 24",
        "UPDATE task SET n_after = 1 WHERE id = 2 << 24",
        "UPDATE task SET n_after = 3 WHERE id = 2 << 24",
        "UPDATE task SET n_after = 257 WHERE id = 2 << 24",
        "UPDATE task_after SET after_id = 0 WHERE task_id = 2 << 24 AND n = 1",
        "UPDATE task_after SET after_id = 549755813888 WHERE task_id = 2 << 24 AND n = 1",
        "UPDATE task_after SET any = 2 WHERE task_id = 2 << 24 AND n = 1",
        "UPDATE task_after SET n = 5 WHERE task_id = 2 << 24 AND n = 1",
        "DELETE FROM task_after WHERE task_id = 2 << 24",
};

/* The others are still read. */
static void test_a_row_that_makes_no_sense_is_left_out(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);

        put_full(store, 1, 3);
        (void)store_free(store);

        for (size_t i = 0; i < ELEMENTSOF(row_harms); i++) {
                Loaded loaded = {};
                Task *none = NULL;
                const char *last = "";

                harm(folder, row_harms[i]);
                store = open_store(folder);
                assert_int_equal(store_load_active(store, note_task, &loaded), 0);
                if (loaded.n != 2 || store_n_damaged(store, &last) != 1)
                        fail_msg("%s: %u loaded, %u damaged", row_harms[i], loaded.n,
                                 store_n_damaged(store, NULL));
                assert_non_null(strstr(last, "task 2: "));
                assert_int_equal(store_load_task(store, 2, &none), -EUCLEAN);
                assert_int_equal(store_n_damaged(store, NULL), 2);

                assert_int_equal(store_remove_task(store, 2), 0);
                put_full(store, 2, 2);
                (void)store_free(store);
        }
}

static void test_an_id_out_of_range_is_left_out_and_not_continued(void **state) {
        static const char *const harms[] = {
                "UPDATE task SET id = -5 WHERE id = 2 << 24",
                "UPDATE task SET id = 0 WHERE id = 2 << 24",
                "UPDATE task SET id = 2 WHERE id = 2 << 24",
                "UPDATE task SET id = 9223372036854775807 WHERE id = 2 << 24",
        };
        const Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(harms); i++) {
                Loaded loaded = {};
                Store *store = open_store(folder);
                uint64_t id = 0;

                put_plain(store, 1, 2);
                (void)store_free(store);
                harm(folder, harms[i]);

                store = open_store(folder);
                assert_int_equal(store_load_active(store, note_task, &loaded), 0);
                assert_int_equal(loaded.n, 1);
                assert_int_equal(store_take_id(store, &id), 0);
                assert_true(id < 1000000);
                (void)store_free(store);
                harm(folder, "DELETE FROM task");
        }
}

static void test_a_gpu_that_makes_no_sense_is_left_out(void **state) {
        static const char *const harms[] = {
                "UPDATE gpu SET gpu_index = -1 WHERE uuid = 'GPU-b'",
                "UPDATE gpu SET uuid = '' WHERE uuid = 'GPU-b'",
                "UPDATE gpu SET uuid = printf('%96d', 1) WHERE uuid = 'GPU-b'",
                "UPDATE gpu SET total_bytes = -1 WHERE uuid = 'GPU-b'",
        };
        const Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(harms); i++) {
                GpuSample gpus[] = { { .uuid = "GPU-a" }, { .uuid = "GPU-b", .index = 1 } };
                GpuSample have[GPU_MAX];
                Store *store = open_store(folder);

                assert_int_equal(store_put_gpus(store, gpus, 2), 0);
                assert_int_equal(store_commit(store, false), 0);
                (void)store_free(store);
                harm(folder, harms[i]);

                store = open_store(folder);
                assert_int_equal(store_get_gpus(store, have), 1);
                assert_string_equal(have[0].uuid, "GPU-a");
                assert_int_equal(store_n_damaged(store, NULL), 1);
                (void)store_free(store);
        }
}

static void test_more_gpus_than_there_can_be_are_cut_off(void **state) {
        const Folder *folder = *state;
        GpuSample have[GPU_MAX];
        Store *store = open_store(folder);

        (void)store_free(store);
        harm(folder, "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
                     "INSERT INTO gpu SELECT 'GPU-' || i, '', i, 1, 'nvidia', 0 FROM n");
        store = open_store(folder);
        assert_int_equal(store_get_gpus(store, have), GPU_MAX);
        (void)store_free(store);
}

static void test_a_senseless_id_of_the_database_is_damage(void **state) {
        static const char *const harms[] = {
                "UPDATE meta SET database_id = 'x'",
                "UPDATE meta SET database_id = upper(hex(zeroblob(16))) || 'A'",
                "UPDATE meta SET ids_end = 0",
                "UPDATE meta SET ids_end = 9223372036854775807",
                "DELETE FROM meta",
                "DROP TABLE task_gpu",
                "ALTER TABLE task DROP COLUMN cwd",
                "PRAGMA user_version = 0",
                "PRAGMA user_version = -1",
                "PRAGMA application_id = 1",
        };
        const Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(harms); i++) {
                Store *store = open_store(folder);
                Error error;

                (void)store_free(store);
                harm(folder, harms[i]);
                if (open_again(folder, false, &store, &error) != STORE_E_DAMAGED)
                        fail_msg("%s: %s", harms[i], error.text);
        }
}

/* A trigger or a view in the file does not run: it could do what its author may not. */
static void test_code_in_the_file_does_not_run(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);

        (void)store_free(store);
        harm(folder,
             "CREATE TRIGGER t AFTER INSERT ON task BEGIN DELETE FROM gpu; DELETE FROM meta; END");
        store = open_store(folder);
        put_plain(store, 1, 1);
        (void)store_free(store);
        assert_int_equal(ask(folder, "SELECT count(*) FROM meta"), 1);
}

/* Nothing that is read at the start is wrong: only looking through the whole file finds it. */
static void harm_an_index(const Folder *folder, const char *boot_id, bool closed) {
        static const char zeros[PAGE_BYTES];
        char sql[128];
        int64_t page;

        (void)make_store(folder, 300);
        page = ask(folder,
                   "SELECT max(pageno) FROM dbstat WHERE name = 'task_key' AND pagetype = 'leaf'");
        (void)snprintf(sql, sizeof(sql), "UPDATE meta SET boot_id = %s", boot_id);
        harm(folder, sql);
        write_page(folder, page, zeros, sizeof(zeros));
        if (!closed)
                write_all(folder, "taskflow.db-wal", "noise", 5);
}

static void test_after_a_power_cut_the_whole_file_is_looked_at(void **state) {
        Store *store = NULL;
        Error error;

        harm_an_index(*state, "'another'", false);
        assert_int_equal(open_again(*state, false, &store, &error), STORE_E_DAMAGED);
}

/* What was found while reading: --recover must find it too. */
static void test_recovery_looks_at_the_whole_file(void **state) {
        harm_an_index(*state, "boot_id", true);
        assert_recovered(*state, 301, 301);
}

static void test_after_a_kill_or_an_end_it_is_not(void **state) {
        const Folder *folder = *state;
        Store *store;

        harm_an_index(folder, "boot_id", false);
        store = open_store(folder);
        (void)store_free(store);
        assert_int_equal(unlink(in_folder(folder, "taskflow.db")), 0);

        harm_an_index(folder, "'another'", true);
        store = open_store(folder);
        (void)store_free(store);
}

static uint32_t next_random(uint32_t *seed) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        *seed ^= *seed << 5;
        return *seed;
}

static int drop_task(Task *task, void *userdata) {
        (void)task_free(task);
        return 0;
}

/* Everything that reads and writes; it may fail, but not crash, hang, or go on after it failed. */
static void use(Store *store) {
        GpuSample gpus[GPU_MAX];
        uint64_t id = 0;
        Task *task;

        (void)store_load_active(store, drop_task, NULL);
        (void)store_load_ended(store, UINT64_MAX, (uid_t)-1, 1000, drop_task, NULL);
        (void)store_load_ended(store, UINT64_MAX, 1000, 1000, drop_task, NULL);
        (void)store_get_gpus(store, gpus);
        if (store_take_id(store, &id) == 0) {
                task = full_task(id);
                if (store_put_task(store, task) == 0)
                        (void)store_commit(store, true);
                (void)task_free(task);
        }
        (void)store_purge(store, UINT64_MAX, 100);
        (void)store_remove_task(store, 5);
        (void)store_commit(store, false);
}

/* Any bytes of the file may be wrong. */
static void test_no_damage_is_too_much(void **state) {
        const char *rounds = getenv("TASKFLOW_TEST_ROUNDS");
        unsigned n_rounds = rounds ? (unsigned)strtoul(rounds, NULL, 10) : 25;
        const Folder *folder = *state;
        _cleanup_free_ char *bytes = NULL;
        size_t n = 0;
        uint32_t seed = 1;

        (void)make_store(folder, 300);
        read_all(folder, "taskflow.db", &bytes, &n);

        for (unsigned round = 0; round < n_rounds; round++) {
                _cleanup_free_ char *harmed = malloc(n);
                _cleanup_free_ char *name = NULL;
                unsigned n_harms = 1 + next_random(&seed) % 30;
                Store *store = NULL;
                int r;

                memcpy(harmed, bytes, n);
                for (unsigned i = 0; i < n_harms; i++) {
                        size_t at = next_random(&seed) % n;

                        harmed[at] = (char)next_random(&seed);
                        if (i == 0 && round % 3 == 0)
                                memset(harmed + at, (int)next_random(&seed), (n - at) % PAGE_BYTES);
                }
                write_all(folder, "taskflow.db", harmed,
                          round % 5 == 0 ? next_random(&seed) % n : n);

                r = store_open(&store, folder->path, round % 2, NULL);
                if (r == 0)
                        use(store);
                (void)store_free(store);
                (void)unlink(in_folder(folder, "taskflow.db"));
                (void)unlink(in_folder(folder, "taskflow.db-wal"));
                while (folder_count(folder, "taskflow.db.damaged-") > 0) {
                        free(name);
                        name = folder_find(folder, "taskflow.db.damaged-");
                        assert_int_equal(unlink(in_folder(folder, name)), 0);
                }
        }
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                store_test(test_a_damaged_database_is_set_aside),
                store_test(test_several_in_one_second_get_names_of_their_own),
                store_test(test_the_wal_goes_with_its_database),
                store_test(test_a_wal_without_its_database_is_damage),
                store_test(test_an_empty_file_is_a_new_database),
                store_test(test_a_database_of_others_is_not_used),
                store_test(test_a_newer_database_is_left_alone),
                store_test(test_recovery_takes_over_what_can_be_read),
                store_test(test_recovery_keeps_the_database_id_it_can_read),
                store_test(test_recovery_reads_around_a_damaged_page),
                store_test(test_recovery_looks_for_a_table_that_is_gone_once),
                store_test(test_recovery_of_an_earlier_one_is_done_once),
                store_test(test_ids_leap_when_nobody_knows_which_were_given_out),
                store_test(test_a_row_that_makes_no_sense_is_left_out),
                store_test(test_an_id_out_of_range_is_left_out_and_not_continued),
                store_test(test_a_gpu_that_makes_no_sense_is_left_out),
                store_test(test_more_gpus_than_there_can_be_are_cut_off),
                store_test(test_a_senseless_id_of_the_database_is_damage),
                store_test(test_code_in_the_file_does_not_run),
                store_test(test_after_a_power_cut_the_whole_file_is_looked_at),
                store_test(test_recovery_looks_at_the_whole_file),
                store_test(test_after_a_kill_or_an_end_it_is_not),
                store_test(test_no_damage_is_too_much),
        };

        return cmocka_run_group_tests_name("store-recover", tests, NULL, NULL);
}
