/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "util/cleanup.h"

#include "check.h"
#include "store-fixture.h"

/* Opens the store in a child, which does @work with it and is killed. */
static void killed_after(const Folder *folder, void (*work)(Store *store)) {
        int status = 0;
        pid_t pid;

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                Store *store = NULL;

                if (store_open(&store, folder->path, false, NULL) != 0)
                        _exit(1);
                work(store);
                (void)raise(SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
}

static void assert_task(Store *store, uint64_t id, const Task *want) {
        _cleanup_(task_freep) Task *have = NULL;

        assert_int_equal(store_load_task(store, id, &have), 0);
        assert_task_equal(have, want);
}

static void assert_no_task(Store *store, uint64_t id) {
        Task *have = NULL;

        assert_int_equal(store_load_task(store, id, &have), -ENOENT);
}

static void test_every_field_comes_back(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        _cleanup_(task_freep) Task *task = full_task(1);

        assert_int_equal(store_put_task(store, task), 0);
        assert_task(store, 1, task);
        assert_int_equal(store_commit(store, false), 0);
        (void)store_free(store);

        store = open_store(*state);
        assert_task(store, 1, task);
}

static void test_a_task_of_nothing_comes_back(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        _cleanup_(task_freep) Task *task = task_new();

        task->id = 1;
        assert_int_equal(store_put_task(store, task), 0);
        assert_task(store, 1, task);

        task->argv = calloc(1, sizeof(char *));
        task->uid = UINT32_MAX - 1;
        task->needs.memory_bytes = INT64_MAX;
        task->needs.cpus = UINT32_MAX;
        task->exit_status = 255;
        assert_int_equal(store_put_task(store, task), 0);
        assert_task(store, 1, task);
}

/* A second put replaces all of the first: GPUs too, and what indexes hold. */
static void test_a_put_replaces_the_whole_task(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        _cleanup_(task_freep) Task *full = full_task(1);
        _cleanup_(task_freep) Task *plain = plain_task(1);
        _cleanup_(task_freep) Task *other_key = plain_task(1);

        assert_int_equal(store_put_task(store, full), 0);
        assert_int_equal(store_put_task(store, plain), 0); /* another uid */
        assert_task(store, 1, plain);

        other_key->key[3] ^= 1;
        assert_int_equal(store_put_task(store, other_key), 0);
        assert_task(store, 1, other_key);

        full->uid = plain->uid;
        memcpy(full->key, other_key->key, sizeof(full->key));
        assert_int_equal(store_put_task(store, full), 0);
        assert_task(store, 1, full);
}

static void test_states_move_a_task_between_the_lists(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);

        for (int s = 0; s < N_TASK_STATES; s++)
                for (int then = 0; then < N_TASK_STATES; then++) {
                        _cleanup_(task_freep) Task *task = plain_task(1);
                        Loaded active = {};
                        Loaded ended = {};

                        task->state = (TaskState)s;
                        assert_int_equal(store_put_task(store, task), 0);
                        task->state = (TaskState)then;
                        assert_int_equal(store_put_task(store, task), 0);
                        assert_task(store, 1, task);

                        assert_int_equal(store_load_active(store, note_task, &active), 0);
                        assert_int_equal(store_load_ended(store, UINT64_MAX, (uid_t)-1, 9,
                                                          note_task, &ended),
                                         0);
                        assert_int_equal(active.n, !task_state_is_final(task->state));
                        assert_int_equal(ended.n, task_state_is_final(task->state));
                }
}

static void test_what_could_not_be_read_back_is_not_written(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        char long_text[TASK_TEXT_MAX + 2];

        memset(long_text, 'x', sizeof(long_text) - 1);
        long_text[sizeof(long_text) - 1] = '\0';

        for (int i = 0; i < 9; i++) {
                _cleanup_(task_freep) Task *task = full_task(1);

                switch (i) {
                case 0:
                        task->priority = TASK_PRIORITY_MAX + 1;
                        break;
                case 1:
                        task->needs.memory_bytes = UINT64_C(1) << 63;
                        break;
                case 2:
                        free(task->name);
                        task->name = strdup(long_text);
                        break;
                case 3:
                        free(task->cwd);
                        task->cwd = strdup("/\xff");
                        break;
                case 4:
                        task->exit_status = 256;
                        break;
                case 5:
                        task->id = 0;
                        break;
                case 6:
                        task->needs.gpus[1].bytes = GPU_WHOLE - 1;
                        break;
                case 7:
                        task->uid = (uid_t)-1;
                        break;
                case 8:
                        task->pid = -1;
                        break;
                }
                put_plain(store, 7, 1);
                assert_int_equal(store_put_task(store, task), i == 2 ? -E2BIG :
                                                              i == 3 ? -EILSEQ :
                                                                       -ERANGE);
                assert_false(store_is_dirty(store));
                assert_no_task(store, 1);
        }
}

static void test_a_key_finds_the_task_of_its_user(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        _cleanup_(task_freep) Task *task = plain_task(1);
        _cleanup_(task_freep) Task *have = NULL;
        Task *none = NULL;

        assert_int_equal(store_put_task(store, task), 0);
        assert_int_equal(store_load_key(store, task->uid, task->key, &have), 0);
        assert_task_equal(have, task);
        assert_int_equal(store_load_key(store, task->uid + 1, task->key, &none), -ENOENT);
        task->key[15] ^= 1;
        assert_int_equal(store_load_key(store, task->uid, task->key, &none), -ENOENT);
}

/* That there is one task of a key is for the daemon to see to; here it must not stop what else is written. */
static void test_the_first_of_a_key_is_found(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        _cleanup_(task_freep) Task *task = plain_task(3);
        _cleanup_(task_freep) Task *have = NULL;
        Task *none = NULL;
        static const uint8_t no_key[TASK_KEY_BYTES];

        assert_int_equal(store_put_task(store, task), 0);
        task->id = 2;
        assert_int_equal(store_put_task(store, task), 0);
        assert_int_equal(store_load_key(store, task->uid, task->key, &have), 0);
        assert_int_equal(have->id, 2);

        memset(task->key, 0, sizeof(task->key)); /* none */
        task->id = 1;
        assert_int_equal(store_put_task(store, task), 0);
        assert_int_equal(store_load_key(store, task->uid, no_key, &none), -ENOENT);
}

static void test_ids_rise_from_one(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        uint64_t id = 0;

        for (uint64_t i = 1; i <= UINT64_C(3) * STORE_IDS_BLOCK; i++) {
                assert_int_equal(store_take_id(store, &id), 0);
                assert_int_equal(id, i);
        }
}

static void test_ids_go_on_with_the_next_block_after_a_restart(void **state) {
        uint64_t last = 0;

        for (int i = 0; i < 5; i++) {
                _cleanup_(store_freep) Store *store = open_store(*state);
                uint64_t id = 0;

                assert_int_equal(store_take_id(store, &id), 0);
                assert_true(id > last);
                assert_int_equal(id % STORE_IDS_BLOCK, 1);
                last = id;
        }
}

/* Not even the daemon's answer needs to be on the disk for that. */
static void take_one_id(Store *store) {
        uint64_t id = 0;

        if (store_take_id(store, &id) < 0)
                _exit(1);
}

static void test_ids_never_repeat_after_a_kill(void **state) {
        _cleanup_(store_freep) Store *store = NULL;
        uint64_t id = 0;

        killed_after(*state, take_one_id);
        store = open_store(*state);
        assert_int_equal(store_take_id(store, &id), 0);
        assert_true(id > 1);
}

/* What was given out since is known to whoever gave it out; what is long ago has been written. */
static void test_only_ids_of_just_before_may_be_lost(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        uint64_t id = 0;

        assert_false(store_may_have_lost(store, 0));
        assert_false(store_may_have_lost(store, 1));
        assert_int_equal(store_take_id(store, &id), 0);
        assert_false(store_may_have_lost(store, id));
        put_plain(store, id, 1);
        store = store_free(store);

        store = open_store(*state);
        assert_true(store_may_have_lost(store, id));
        assert_true(store_may_have_lost(store, STORE_IDS_BLOCK));
        assert_false(store_may_have_lost(store, STORE_IDS_BLOCK + 1));
        assert_int_equal(store_take_id(store, &id), 0);
        assert_false(store_may_have_lost(store, id));
        assert_false(store_may_have_lost(store, UINT64_MAX));
        put_plain(store, UINT64_C(5) * STORE_IDS_BLOCK, 1);
        store = store_free(store);

        store = open_store(*state);
        assert_false(store_may_have_lost(store, UINT64_C(3) * STORE_IDS_BLOCK));
        assert_true(store_may_have_lost(store, UINT64_C(3) * STORE_IDS_BLOCK + 1));
}

/* Another state folder's database, or an old copy of this one, is put in place. */
static void test_ids_go_on_when_the_database_is_gone(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        uint64_t first = 0;
        uint64_t id = 0;

        assert_int_equal(store_take_id(store, &first), 0);
        put_plain(store, first, 1);
        (void)store_free(store);
        assert_int_equal(unlink(in_folder(folder, "taskflow.db")), 0);

        store = open_store(folder);
        assert_int_equal(store_take_id(store, &id), 0);
        assert_true(id > first);
        (void)store_free(store);
}

static void test_ids_go_on_when_their_file_is_gone(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        uint64_t id = 0;

        for (int i = 0; i < 10; i++)
                assert_int_equal(store_take_id(store, &id), 0);
        put_plain(store, 3, 1);
        (void)store_free(store);
        assert_int_equal(unlink(in_folder(folder, "taskflow.ids")), 0);

        store = open_store(folder);
        assert_int_equal(store_take_id(store, &id), 0);
        assert_true(id > STORE_IDS_BLOCK);
        (void)store_free(store);
}

static void test_a_file_of_ids_that_makes_no_sense_is_as_none(void **state) {
        static const char *const texts[] = {
                "",
                "\n",
                "1024\n",
                "0000000000000000102x\n",
                "00000000000000001025",
                "99999999999999999999\n",
                "00000000000000000000\n",
                "00000000000000001025\n\n",
        };
        const Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Store *store = open_store(folder);
                uint64_t last = 0;
                uint64_t id = 0;
                FILE *f;

                assert_int_equal(store_take_id(store, &last), 0);
                put_plain(store, last, 1);
                (void)store_free(store);

                f = fopen(in_folder(folder, "taskflow.ids"), "w");
                assert_non_null(f);
                assert_true(fputs(texts[i], f) >= 0);
                assert_int_equal(fclose(f), 0);

                store = open_store(folder);
                assert_int_equal(store_take_id(store, &id), 0);
                assert_true(id > last);
                (void)store_free(store);
        }
}

static void test_the_database_keeps_its_id(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        char id[STORE_DATABASE_ID_CHARS + 1];

        assert_int_equal(strspn(store_database_id(store), "0123456789abcdef"),
                         STORE_DATABASE_ID_CHARS);
        (void)snprintf(id, sizeof(id), "%s", store_database_id(store));
        (void)store_free(store);

        store = open_store(folder);
        assert_string_equal(store_database_id(store), id);
        (void)store_free(store);

        assert_int_equal(unlink(in_folder(folder, "taskflow.db")), 0);
        store = open_store(folder);
        assert_string_not_equal(store_database_id(store), id);
        (void)store_free(store);
}

static void put_and_commit(Store *store) {
        put_plain(store, 1, 100);
        put_plain(store, 101, 1);
}

static void test_a_kill_loses_nothing_that_was_committed(void **state) {
        _cleanup_(store_freep) Store *store = NULL;
        Loaded loaded = {};

        killed_after(*state, put_and_commit);
        store = open_store(*state);
        assert_int_equal(store_load_active(store, note_task, &loaded), 0);
        assert_int_equal(loaded.n, 101);
}

/* Killed by the first write beyond so many bytes of a file: in the middle of making it, of a commit, of a checkpoint. */
static void killed_by_size(const Folder *folder, rlim_t n_bytes) {
        int status = 0;
        pid_t pid;

        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                Store *store = NULL;

                (void)setrlimit(RLIMIT_CORE, &(struct rlimit){});
                (void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){ n_bytes, n_bytes });
                if (store_open(&store, folder->path, false, NULL) == 0)
                        for (uint64_t id = 1; id < 100; id++)
                                put_plain(store, id, 1);
                _exit(1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
}

static void test_a_kill_at_any_write_leaves_a_store_that_opens(void **state) {
        for (rlim_t n_bytes = 0; n_bytes < 262144; n_bytes += 5000) {
                _cleanup_(store_freep) Store *store = NULL;
                Loaded loaded = {};

                killed_by_size(*state, n_bytes);
                store = open_store(*state);
                assert_int_equal(store_load_active(store, note_task, &loaded), 0);
                for (unsigned i = 0; i < loaded.n; i++)
                        assert_int_equal(loaded.ids[i], i + 1);
                assert_int_equal(store_n_damaged(store, NULL), 0);
        }
}

static void put_and_not_commit(Store *store) {
        Task *task = plain_task(2);

        put_plain(store, 1, 1);
        (void)store_put_task(store, task);
        (void)task_free(task);
}

static void test_what_was_not_committed_is_gone_as_a_whole(void **state) {
        _cleanup_(store_freep) Store *store = NULL;

        killed_after(*state, put_and_not_commit);
        store = open_store(*state);
        assert_no_task(store, 2);

        put_and_not_commit(store);
        assert_true(store_is_dirty(store));
        (void)store_free(store);
        store = open_store(*state);
        assert_no_task(store, 2);
}

static void test_dirty_is_an_open_transaction(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        _cleanup_(task_freep) Task *task = plain_task(1);

        assert_false(store_is_dirty(store));
        assert_int_equal(store_commit(store, true), 0);
        assert_int_equal(store_put_task(store, task), 0);
        assert_true(store_is_dirty(store));
        assert_int_equal(store_commit(store, true), 0);
        assert_false(store_is_dirty(store));
        assert_int_equal(store_remove_task(store, 1), 0);
        assert_true(store_is_dirty(store));
        assert_no_task(store, 1);
        assert_int_equal(store_commit(store, false), 0);
        assert_int_equal(store_commit(store, true), 0);
}

static void test_a_removed_task_leaves_nothing(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        Task *task = full_task(1);

        assert_int_equal(store_put_task(store, task), 0);
        assert_int_equal(store_remove_task(store, 1), 0);
        assert_int_equal(store_remove_task(store, 1), 0);
        assert_int_equal(store_remove_task(store, UINT64_MAX), 0);
        assert_int_equal(store_commit(store, false), 0);
        (void)task_free(task);
        (void)store_free(store);

        assert_int_equal(ask(folder, "SELECT count(*) FROM task"), 0);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task_gpu"), 0);
}

static void put_ended(Store *store, uint64_t id, uid_t uid, uint64_t ended_at_us) {
        Task *task = full_task(id);

        task->uid = uid;
        task->state = TASK_STATE_FAILED;
        task->ended_at_us = ended_at_us;
        task->submitted_at_us = 1;
        assert_int_equal(store_put_task(store, task), 0);
        (void)task_free(task);
}

static void test_ended_tasks_come_latest_first(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        Loaded all = {};
        Loaded some = {};
        Loaded mine = {};
        Loaded none = {};

        for (uint64_t id = 1; id <= 20; id++)
                put_ended(store, id, id % 2 ? 1000 : 2000, id);
        put_plain(store, 21, 5);

        assert_int_equal(store_load_ended(store, UINT64_MAX, (uid_t)-1, 1000, note_task, &all), 0);
        assert_int_equal(all.n, 20);
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(all.ids[i], 20 - i);

        assert_int_equal(store_load_ended(store, 10, (uid_t)-1, 3, note_task, &some), 0);
        assert_int_equal(some.n, 3);
        assert_int_equal(some.ids[0], 9);

        assert_int_equal(store_load_ended(store, 10, 2000, 100, note_task, &mine), 0);
        assert_int_equal(mine.n, 4);
        assert_int_equal(mine.ids[0], 8);
        assert_int_equal(mine.ids[3], 2);

        assert_int_equal(store_load_ended(store, 1, (uid_t)-1, 9, note_task, &none), 0);
        assert_int_equal(store_load_ended(store, UINT64_MAX, 3000, 9, note_task, &none), 0);
        assert_int_equal(store_load_ended(store, UINT64_MAX, 2000, 0, note_task, &none), 0);
        assert_int_equal(none.n, 0);
}

static int stop_at_third(Task *task, void *userdata) {
        unsigned *n = userdata;

        (void)task_free(task);
        return ++*n == 3 ? -ECANCELED : 0;
}

static void test_a_reader_may_stop_the_reading(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        unsigned n = 0;

        put_plain(store, 1, 10);
        assert_int_equal(store_load_active(store, stop_at_third, &n), -ECANCELED);
        assert_int_equal(n, 3);
        put_plain(store, 11, 1); /* and does not hold up what follows */
}

static void test_a_purge_takes_what_ended_before(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        uint64_t last_us = 1;

        put_plain(store, 1, 5);
        assert_int_equal(store_last_end(store, &last_us), 0);
        assert_int_equal(last_us, 0);
        for (uint64_t id = 6; id <= 15; id++)
                put_ended(store, id, 1000, 1000 + id);
        assert_int_equal(store_last_end(store, &last_us), 0);
        assert_int_equal(last_us, 1015);
        put_ended(store, 16, 1000, 0); /* nobody knows when: when it came */
        assert_int_equal(store_commit(store, false), 0);

        assert_int_equal(store_purge(store, 1, 100), 0);
        assert_false(store_is_dirty(store));
        assert_int_equal(store_purge(store, 1011, 2), 2);
        assert_int_equal(store_purge(store, 1011, 100), 4);
        assert_int_equal(store_purge(store, 1011, 100), 0);
        assert_int_equal(store_commit(store, false), 0);
        assert_int_equal(store_purge(store, UINT64_MAX, 100), 5);
        assert_int_equal(store_commit(store, false), 0);
        (void)store_free(store);

        assert_int_equal(ask(folder, "SELECT count(*) FROM task"), 5);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task_gpu"), 0);
}

static void test_a_drain_outlives_the_store(void **state) {
        Drain drain = { .on = true, .by_uid = 4294967294, .at_us = 123, .reason = "new \xc3\xa4" };
        const Folder *folder = *state;
        Drain have = { .on = true };
        Store *store = open_store(folder);

        assert_int_equal(store_get_drain(store, &have), 0);
        assert_false(have.on);
        assert_int_equal(store_put_drain(store, &(Drain){ .on = true, .reason = "first" }), 0);
        assert_int_equal(store_put_drain(store, &drain), 0);
        assert_true(store_is_dirty(store));
        assert_int_equal(store_commit(store, true), 0);
        (void)store_free(store);

        store = open_store(folder);
        assert_int_equal(store_get_drain(store, &have), 0);
        assert_true(have.on);
        assert_int_equal(have.by_uid, drain.by_uid);
        assert_int_equal(have.at_us, drain.at_us);
        assert_string_equal(have.reason, drain.reason);
        assert_int_equal(store_put_drain(store, &(Drain){}), 0);
        assert_int_equal(store_commit(store, true), 0);
        (void)store_free(store);

        store = open_store(folder);
        assert_int_equal(store_get_drain(store, &have), 0);
        assert_false(have.on);
        (void)store_free(store);
}

/* What was damaged says less, but never that tasks may start. */
static void test_a_drain_that_makes_no_sense_is_one(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        Drain have = {};

        assert_int_equal(store_put_drain(store, &(Drain){ .on = true, .reason = "x" }), 0);
        assert_int_equal(store_commit(store, false), 0);
        (void)store_free(store);
        harm(folder, "UPDATE drain SET by_uid = -1, reason = printf('%300d', 1)");

        store = open_store(folder);
        assert_int_equal(store_get_drain(store, &have), 0);
        assert_true(have.on);
        assert_string_equal(have.reason, "");
        (void)store_free(store);
}

static void test_what_users_had_outlives_the_store(void **state) {
        static const UserPast first[] = { { 7, 1, 1 } },
                              last[] = { { 0, 3, 4 }, { 4294967294, INT64_MAX, 5 }, { 9, 6, 7 } };
        const Folder *folder = *state;
        Store *store = open_store(folder);
        UserPast have[4] = {};

        assert_int_equal(store_get_pasts(store, have, 4), 0);
        assert_int_equal(store_put_pasts(store, first, 1), 0);
        assert_int_equal(store_put_pasts(store, last, 3), 0);
        assert_true(store_is_dirty(store));
        assert_int_equal(store_commit(store, true), 0);
        (void)store_free(store);

        store = open_store(folder);
        assert_int_equal(store_get_pasts(store, have, 4), 3);
        assert_memory_equal(&have[0], &last[0], sizeof(UserPast));
        assert_memory_equal(&have[1], &last[2], sizeof(UserPast));
        assert_memory_equal(&have[2], &last[1], sizeof(UserPast));
        assert_int_equal(store_get_pasts(store, have, 2), 2);
        (void)store_free(store);

        harm(folder, "UPDATE user_past SET had = -1 WHERE uid = 9");
        store = open_store(folder);
        assert_int_equal(store_get_pasts(store, have, 4), 2);
        assert_int_equal(store_put_pasts(store, NULL, 0), 0);
        assert_int_equal(store_commit(store, true), 0);
        assert_int_equal(store_get_pasts(store, have, 4), 0);
        (void)store_free(store);
}

static void test_gpus_come_back_as_unknown(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        GpuSample gpus[2] = {
                { .uuid = "GPU-b", .name = "NVIDIA H200", .index = 1, .part = 2, .total_bytes = 7 },
                { .uuid = "GPU-a", .kind = GPU_KIND_AMD, .total_bytes = UINT64_C(1) << 40 },
        };
        GpuSample have[GPU_MAX];

        assert_int_equal(store_get_gpus(store, have), 0);
        assert_int_equal(store_put_gpus(store, gpus, 2), 0);
        assert_int_equal(store_commit(store, false), 0);
        (void)store_free(store);

        store = open_store(folder);
        assert_int_equal(store_get_gpus(store, have), 2);
        assert_string_equal(have[0].uuid, "GPU-a");
        assert_int_equal(have[0].total_bytes, UINT64_C(1) << 40);
        assert_int_equal(have[0].state, GPU_STATE_UNKNOWN);
        assert_int_equal(have[0].kind, GPU_KIND_AMD);
        assert_int_equal(have[1].kind, GPU_KIND_NVIDIA);
        assert_int_equal(have[1].part, 2);
        assert_string_equal(have[1].uuid, "GPU-b");
        assert_string_equal(have[1].name, "NVIDIA H200");
        assert_int_equal(have[1].index, 1);
        assert_int_equal(store_put_gpus(store, gpus, 1), 0);
        assert_int_equal(store_get_gpus(store, have), 1);
        assert_int_equal(store_put_gpus(store, NULL, 0), 0);
        assert_int_equal(store_get_gpus(store, have), 0);
        (void)store_free(store);
}

static void test_of_two_gpus_with_one_uuid_the_first_is_kept(void **state) {
        _cleanup_(store_freep) Store *store = open_store(*state);
        GpuSample gpus[2] = { { .uuid = "GPU-a", .index = 5 }, { .uuid = "GPU-a", .index = 1 } };
        GpuSample have[GPU_MAX];

        assert_int_equal(store_put_gpus(store, gpus, 2), 0);
        assert_int_equal(store_get_gpus(store, have), 1);
        assert_int_equal(have[0].index, 5);
}

static void assert_mode(const Folder *folder, const char *name, mode_t mode) {
        struct stat st;

        assert_int_equal(stat(in_folder(folder, name), &st), 0);
        assert_int_equal(st.st_mode & 0777, mode);
}

static void test_files_are_the_daemons_alone_whatever_the_umask(void **state) {
        static const mode_t masks[] = { 0, 0277, 0777 };
        const Folder *folder = *state;

        for (size_t i = 0; i < ELEMENTSOF(masks); i++) {
                mode_t mask = umask(masks[i]);
                Store *store = open_store(folder);
                uint64_t id = 0;

                put_plain(store, 1, 1);
                assert_int_equal(store_take_id(store, &id), 0);
                (void)umask(mask);
                assert_mode(folder, "taskflow.db", 0600);
                assert_mode(folder, "taskflow.db-wal", 0600);
                assert_mode(folder, "taskflow.ids", 0600);
                assert_mode(folder, "taskflow.db.lock", 0600);
                assert_false(folder_has(folder, "taskflow.db-shm"));
                (void)store_free(store);

                assert_false(folder_has(folder, "taskflow.db-wal"));
                assert_int_equal(unlink(in_folder(folder, "taskflow.db")), 0);
                assert_int_equal(unlink(in_folder(folder, "taskflow.ids")), 0);
                assert_int_equal(unlink(in_folder(folder, "taskflow.db.lock")), 0);
        }
}

static void test_a_second_daemon_is_told_who_has_it(void **state) {
        const Folder *folder = *state;
        Store *store = NULL;
        char expected[32];
        int to_child[2];
        int to_us[2];
        Error error;
        pid_t pid;
        char c;

        assert_int_equal(pipe2(to_child, O_CLOEXEC), 0);
        assert_int_equal(pipe2(to_us, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (store_open(&store, folder->path, false, NULL) != 0 ||
                    write(to_us[1], "x", 1) != 1)
                        _exit(1);
                (void)close(to_child[1]);
                (void)!read(to_child[0], &c, 1);
                _exit(0);
        }

        (void)close(to_us[1]);
        assert_int_equal(read(to_us[0], &c, 1), 1);
        assert_int_equal(store_open(&store, folder->path, true, &error), STORE_E_BUSY);
        (void)snprintf(expected, sizeof(expected), "process %d", (int)pid);
        assert_non_null(strstr(error.text, expected));

        (void)close(to_child[1]);
        (void)close(to_child[0]);
        (void)close(to_us[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        store = open_store(folder);
        (void)store_free(store);
}

static void test_another_program_that_has_it_open_is_no_damage(void **state) {
        const Folder *folder = *state;
        Store *store = open_store(folder);
        sqlite3 *db = NULL;
        Error error;

        put_plain(store, 1, 1);
        (void)store_free(store);
        assert_int_equal(sqlite3_open(in_folder(folder, "taskflow.db"), &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT * FROM task", NULL, NULL, NULL),
                         SQLITE_OK);

        assert_int_equal(store_open(&store, folder->path, true, &error), STORE_E_BUSY);
        assert_non_null(strstr(error.text, "another program"));
        (void)sqlite3_close(db);

        store = open_store(folder);
        (void)store_free(store);
}

static void test_a_folder_that_is_not_there_is_said(void **state) {
        const Folder *folder = *state;
        Store *store = NULL;
        Error error;

        assert_int_equal(store_open(&store, in_folder(folder, "no"), false, &error), -ENOENT);
        assert_non_null(strstr(error.text, "/no'"));
        assert_null(store);
        assert_int_equal(store_open(&store, in_folder(folder, "no"), false, NULL), -ENOENT);
}

/* A folder on a disk of its own, as small as @n_bytes; false: not permitted here. */
static bool mount_small(const Folder *folder, const char *size) {
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
            mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
                return false;
        return mount("tmpfs", folder->path, "tmpfs", 0, size) == 0;
}

static void fill_disk(const Folder *folder) {
        _cleanup_close_ int fd = -1;
        char zeros[4096] = {};

        fd = open(in_folder(folder, "ballast"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        while (write(fd, zeros, sizeof(zeros)) > 0)
                ;
        assert_int_equal(errno, ENOSPC);
}

/* Puts until nothing more goes in. Return: how many in all were committed. */
static uint64_t put_until_full(Store *store, uint64_t id, bool sync) {
        for (;; id++) {
                _cleanup_(task_freep) Task *task = plain_task(id);
                int r;

                assert_true(id < 10000);
                free(task->name);
                task->name = calloc(1, 2000);
                memset(task->name, 'x', 1999);
                r = store_put_task(store, task);
                if (r == 0)
                        r = store_commit(store, sync);
                if (r == 0)
                        continue;
                assert_int_equal(r, -ENOSPC);
                assert_false(store_is_dirty(store));
                return id - 1;
        }
}

static void test_a_full_disk_refuses_and_recovers(void **state) {
        const Folder *folder = *state;
        Store *store = NULL;
        uint64_t n;
        uint64_t id = 0;
        Error error;

        if (!mount_small(folder, "size=1M")) {
                print_message("# skipped: only root may mount a small disk\n");
                skip();
        }

        /* nothing to begin with */
        fill_disk(folder);
        assert_int_equal(store_open(&store, folder->path, false, &error), -ENOSPC);
        assert_non_null(strstr(error.text, "No space left"));
        assert_int_equal(unlink(in_folder(folder, "ballast")), 0);
        store = open_store(folder);
        put_plain(store, 1, 10);
        n = 10;

        for (int round = 0; round < 3; round++) {
                Loaded loaded = {};

                fill_disk(folder);
                n = put_until_full(store, n + 1, round == 1);
                assert_int_equal(store_load_active(store, note_task, &loaded), 0);
                assert_int_equal(loaded.n, n);
                assert_int_equal(loaded.ids[n - 1], n);

                for (int i = 0; i < 2 * STORE_IDS_BLOCK; i++)
                        assert_int_equal(store_take_id(store, &id), 0);

                assert_int_equal(unlink(in_folder(folder, "ballast")), 0);
                put_plain(store, n + 1, 10);
                n += 10;
        }

        (void)store_free(store);
        assert_int_equal(umount(folder->path), 0);
}

/* How tasks end must be kept though nothing new fits. */
static void test_on_a_full_disk_tasks_can_still_change(void **state) {
        const Folder *folder = *state;
        Task *tasks[20];
        unsigned n_refused = 0;
        Store *store;

        if (!mount_small(folder, "size=1M")) {
                print_message("# skipped: only root may mount a small disk\n");
                skip();
        }

        store = open_store(folder);
        put_plain(store, 1, ELEMENTSOF(tasks));
        (void)store_free(store); /* into the database, out of the WAL */
        store = open_store(folder);
        for (unsigned i = 0; i < ELEMENTSOF(tasks); i++)
                tasks[i] = plain_task(i + 1);
        fill_disk(folder);

        for (unsigned i = 0; i < 1000; i++) {
                Task *task = tasks[i % ELEMENTSOF(tasks)];
                int r = -ENOSPC;

                task->pid = (pid_t)i;
                for (unsigned try = 0; r == -ENOSPC && try < 2; try++) {
                        n_refused += try;
                        r = store_put_task(store, task);
                        if (r == 0)
                                r = store_commit(store, i % 2);
                }
                assert_int_equal(r, 0);
        }
        assert_true(n_refused > 0);

        for (unsigned i = 0; i < ELEMENTSOF(tasks); i++) {
                assert_task(store, i + 1, tasks[i]);
                (void)task_free(tasks[i]);
        }
        (void)store_free(store);
        assert_int_equal(umount(folder->path), 0);
}

/* All changes of a turn go together, also when only the last does not fit. */
static void test_a_full_disk_takes_back_the_whole_turn(void **state) {
        const Folder *folder = *state;
        Loaded loaded = {};
        Store *store;
        int r = 0;

        if (!mount_small(folder, "size=1M")) {
                print_message("# skipped: only root may mount a small disk\n");
                skip();
        }

        store = open_store(folder);
        put_plain(store, 1, 10);
        fill_disk(folder);
        for (uint64_t id = 11; id < 5000 && r == 0; id++) {
                Task *task = plain_task(id);

                r = store_put_task(store, task);
                (void)task_free(task);
        }
        if (r == 0)
                r = store_commit(store, false);
        assert_int_equal(r, -ENOSPC);
        assert_false(store_is_dirty(store));
        assert_int_equal(store_load_active(store, note_task, &loaded), 0);
        assert_int_equal(loaded.n, 10);

        assert_int_equal(unlink(in_folder(folder, "ballast")), 0);
        put_plain(store, 11, 100);
        assert_int_equal(store_commit(store, true), 0);
        (void)store_free(store);
        assert_int_equal(umount(folder->path), 0);
}

enum {
        N_LARGE = 3000, /* more than a MiB of the WAL */
        N_COMMITS = 3,
};

static void commit_much(Store *store) {
        for (uint64_t id = 1; id <= (uint64_t)N_COMMITS * N_LARGE; id++) {
                _cleanup_(task_freep) Task *task = plain_task(id);

                if (store_put_task(store, task) < 0 ||
                    (id % N_LARGE == 0 && store_commit(store, true) < 0))
                        _exit(1);
        }
}

/* What the WAL has in advance is behind all that is in it. */
static void test_a_commit_larger_than_what_is_ready_is_kept(void **state) {
        const Folder *folder = *state;
        Store *store;

        killed_after(folder, commit_much);
        store = open_store(folder);
        for (uint64_t id = 1; id <= (uint64_t)N_COMMITS * N_LARGE; id += N_LARGE / 10) {
                _cleanup_(task_freep) Task *task = plain_task(id);

                assert_task(store, id, task);
        }
        (void)store_free(store);
        assert_int_equal(ask(folder, "SELECT count(*) FROM task"), N_COMMITS * N_LARGE);
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                store_test(test_a_commit_larger_than_what_is_ready_is_kept),
                store_test(test_every_field_comes_back),
                store_test(test_a_task_of_nothing_comes_back),
                store_test(test_a_put_replaces_the_whole_task),
                store_test(test_states_move_a_task_between_the_lists),
                store_test(test_what_could_not_be_read_back_is_not_written),
                store_test(test_a_key_finds_the_task_of_its_user),
                store_test(test_the_first_of_a_key_is_found),
                store_test(test_ids_rise_from_one),
                store_test(test_ids_go_on_with_the_next_block_after_a_restart),
                store_test(test_ids_never_repeat_after_a_kill),
                store_test(test_only_ids_of_just_before_may_be_lost),
                store_test(test_ids_go_on_when_the_database_is_gone),
                store_test(test_ids_go_on_when_their_file_is_gone),
                store_test(test_a_file_of_ids_that_makes_no_sense_is_as_none),
                store_test(test_the_database_keeps_its_id),
                store_test(test_a_kill_loses_nothing_that_was_committed),
                store_test(test_a_kill_at_any_write_leaves_a_store_that_opens),
                store_test(test_what_was_not_committed_is_gone_as_a_whole),
                store_test(test_dirty_is_an_open_transaction),
                store_test(test_a_removed_task_leaves_nothing),
                store_test(test_ended_tasks_come_latest_first),
                store_test(test_a_reader_may_stop_the_reading),
                store_test(test_a_purge_takes_what_ended_before),
                store_test(test_a_drain_outlives_the_store),
                store_test(test_a_drain_that_makes_no_sense_is_one),
                store_test(test_what_users_had_outlives_the_store),
                store_test(test_gpus_come_back_as_unknown),
                store_test(test_of_two_gpus_with_one_uuid_the_first_is_kept),
                store_test(test_files_are_the_daemons_alone_whatever_the_umask),
                store_test(test_a_second_daemon_is_told_who_has_it),
                store_test(test_another_program_that_has_it_open_is_no_damage),
                store_test(test_a_folder_that_is_not_there_is_said),
                store_test(test_a_full_disk_refuses_and_recovers),
                store_test(test_on_a_full_disk_tasks_can_still_change),
                store_test(test_a_full_disk_takes_back_the_whole_turn),
        };

        return cmocka_run_group_tests_name("store-store", tests, NULL, NULL);
}
