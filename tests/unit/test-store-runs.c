/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Runs of the same, as they are found again
 */

#include <string.h>

#include "core/signature.h"
#include "store/store.h"
#include "util/cleanup.h"
#include "util/strv.h"

#include "check.h"
#include "store-fixture.h"

enum {
        ALICE = 1000,
        BOB = 1001,
};

/* One that has ended, after so many milliseconds. */
static Task *make_run(uint64_t id, uid_t uid, const char *command, unsigned ms) {
        Task *task = plain_task(id);

        task->uid = uid;
        task->state = TASK_STATE_DONE;
        task->started_at_us = 1000 * US_PER_SEC + id;
        task->ended_at_us = task->started_at_us + ms * US_PER_MSEC;
        task->argv = strv_free(task->argv);
        free(task->command);
        task->command = strdup(command);
        assert_non_null(task->command);
        return task;
}

static void put_it(Store *store, Task *task) {
        assert_int_equal(store_put_task(store, task), 0);
        (void)task_free(task);
}

static Loaded runs_of(Store *store, uid_t uid, const char *command) {
        _cleanup_(task_freep) Task *task = make_run(1, uid, command, 0);
        Loaded loaded = {};

        assert_int_equal(store_load_runs(store, uid, signature_of(task, NULL), 10, note_task,
                                         &loaded),
                         0);
        return loaded;
}

static void test_the_last_runs_are_found_by_user_and_script(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        Loaded loaded;

        for (uint64_t id = 1; id <= 12; id++)
                put_it(store, make_run(id, ALICE, "python train.py", 30000));
        put_it(store, make_run(13, ALICE, "python test.py", 30000));
        put_it(store, make_run(14, BOB, "python train.py", 30000));

        loaded = runs_of(store, ALICE, "python train.py --lr 3");
        assert_int_equal(loaded.n, 10);
        assert_int_equal(loaded.ids[0], 12);
        assert_int_equal(loaded.ids[9], 3);
        loaded = runs_of(store, BOB, "python train.py");
        assert_int_equal(loaded.n, 1);
        assert_int_equal(loaded.ids[0], 14);
        assert_int_equal(runs_of(store, BOB, "python test.py").n, 0);
}

static void test_only_what_succeeded_and_was_seen_counts(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        Task *task;

        put_it(store, make_run(1, ALICE, "a", 29999));
        for (int s = 0; s < N_TASK_STATES; s++)
                if (s != TASK_STATE_DONE) {
                        task = make_run((uint64_t)s + 2, ALICE, "a", 50000);
                        task->state = (TaskState)s;
                        put_it(store, task);
                }
        assert_int_equal(runs_of(store, ALICE, "a").n, 0);

        /* one that was lost, and whose status came after all */
        put_it(store, make_run(TASK_STATE_LOST + 2, ALICE, "a", 50000));
        assert_int_equal(runs_of(store, ALICE, "a").n, 1);
}

static void test_a_task_is_a_run_when_it_has_ended(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        Task *task = make_run(1, ALICE, "a", 50000);

        task->state = TASK_STATE_RUNNING;
        task->ended_at_us = 0;
        put_it(store, task);
        assert_int_equal(store_commit(store, false), 0);
        assert_int_equal(runs_of(store, ALICE, "a").n, 0);
        put_it(store, make_run(1, ALICE, "a", 50000));
        assert_int_equal(runs_of(store, ALICE, "a").n, 1);
}

static void test_what_is_forgotten_is_no_run(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);

        put_it(store, make_run(1, ALICE, "a", 50000));
        assert_int_equal(store_purge(store, UINT64_MAX, 10), 1);
        assert_int_equal(runs_of(store, ALICE, "a").n, 0);
}

static void test_runs_are_found_by_an_index(void **state) {
        const Folder *folder = *state;

        (void)store_free(open_store(folder));
        assert_int_equal(ask(folder, "SELECT count(*) FROM sqlite_schema WHERE name = 'task_runs'"),
                         1);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task INDEXED BY task_runs WHERE "
                                     "signature IS NOT NULL AND uid = 1 AND signature = 2 "
                                     "ORDER BY over_at_us DESC"),
                         0);
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

int main(void) {
        static const struct CMUnitTest tests[] = {
                store_test(test_the_last_runs_are_found_by_user_and_script),
                store_test(test_only_what_succeeded_and_was_seen_counts),
                store_test(test_a_task_is_a_run_when_it_has_ended),
                store_test(test_what_is_forgotten_is_no_run),
                store_test(test_runs_are_found_by_an_index),
        };

        return cmocka_run_group_tests_name("store-runs", tests, NULL, NULL);
}
