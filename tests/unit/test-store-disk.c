/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What is brought to the disk, and a disk that fails. A full one is in test-store-store.c. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "util/cleanup.h"

#include "check.h"
#include "store-fixture.h"

static void put_full(Store *store, uint64_t id) {
        Task *task = full_task(id);

        assert_int_equal(store_put_task(store, task), 0);
        (void)task_free(task);
}

static unsigned n_wal_syncs;
static bool syncs_fail;

/* SQLite's own calls come here too. */
__attribute__((visibility("default"))) int fdatasync(int fildes) {
        char link[64], path[256];
        ssize_t n;

        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fildes);
        n = readlink(link, path, sizeof(path) - 1);
        if (n > 4 && memcmp(path + n - 4, "-wal", 4) == 0)
                n_wal_syncs++;
        if (syncs_fail) {
                errno = EIO;
                return -1;
        }
        return (int)syscall(SYS_fdatasync, fildes);
}

static void test_a_commit_that_must_be_on_the_disk_syncs_the_wal_once(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);

        put_plain(store, 10, 1); /* the first one syncs that the WAL begins anew */
        assert_int_equal(store_commit(store, true), 0);
        n_wal_syncs = 0;
        put_plain(store, 1, 3); /* committed, and not synced */
        assert_int_equal(n_wal_syncs, 0);
        assert_int_equal(store_commit(store, true), 0);
        assert_int_equal(n_wal_syncs, 1);
        assert_int_equal(store_commit(store, true), 0);
        assert_int_equal(n_wal_syncs, 1);

        put_full(store, 4);
        assert_int_equal(store_commit(store, true), 0);
        assert_int_equal(n_wal_syncs, 2);
}

static void put_long(Store *store, uint64_t id) {
        Task *task = plain_task(id);
        char text[TASK_TEXT_MAX];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        task->name = strdup(text);
        task->output = strdup(text);
        task->reason = strdup(text);
        assert_int_equal(store_put_task(store, task), 0);
        (void)task_free(task);
}

static void assert_broken(Store *store) {
        Task *task = plain_task(99), *none = NULL;
        uint64_t id;

        assert_true(store_is_broken(store));
        assert_int_equal(store_put_task(store, task), -EIO);
        assert_int_equal(store_commit(store, true), -EIO);
        assert_int_equal(store_take_id(store, &id), -EIO);
        assert_int_equal(store_load_key(store, 0, task->key, &none), -EIO);
        (void)task_free(task);
}

static void test_after_a_sync_that_failed_only_opening_it_again_helps(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        Task *task = NULL;

        put_plain(store, 1, 1);
        assert_int_equal(store_commit(store, true), 0);
        assert_false(store_is_broken(store));
        put_full(store, 2);
        syncs_fail = true;
        assert_int_equal(store_commit(store, true), -EIO);
        assert_broken(store);
        syncs_fail = false;
        assert_broken(store);
        (void)store_free(store);

        store = open_store(folder);
        assert_false(store_is_broken(store));
        assert_int_equal(store_load_task(store, 2, &task), 0);
        (void)task_free(task);
        (void)store_free(store);
}

/* Its pages count as written: only writing them again brings them to the disk. */
static void test_what_is_found_is_on_the_disk_or_it_is_not_opened(void **state) {
        const Folder *folder = *state;
        Store *store = NULL;
        Error error;
        pid_t pid = fork();

        if (pid == 0) { /* it does not come to closing it */
                store = open_store(folder);
                put_plain(store, 1, 1);
                (void)raise(SIGKILL);
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        syncs_fail = true;
        assert_int_equal(store_open(&store, folder->path, false, &error), -EIO);
        syncs_fail = false;
        assert_non_null(strstr(error.text, "to the disk"));
        assert_null(store);
        store = open_store(folder);
        (void)store_free(store);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task"), 1);
}

/* SQLite's own would keep to itself that the one of a checkpoint failed. */
static void test_a_sync_that_fails_unasked_counts_as_well(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        uint64_t id = 1;

        put_long(store, id++);
        assert_int_equal(store_commit(store, true), 0);
        syncs_fail = true;
        while (!store_is_broken(store) && id < 4000) {
                put_long(store, id++);
                assert_int_equal(store_commit(store, false), 0);
        }
        syncs_fail = false;
        assert_true(id > 100);
        assert_broken(store);
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                store_test(test_a_commit_that_must_be_on_the_disk_syncs_the_wal_once),
                store_test(test_after_a_sync_that_failed_only_opening_it_again_helps),
                store_test(test_what_is_found_is_on_the_disk_or_it_is_not_opened),
                store_test(test_a_sync_that_fails_unasked_counts_as_well),
        };

        return cmocka_run_group_tests_name("store-disk", tests, NULL, NULL);
}
