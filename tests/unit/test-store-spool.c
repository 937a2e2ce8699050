/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What an agent keeps of tasks that wait
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "store/spool.h"
#include "util/cleanup.h"
#include "util/fd.h"

#include "check.h"
#include "store-fixture.h"

static Spool *open_spool(const Folder *folder) {
        Spool *spool = NULL;
        Error error;
        int r;

        r = spool_open(&spool, folder->path, &error);
        if (r != 0)
                fail_msg("cannot open the spool: %d, %s", r, error.text);
        assert_string_equal(error.text, "");
        return spool;
}

static void run_sql(const Folder *folder, const char *sql) {
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(in_folder(folder, "agent.db"), &db), SQLITE_OK);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* A task that borrows all it has; @i from 1 on. */
static SpoolTask sample(uint8_t i, uint64_t context_id) {
        static char argv[] = "sh\0-c\0make \xff", output[] = "/tmp/\xff{id}.log", name[] = "n\xff";

        return (SpoolTask){ .key = { i, [15] = 7 },
                            .id = i,
                            .context_id = context_id,
                            .argv = argv,
                            .n_argv = sizeof(argv),
                            .output = output,
                            .name = name,
                            .give_up_at_us = 1769853600000000 + i };
}

static uint64_t put_context(Spool *spool, const char *text) {
        uint64_t id = 0;

        assert_int_equal(spool_put_context(spool, text, strlen(text), &id), 0);
        assert_true(id > 0);
        return id;
}

/* Its row. */
static int64_t put_task(Spool *spool, const SpoolTask *task) {
        int64_t row = 0;

        assert_int_equal(spool_put_task(spool, task, &row), 0);
        return row;
}

/* @n tasks from 1 on, of one context, in rows that are called as they are, committed. */
static uint64_t put_tasks(Spool *spool, uint8_t n) {
        uint64_t context_id = put_context(spool, "HOME=/home/alice");

        for (uint8_t i = 1; i <= n; i++) {
                SpoolTask task = sample(i, context_id);

                assert_int_equal(put_task(spool, &task), i);
        }
        assert_int_equal(spool_commit(spool, false), 0);
        return context_id;
}

static void assert_text(const char *have, const char *want) {
        assert_int_equal(!have, !want);
        if (want)
                assert_string_equal(have, want);
}

static void assert_task(SpoolTask *have, const SpoolTask *want) {
        assert_memory_equal(have->key, want->key, TASK_KEY_BYTES);
        assert_int_equal(have->id, want->id);
        assert_int_equal(have->context_id, want->context_id);
        assert_int_equal(have->n_argv, want->n_argv);
        if (want->n_argv > 0)
                assert_memory_equal(have->argv, want->argv, want->n_argv);
        assert_text(have->output, want->output);
        assert_text(have->name, want->name);
        assert_int_equal(have->give_up_at_us, want->give_up_at_us);
        spool_task_done(have);
}

static void assert_no_context(Spool *spool, uint64_t id) {
        void *bytes = NULL;
        size_t n;

        assert_int_equal(spool_load_context(spool, id, &bytes, &n), -ENOENT);
        assert_null(bytes);
}

static void assert_context(Spool *spool, uint64_t id, const char *want) {
        void *bytes = NULL;
        size_t n = 0;

        assert_int_equal(spool_load_context(spool, id, &bytes, &n), 0);
        assert_int_equal(n, strlen(want));
        assert_memory_equal(bytes, want, n);
        free(bytes);
}

static void test_a_task_comes_back_by_its_row_and_its_key(void **state) {
        const Folder *folder = *state;
        Spool *spool = open_spool(folder);
        SpoolTask want = sample(1, put_context(spool, "a")), have = {};
        int64_t row = put_task(spool, &want);

        assert_int_equal(spool_load_task(spool, row, want.key, &have), 0);
        assert_task(&have, &want);
        assert_int_equal(spool_commit(spool, true), 0);
        (void)spool_free(spool);

        spool = open_spool(folder);
        assert_int_equal(spool_load_task(spool, row, want.key, &have), 0);
        assert_task(&have, &want);
        assert_context(spool, want.context_id, "a");

        assert_int_equal(spool_load_task(spool, row + 1, want.key, &have), -ENOENT);
        want.key[0]++;
        assert_int_equal(spool_load_task(spool, row, want.key, &have), -ENOENT);
        (void)spool_free(spool);
}

static void test_a_task_of_nothing_comes_back(void **state) {
        _cleanup_(spool_freep) Spool *spool = open_spool(*state);
        SpoolTask want = { .key = { 1 }, .context_id = put_context(spool, "a") }, have = {};
        int64_t row = put_task(spool, &want);

        assert_int_equal(spool_load_task(spool, row, want.key, &have), 0);
        assert_task(&have, &want);
}

static void test_an_id_is_given_later(void **state) {
        _cleanup_(spool_freep) Spool *spool = open_spool(*state);
        SpoolTask task = sample(1, put_context(spool, "a")), have = {};
        int64_t row;

        task.id = 0;
        row = put_task(spool, &task);
        assert_int_equal(spool_set_id(spool, row, task.key, TASK_ID_MAX), 0);
        assert_int_equal(spool_set_id(spool, row, task.key, TASK_ID_MAX), 0);
        assert_int_equal(spool_set_id(spool, row, task.key, 0), -ERANGE);
        assert_int_equal(spool_set_id(spool, row, task.key, task_ref(1, 0)), -ERANGE);
        task.id = TASK_ID_MAX;
        assert_int_equal(spool_load_task(spool, row, task.key, &have), 0);
        assert_task(&have, &task);

        assert_int_equal(spool_set_id(spool, row + 1, task.key, 5), -ENOENT);
        task.key[3]++;
        assert_int_equal(spool_set_id(spool, row, task.key, 5), -ENOENT);
        assert_int_equal(spool_n(spool), 1);
}

/* As after an undone transaction: what is still called by its row is not what lies there now. */
static void test_a_row_that_is_another_tasks_now_is_left_alone(void **state) {
        _cleanup_(spool_freep) Spool *spool = open_spool(*state);
        SpoolTask former = sample(1, put_context(spool, "a")), now = sample(2, former.context_id);
        SpoolTask have = {};
        int64_t row = put_task(spool, &former);

        assert_int_equal(spool_remove_task(spool, row, former.key), 0);
        now.context_id = put_context(spool, "b");
        assert_int_equal(put_task(spool, &now), row);
        assert_int_equal(spool_set_id(spool, row, former.key, 5), -ENOENT);
        assert_int_equal(spool_remove_task(spool, row, former.key), 0);
        assert_int_equal(spool_n(spool), 1);
        assert_int_equal(spool_load_task(spool, row, now.key, &have), 0);
        assert_task(&have, &now);
}

static void test_what_makes_no_sense_is_refused(void **state) {
        _cleanup_(spool_freep) Spool *spool = open_spool(*state);
        SpoolTask task = sample(1, put_context(spool, "a")), bad;
        int64_t row;
        uint64_t id;

        (void)put_task(spool, &task);
        bad = sample(2, 0);
        assert_int_equal(spool_put_task(spool, &bad, &row), -EINVAL);
        bad = sample(2, 1);
        memset(bad.key, 0, sizeof(bad.key));
        assert_int_equal(spool_put_task(spool, &bad, &row), -EINVAL);
        bad = sample(2, 1);
        bad.id = task_ref(1, 0);
        assert_int_equal(spool_put_task(spool, &bad, &row), -ERANGE);
        bad = sample(2, 1);
        bad.give_up_at_us = UINT64_MAX;
        assert_int_equal(spool_put_task(spool, &bad, &row), -ERANGE);
        bad = sample(2, 1);
        bad.n_argv = SPOOL_BYTES_MAX + 1;
        assert_int_equal(spool_put_task(spool, &bad, &row), -E2BIG);
        assert_int_equal(spool_put_context(spool, "", 0, &id), -EINVAL);
        assert_int_equal(spool_put_context(spool, "", SPOOL_BYTES_MAX + 1, &id), -E2BIG);
        assert_int_equal(spool_n(spool), 1);
}

static void test_a_context_is_kept_once(void **state) {
        _cleanup_(spool_freep) Spool *spool = open_spool(*state);
        char *large = calloc(1, 1 << 20);
        uint64_t a = put_context(spool, "a"), b = put_context(spool, "b"), id = 0;
        void *bytes = NULL;
        size_t n = 0;

        assert_non_null(large);
        assert_int_not_equal(a, b);
        assert_int_equal(put_context(spool, "a"), a);
        assert_int_equal(spool_commit(spool, false), 0);
        assert_int_equal(put_context(spool, "b"), b);
        assert_false(spool_is_dirty(spool));

        large[5] = 'x';
        assert_int_equal(spool_put_context(spool, large, 1 << 20, &id), 0);
        assert_int_equal(spool_load_context(spool, id, &bytes, &n), 0);
        assert_int_equal(n, 1 << 20);
        assert_memory_equal(bytes, large, n);
        free(bytes);
        free(large);
        assert_no_context(spool, id + 1);
        assert_no_context(spool, UINT64_MAX);
}

static void test_a_context_goes_with_the_last_task_that_has_it(void **state) {
        const Folder *folder = *state;
        Spool *spool = open_spool(folder);
        uint64_t context_id = put_tasks(spool, 2), unused;
        SpoolTask task = sample(1, context_id);

        assert_int_equal(spool_remove_task(spool, 1, task.key), 0);
        assert_int_equal(spool_remove_task(spool, 1, task.key), 0);
        assert_context(spool, context_id, "HOME=/home/alice");
        assert_int_equal(spool_n(spool), 1);
        task = sample(2, context_id);
        assert_int_equal(spool_remove_task(spool, 2, task.key), 0);
        assert_no_context(spool, context_id);
        assert_int_equal(spool_n(spool), 0);

        unused = put_context(spool, "nobody's");
        assert_int_equal(spool_commit(spool, false), 0);
        assert_context(spool, unused, "nobody's");
        (void)spool_free(spool);
        spool = open_spool(folder);
        assert_no_context(spool, unused);
        (void)spool_free(spool);
}

static void test_a_context_that_went_is_kept_anew(void **state) {
        _cleanup_(spool_freep) Spool *spool = open_spool(*state);
        SpoolTask task = sample(1, put_context(spool, "a"));
        uint64_t other = put_context(spool, "b");
        int64_t row = put_task(spool, &task);

        assert_int_equal(put_context(spool, "a"),
                         task.context_id); /* what is asked for last is remembered */
        assert_int_equal(spool_remove_task(spool, row, task.key), 0);
        assert_no_context(spool, task.context_id);
        task.context_id = put_context(spool, "a");
        assert_int_not_equal(task.context_id, other);
        assert_context(spool, task.context_id, "a");
        assert_context(spool, other, "b");
}

/* A child that may write no more than it has, which is as good as a full disk. Return: as spool_commit(). */
static int commit_on_a_full_disk(Spool *spool) {
        struct rlimit limit = { .rlim_cur = 1, .rlim_max = RLIM_INFINITY }, former;
        int r;

        assert_int_equal(getrlimit(RLIMIT_FSIZE, &former), 0);
        limit.rlim_max = former.rlim_max;
        (void)signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        r = spool_commit(spool, false);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &former), 0);
        return r;
}

static void test_what_is_undone_counts_for_no_context(void **state) {
        _cleanup_(spool_freep) Spool *spool = open_spool(*state);
        uint64_t context_id = put_tasks(spool, 3), undone;
        SpoolTask task = sample(1, context_id), more = sample(4, context_id);

        assert_int_equal(spool_remove_task(spool, 1, task.key), 0); /* from here on it is counted */
        assert_int_equal(spool_commit(spool, false), 0);

        task = sample(2, context_id);
        assert_int_equal(spool_remove_task(spool, 2, task.key), 0);
        (void)put_task(spool, &more);
        undone = put_context(spool, "undone");
        assert_true(commit_on_a_full_disk(spool) < 0);
        assert_int_equal(spool_n(spool), 2);
        assert_no_context(spool, undone);
        assert_int_equal(put_context(spool, "undone"), undone);
        assert_context(spool, undone, "undone");

        assert_int_equal(spool_remove_task(spool, 2, task.key), 0);
        assert_context(spool, context_id, "HOME=/home/alice");
        task = sample(3, context_id);
        assert_int_equal(spool_remove_task(spool, 3, task.key), 0);
        assert_no_context(spool, context_id);
        assert_int_equal(spool_n(spool), 0);
}

/* Version 1 had three indexes more. */
static void test_a_database_of_version_1_is_taken_on(void **state) {
        const Folder *folder = *state;
        Spool *spool = open_spool(folder);
        uint64_t context_id = put_tasks(spool, 2);
        SpoolTask want = sample(1, context_id), have = {};

        (void)spool_free(spool);
        run_sql(folder, "CREATE UNIQUE INDEX task_key ON task (key);"
                        "CREATE UNIQUE INDEX task_id ON task (id) WHERE id IS NOT NULL;"
                        "CREATE INDEX task_context ON task (context_id);"
                        "PRAGMA user_version = 1");
        spool = open_spool(folder);
        assert_int_equal(spool_n(spool), 2);
        assert_int_equal(spool_load_task(spool, 1, want.key, &have), 0);
        assert_task(&have, &want);
        assert_int_equal(spool_remove_task(spool, 1, want.key), 0);
        assert_context(spool, context_id, "HOME=/home/alice");
        assert_int_equal(spool_commit(spool, false), 0);
        (void)spool_free(spool);
        run_sql(folder, "CREATE INDEX task_key ON task (key);" /* it is gone */
                        "DROP INDEX task_key");
        spool = open_spool(folder);
        assert_int_equal(spool_n(spool), 1);
        (void)spool_free(spool);
}

typedef struct Entries {
        unsigned n;
        unsigned stop_at;
        SpoolEntry entries[64];
} Entries;

static int note_entry(const SpoolEntry *entry, void *userdata) {
        Entries *entries = userdata;

        assert_true(entries->n < ELEMENTSOF(entries->entries));
        entries->entries[entries->n++] = *entry;
        return entries->n == entries->stop_at ? -ECANCELED : 0;
}

static void test_each_task_is_told_in_order(void **state) {
        _cleanup_(spool_freep) Spool *spool = open_spool(*state);
        Entries entries = {}, few = { .stop_at = 3 };

        (void)put_tasks(spool, 20);
        assert_int_equal(spool_each(spool, note_entry, &entries), 0);
        assert_int_equal(entries.n, 20);
        for (uint8_t i = 0; i < 20; i++) {
                SpoolTask want = sample(i + 1, 1);

                assert_int_equal(entries.entries[i].row, i + 1);
                assert_memory_equal(entries.entries[i].key, want.key, TASK_KEY_BYTES);
                assert_int_equal(entries.entries[i].id, want.id);
                assert_int_equal(entries.entries[i].give_up_at_us, want.give_up_at_us);
        }
        assert_int_equal(spool_each(spool, note_entry, &few), -ECANCELED);
        assert_int_equal(few.n, 3);
        (void)put_context(spool, "and that does not hold up what follows");
}

static void test_meta_is_remembered(void **state) {
        const Folder *folder = *state;
        Spool *spool = open_spool(folder);
        char *text = NULL;

        assert_int_equal(spool_get_meta(spool, "database", &text), -ENOENT);
        assert_int_equal(spool_put_meta(spool, "database", "00ff"), 0);
        assert_int_equal(spool_put_meta(spool, "database", "11ff"), 0);
        assert_int_equal(spool_put_meta(spool, "boot_id", "x"), -EINVAL);
        assert_int_equal(spool_put_meta(spool, "", "x"), -EINVAL);
        assert_int_equal(spool_commit(spool, true), 0);
        (void)spool_free(spool);

        spool = open_spool(folder);
        assert_int_equal(spool_get_meta(spool, "database", &text), 0);
        assert_string_freed(text, "11ff");
        assert_int_equal(spool_put_meta(spool, "database", NULL), 0);
        assert_int_equal(spool_get_meta(spool, "database", &text), -ENOENT);
        (void)spool_free(spool);
}

static void test_a_kill_loses_nothing_that_was_committed(void **state) {
        const Folder *folder = *state;
        int status = 0;
        Spool *spool;
        pid_t pid;

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                SpoolTask task = sample(21, 1);

                spool = open_spool(folder);
                (void)put_tasks(spool, 20);
                (void)put_task(spool, &task);
                (void)raise(SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));

        spool = open_spool(folder);
        assert_int_equal(spool_n(spool), 20);
        (void)spool_free(spool);
}

static void test_files_are_the_owners_alone(void **state) {
        const Folder *folder = *state;
        mode_t mask = umask(0);
        Spool *spool = open_spool(folder);
        struct stat st;

        (void)umask(mask);
        (void)put_tasks(spool, 3);
        assert_int_equal(stat(in_folder(folder, "agent.db"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(stat(in_folder(folder, "agent.db-wal"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        (void)spool_free(spool);
}

static void test_another_program_that_has_it_open_is_no_damage(void **state) {
        const Folder *folder = *state;
        int status = 0;
        Spool *spool = open_spool(folder);
        pid_t pid;

        (void)put_tasks(spool, 1);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                Spool *second = NULL;

                _exit(spool_open(&second, folder->path, NULL) == SPOOL_E_BUSY ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        (void)spool_free(spool);
        assert_int_equal(folder_count(folder, "agent.db.damaged-"), 0);
}

static void test_a_damaged_database_is_set_aside(void **state) {
        static const char *const harms[] = {
                NULL, /* no database at all */
                "PRAGMA application_id = 1",
                "PRAGMA user_version = 0",
                "DROP TABLE context",
                "DROP TABLE meta",
                "ALTER TABLE task DROP COLUMN name",
        };
        const Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(harms); i++) {
                Spool *spool = open_spool(folder);
                Error error = { "" };

                (void)put_tasks(spool, 3);
                (void)spool_free(spool);
                if (harms[i])
                        run_sql(folder, harms[i]);
                else {
                        _cleanup_close_ int fd =
                                open(in_folder(folder, "agent.db"), O_WRONLY | O_TRUNC | O_CLOEXEC);

                        assert_int_equal(fd_write_all(fd, "noise", 5), 0);
                }

                spool = NULL;
                if (spool_open(&spool, folder->path, &error) != 0)
                        fail_msg("%s: %s", harms[i], error.text);
                assert_non_null(strstr(error.text, "set aside as 'agent.db.damaged-"));
                assert_true(folder_count(folder, "agent.db.damaged-") > i); /* some with a WAL */
                assert_int_equal(spool_n(spool), 0);
                (void)put_tasks(spool, 1);
                (void)spool_free(spool);

                spool = open_spool(folder);
                assert_int_equal(spool_n(spool), 1);
                (void)spool_free(spool);
                run_sql(folder, "DELETE FROM task");
        }
}

static void test_a_newer_database_is_left_alone(void **state) {
        const Folder *folder = *state;
        Spool *spool = open_spool(folder);
        Error error;

        (void)spool_free(spool);
        run_sql(folder, "PRAGMA user_version = 3");
        spool = NULL;
        assert_int_equal(spool_open(&spool, folder->path, &error), SPOOL_E_NEWER);
        assert_non_null(strstr(error.text, "newer"));
        assert_null(spool);
        assert_int_equal(folder_count(folder, "agent.db.damaged-"), 0);
}

static void test_a_folder_that_is_not_there_is_said(void **state) {
        const Folder *folder = *state;
        Spool *spool = NULL;
        Error error;

        assert_int_equal(spool_open(&spool, in_folder(folder, "none"), &error), -ENOENT);
        assert_non_null(strstr(error.text, "/none': No such file or directory"));
}

static void test_a_row_that_makes_no_sense_is_left_out(void **state) {
        static const char *const harms[] = {
                "UPDATE task SET key = x'00' WHERE id = 2",
                "UPDATE task SET key = zeroblob(16) WHERE id = 2",
                "UPDATE task SET give_up_at_us = -1 WHERE id = 2",
        };
        const Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(harms); i++) {
                Spool *spool = open_spool(folder);
                Entries entries = {};
                SpoolTask task = {}, second = sample(2, 1);

                (void)put_tasks(spool, 3);
                (void)spool_free(spool);
                run_sql(folder, harms[i]);
                spool = open_spool(folder);
                assert_int_equal(spool_each(spool, note_entry, &entries), 0);
                assert_int_equal(entries.n, 2);
                assert_int_equal(spool_load_task(spool, 2, second.key, &task), -EUCLEAN);
                assert_null(task.argv);
                (void)spool_free(spool);
                run_sql(folder, "DELETE FROM task");
        }
}

static void assert_makes_no_sense(const Folder *folder, const char *harm) {
        Spool *spool = open_spool(folder);
        SpoolTask task = {}, first = sample(1, 1);

        (void)put_tasks(spool, 1);
        (void)spool_free(spool);
        run_sql(folder, harm);
        spool = open_spool(folder);
        assert_int_equal(spool_load_task(spool, 1, first.key, &task), -EUCLEAN);
        (void)spool_free(spool);
}

static void test_a_name_with_a_nul_makes_no_sense(void **state) {
        assert_makes_no_sense(*state, "UPDATE task SET name = x'610062'");
}

static void test_a_task_without_a_context_makes_no_sense(void **state) {
        assert_makes_no_sense(*state, "UPDATE task SET context_id = 0");
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                store_test(test_a_task_comes_back_by_its_row_and_its_key),
                store_test(test_a_task_of_nothing_comes_back),
                store_test(test_an_id_is_given_later),
                store_test(test_a_row_that_is_another_tasks_now_is_left_alone),
                store_test(test_what_makes_no_sense_is_refused),
                store_test(test_a_context_is_kept_once),
                store_test(test_a_context_goes_with_the_last_task_that_has_it),
                store_test(test_a_context_that_went_is_kept_anew),
                store_test(test_what_is_undone_counts_for_no_context),
                store_test(test_a_database_of_version_1_is_taken_on),
                store_test(test_each_task_is_told_in_order),
                store_test(test_meta_is_remembered),
                store_test(test_a_kill_loses_nothing_that_was_committed),
                store_test(test_files_are_the_owners_alone),
                store_test(test_another_program_that_has_it_open_is_no_damage),
                store_test(test_a_damaged_database_is_set_aside),
                store_test(test_a_newer_database_is_left_alone),
                store_test(test_a_folder_that_is_not_there_is_said),
                store_test(test_a_row_that_makes_no_sense_is_left_out),
                store_test(test_a_name_with_a_nul_makes_no_sense),
                store_test(test_a_task_without_a_context_makes_no_sense),
        };

        return cmocka_run_group_tests_name("store-spool", tests, NULL, NULL);
}
