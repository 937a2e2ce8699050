/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/record-file.h"
#include "util/cleanup.h"
#include "util/fd.h"

#include "check.h"

static const ProcId keeper = {
        .boot_id = "b6f2f0cc-8a4e-4d42-9d0b-0c1f6c2f1c11",
        .pid = 4711,
        .start_ticks = 99,
};
static char folder[64];
static int dir_fd = -1;

static int set_up(_unused_ void **state) {
        make_test_folder(folder);
        dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return dir_fd < 0;
}

static int tear_down(_unused_ void **state) {
        dir_fd = fd_close(dir_fd);
        return rmdir(folder);
}

static int create(uint64_t ref, unsigned attempt) {
        int fd = -1;

        assert_int_equal(record_file_create(&fd, dir_fd, ref, attempt, &keeper), 0);
        return fd;
}

static RecordEnd some_end(void) {
        RecordEnd end = {
                .state = TASK_STATE_TIMEOUT,
                .exit_status = -1,
                .signal = 15,
                .ended_at_us = 1234567890123456,
        };

        (void)strcpy(end.reason, "ended after its time limit of 1m");
        return end;
}

static RecordState state_of(const char *name) {
        Record record;

        assert_int_equal(record_file_read(dir_fd, name, &record), 0);
        return record.state;
}

static void test_names_are_those_of_starts(_unused_ void **state) {
        static const struct {
                const char *name;
                uint64_t id;
                int64_t index;
                unsigned attempt;
        } cases[] = {
                { "12.1", 12, -1, 1 },
                { "12_3.2", 12, 3, 2 },
                { "12_0.1", 12, 0, 1 },
                { "549755813887_16777214.4294967295", TASK_ID_MAX, TASK_INDEX_MAX, UINT32_MAX },
        };
        char name[RECORD_NAME_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t ref = 0;
                unsigned attempt = 0;

                record_file_name(task_ref(cases[i].id, cases[i].index), cases[i].attempt, name);
                assert_string_equal(name, cases[i].name);
                assert_int_equal(record_file_parse_name(name, &ref, &attempt), 0);
                assert_true(ref == task_ref(cases[i].id, cases[i].index));
                assert_int_equal(attempt, cases[i].attempt);
        }
}

static void test_other_names_are_refused(_unused_ void **state) {
        static const char *const names[] = {
                "",
                ".",
                "..",
                "12",
                "12.",
                ".1",
                "0.1",
                "12.0",
                "012.1",
                "12.01",
                "12_.1",
                "12_03.1",
                "12_3",
                "a.1",
                "12.1.1",
                "12.1 ",
                " 12.1",
                "+12.1",
                "12_3_4.1",
                "12.1x",
                "-1.1",
                "12.1.new",
                "549755813888.1",
                "12_16777215.1",
                "12.4294967296",
                "1111111111111111111111111111111111111111111111111111111111111111111.1",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                unsigned attempt;
                uint64_t ref;

                if (record_file_parse_name(names[i], &ref, &attempt) != -EINVAL)
                        fail_msg("'%s' is taken", names[i]);
        }
}

static void test_a_start_is_claimed_once(_unused_ void **state) {
        _unused_ _cleanup_close_ int fd = create(12, 1);
        _cleanup_close_ int next = -1;
        int other = -1;

        assert_int_equal(record_file_create(&other, dir_fd, 12, 1, &keeper), RECORD_FILE_E_EXISTS);
        assert_int_equal(other, -1);
        next = create(12, 2);
        assert_int_equal(unlinkat(dir_fd, "12.1", 0), 0);
        assert_int_equal(unlinkat(dir_fd, "12.2", 0), 0);
        assert_int_equal(record_file_create(&other, -1, 12, 1, &keeper), -EBADF);
}

static void test_it_is_what_was_written(_unused_ void **state) {
        _cleanup_close_ int fd = create(task_ref(12, 3), 7);
        const RecordEnd end = some_end();
        struct stat st;
        Record record;

        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, RECORD_FILE_BYTES);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(record_file_read(dir_fd, "12_3.7", &record), 0);
        assert_int_equal(record.state, RECORD_STATE_STARTING);
        assert_true(record.ref == task_ref(12, 3));
        assert_int_equal(record.attempt, 7);
        assert_memory_equal(&record.keeper, &keeper, sizeof(keeper));
        assert_false(record.has_command);

        assert_int_equal(record_file_note_command(fd, 4712, 100, 1234), 0);
        assert_int_equal(record_file_read(dir_fd, "12_3.7", &record), 0);
        assert_int_equal(record.state, RECORD_STATE_RUNNING);
        assert_true(record.has_command);
        assert_int_equal(record.pid, 4712);
        assert_int_equal(record.pid_start_ticks, 100);
        assert_int_equal(record.started_at_us, 1234);

        assert_int_equal(record_file_note_end(fd, &end), 0);
        assert_int_equal(record_file_read(dir_fd, "12_3.7", &record), 0);
        assert_int_equal(record.state, RECORD_STATE_ENDED);
        assert_memory_equal(&record.end, &end, sizeof(end));
        assert_int_equal(record.pid, 4712);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, RECORD_FILE_BYTES);
        assert_int_equal(unlinkat(dir_fd, "12_3.7", 0), 0);
}

static void test_what_could_not_be_started_has_an_end_and_no_command(_unused_ void **state) {
        _cleanup_close_ int fd = create(13, 1);
        RecordEnd end = { .state = TASK_STATE_FAILED, .exit_status = 127, .ended_at_us = 1 };
        Record record;

        (void)strcpy(end.reason, "cannot enter '/\xff'");
        assert_int_equal(record_file_note_end(fd, &end), 0);
        assert_int_equal(record_file_read(dir_fd, "13.1", &record), 0);
        assert_int_equal(record.state, RECORD_STATE_ENDED);
        assert_false(record.has_command);
        assert_int_equal(record.end.exit_status, 127);
        assert_string_equal(record.end.reason, "cannot enter '/\xef\xbf\xbd'");
        assert_int_equal(unlinkat(dir_fd, "13.1", 0), 0);
}

static void test_the_longest_reason_fits(_unused_ void **state) {
        _cleanup_close_ int fd = create(13, 1);
        RecordEnd end = { .state = TASK_STATE_FAILED, .exit_status = 125 };
        Record record;

        (void)memset(end.reason, 'x', sizeof(end.reason) - 1);
        assert_int_equal(record_file_note_end(fd, &end), 0);
        assert_int_equal(record_file_read(dir_fd, "13.1", &record), 0);
        assert_string_equal(record.end.reason, end.reason);
        assert_int_equal(unlinkat(dir_fd, "13.1", 0), 0);
}

static void test_a_record_under_another_name_is_garbage(_unused_ void **state) {
        _unused_ _cleanup_close_ int fd = create(14, 1);

        assert_int_equal(renameat(dir_fd, "14.1", dir_fd, "14.2"), 0);
        assert_int_equal(state_of("14.2"), RECORD_STATE_GARBAGE);
        assert_int_equal(renameat(dir_fd, "14.2", dir_fd, "15.1"), 0);
        assert_int_equal(state_of("15.1"), RECORD_STATE_GARBAGE);
        assert_int_equal(renameat(dir_fd, "15.1", dir_fd, "14.1"), 0);
        assert_int_equal(state_of("14.1"), RECORD_STATE_STARTING);
        assert_int_equal(unlinkat(dir_fd, "14.1", 0), 0);
}

enum {
        N_RECYCLED = 64, /* names of files that were put away */
};

/* The only file that was put away. */
static const char *recycled(void) {
        static char name[RECORD_NAME_MAX];

        for (unsigned i = 0; i < N_RECYCLED; i++) {
                (void)snprintf(name, sizeof(name), "recycled-%u", i);
                if (faccessat(dir_fd, name, F_OK, 0) == 0)
                        return name;
        }
        return "none";
}

/* A start that gets a file which was put away: the first, or one after it, since not all names are tried for each. */
static int create_from_recycled(uint64_t ref) {
        for (unsigned i = 0; i < N_RECYCLED; i++) {
                int fd = create(ref, 1);
                char name[RECORD_NAME_MAX];

                if (strcmp(recycled(), "none") == 0)
                        return fd;
                (void)fd_close(fd);
                record_file_name(ref, 1, name);
                assert_int_equal(unlinkat(dir_fd, name, 0), 0);
        }
        fail();
        return -1;
}

/* The same inode, and nothing of what was in it. */
static void test_a_recycled_one_is_as_new(_unused_ void **state) {
        _cleanup_close_ int fd = create(16, 1);
        _cleanup_close_ int again = -1;
        const RecordEnd end = some_end();
        struct stat before, after;
        int other = -1;

        assert_int_equal(record_file_note_command(fd, 4712, 100, 1234), 0);
        assert_int_equal(record_file_note_end(fd, &end), 0);
        assert_int_equal(record_file_recycle(dir_fd, "16.1"), 0);
        assert_int_equal(faccessat(dir_fd, "16.1", F_OK, 0), -1);
        assert_int_equal(state_of(recycled()), RECORD_STATE_GARBAGE);

        again = create_from_recycled(17);
        assert_int_equal(fstat(fd, &before), 0);
        assert_int_equal(fstat(again, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(state_of("17.1"), RECORD_STATE_STARTING);

        /* and is claimed once */
        assert_int_equal(record_file_recycle(dir_fd, "17.1"), 0);
        (void)fd_close(create_from_recycled(18));
        (void)fd_close(create(19, 1));
        assert_int_equal(record_file_recycle(dir_fd, "19.1"), 0);
        assert_int_equal(record_file_create(&other, dir_fd, 18, 1, &keeper), RECORD_FILE_E_EXISTS);
        assert_int_equal(state_of("18.1"), RECORD_STATE_STARTING);
        assert_int_equal(unlinkat(dir_fd, "18.1", 0), 0);
        assert_int_equal(unlinkat(dir_fd, recycled(), 0), 0);
        assert_int_equal(record_file_recycle(dir_fd, "20.1"), -ENOENT);
}

/* Two may find the same one. */
static void test_a_recycled_one_that_somebody_is_about_to_take_is_left(_unused_ void **state) {
        _cleanup_close_ int other = -1;
        struct stat before, after;

        (void)fd_close(create(21, 1));
        assert_int_equal(record_file_recycle(dir_fd, "21.1"), 0);
        other = openat(dir_fd, recycled(), O_RDWR | O_CLOEXEC);
        assert_int_equal(flock(other, LOCK_EX), 0);
        assert_int_equal(fstat(other, &before), 0);
        for (unsigned i = 0; i < N_RECYCLED; i++) { /* sooner or later it is found */
                _cleanup_close_ int again = create(22, 1);

                assert_int_equal(fstat(again, &after), 0);
                assert_int_not_equal(before.st_ino, after.st_ino);
                assert_int_equal(unlinkat(dir_fd, "22.1", 0), 0);
        }
        assert_int_equal(unlinkat(dir_fd, recycled(), 0), 0);
}

enum {
        N_MANY = 4000,
};

_Noreturn static void make_many(bool recycle) {
        for (uint64_t ref = 1; ref <= N_MANY; ref++) {
                char name[RECORD_NAME_MAX];
                int fd = -1;

                record_file_name(ref, 1, name);
                if (record_file_create(&fd, dir_fd, ref, 1, &keeper) != 0)
                        _exit(1);
                (void)fd_close(fd);
                if (recycle && ref != N_MANY)
                        (void)record_file_recycle(dir_fd, name);
                else if (ref != N_MANY)
                        (void)unlinkat(dir_fd, name, 0);
        }
        _exit(0);
}

static int look_at(uint64_t ref, RecordState *ret) {
        char name[RECORD_NAME_MAX];
        Record record = {};
        int r;

        record_file_name(ref, 1, name);
        r = record_file_read(dir_fd, name, &record);
        *ret = record.state;
        return r;
}

/* Whenever somebody looks, or whoever makes it is killed. */
static void test_a_record_is_there_whole_or_not_at_all(_unused_ void **state) {
        for (int recycle = 0; recycle < 2; recycle++) {
                RecordState found;
                pid_t pid = fork();

                if (pid == 0)
                        make_many(recycle);
                for (uint64_t ref = 1;; ref = ref % N_MANY + 1) {
                        int r = look_at(ref, &found);

                        if (r == 0 && found == RECORD_STATE_GARBAGE && recycle)
                                r = look_at(ref, &found); /* it had become another one's */
                        if (r == 0 && found == RECORD_STATE_GARBAGE)
                                fail_msg("%" PRIu64 ".1 is garbage", ref);
                        if (r == 0 && ref == N_MANY)
                                break;
                }
                assert_int_equal(waitpid(pid, NULL, 0), pid);
                assert_int_equal(unlinkat(dir_fd, "4000.1", 0), 0);
                (void)unlinkat(dir_fd, recycled(), 0);
        }
}

static void test_what_is_left_of_one_that_was_killed_is_known(_unused_ void **state) {
        char name[RECORD_NAME_MAX];
        bool left = true;
        pid_t pid = fork();

        if (pid == 0)
                _exit(0);
        (void)snprintf(name, sizeof(name), "unfinished-%d", (int)getpid());
        assert_true(record_file_is_unfinished(name, &left));
        assert_false(left);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        (void)snprintf(name, sizeof(name), "unfinished-%d", (int)pid);
        assert_true(record_file_is_unfinished(name, &left));
        assert_true(left);
        assert_false(record_file_is_unfinished("unfinished-", &left));
        assert_false(record_file_is_unfinished("12.1", &left));
}

static void test_only_a_few_are_kept(_unused_ void **state) {
        char name[RECORD_NAME_MAX];
        unsigned n_kept = 0;

        for (uint64_t ref = 1; ref <= (uint64_t)2 * N_RECYCLED; ref++)
                (void)fd_close(create(ref, 1));
        for (uint64_t ref = 1; ref <= (uint64_t)2 * N_RECYCLED; ref++) {
                record_file_name(ref, 1, name);
                assert_int_equal(record_file_recycle(dir_fd, name), 0);
        }
        for (unsigned i = 0; i < 2 * N_RECYCLED; i++) {
                (void)snprintf(name, sizeof(name), "recycled-%u", i);
                n_kept += unlinkat(dir_fd, name, 0) == 0;
        }
        assert_int_equal(n_kept, N_RECYCLED);
}

/* A disk that was full, a power cut, an editor. */
static void test_what_is_cut_is_garbage(_unused_ void **state) {
        _cleanup_close_ int fd = create(14, 1);
        Record record;

        assert_int_equal(ftruncate(fd, RECORD_FILE_BYTES + 1), 0);
        assert_int_equal(state_of("14.1"), RECORD_STATE_GARBAGE);
        for (off_t n = RECORD_FILE_BYTES - 1; n >= 0; n -= 73) {
                assert_int_equal(ftruncate(fd, n), 0);
                assert_int_equal(state_of("14.1"), RECORD_STATE_GARBAGE);
        }
        assert_int_equal(unlinkat(dir_fd, "14.1", 0), 0);
        assert_int_equal(record_file_read(dir_fd, "14.1", &record), -ENOENT);
}

/* Whichever byte changes, nothing is believed of what it says. */
static void test_every_changed_byte_is_noticed(_unused_ void **state) {
        _cleanup_close_ int fd = create(14, 1);
        const RecordEnd end = some_end();
        _cleanup_free_ char *bytes = NULL;
        Record record;
        size_t n;

        assert_int_equal(record_file_note_command(fd, 4712, 100, 1234), 0);
        assert_int_equal(record_file_note_end(fd, &end), 0);
        assert_int_equal(fd_read_file(dir_fd, "14.1", &bytes, &n, 4096), 0);
        assert_int_equal(n, RECORD_FILE_BYTES);
        record_file_judge(bytes, n, &record);
        assert_int_equal(record.state, RECORD_STATE_ENDED);
        for (size_t i = 0; i < n; i++) {
                bytes[i] ^= 0x10;
                record_file_judge(bytes, n, &record);
                assert_int_equal(record.state, RECORD_STATE_GARBAGE);
                bytes[i] ^= 0x10;
        }
        assert_int_equal(unlinkat(dir_fd, "14.1", 0), 0);
}

/* A task cannot be running or lost by its own record. */
static void test_an_end_must_be_one(_unused_ void **state) {
        static const RecordEnd ends[] = {
                { .state = TASK_STATE_RUNNING, .exit_status = 0 },
                { .state = TASK_STATE_LOST, .exit_status = -1 },
                { .state = TASK_STATE_DONE, .exit_status = 256 },
                { .state = TASK_STATE_DONE, .exit_status = -2 },
                { .state = TASK_STATE_FAILED, .exit_status = -1, .signal = 65 },
                { .state = TASK_STATE_FAILED, .exit_status = -1, .signal = -1 },
        };
        _cleanup_close_ int fd = create(14, 1);

        for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
                assert_int_equal(record_file_note_end(fd, &ends[i]), 0);
                assert_int_equal(state_of("14.1"), RECORD_STATE_GARBAGE);
        }
        assert_int_equal(unlinkat(dir_fd, "14.1", 0), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names_are_those_of_starts),
                cmocka_unit_test(test_other_names_are_refused),
                cmocka_unit_test(test_a_start_is_claimed_once),
                cmocka_unit_test(test_it_is_what_was_written),
                cmocka_unit_test(test_what_could_not_be_started_has_an_end_and_no_command),
                cmocka_unit_test(test_the_longest_reason_fits),
                cmocka_unit_test(test_a_record_under_another_name_is_garbage),
                cmocka_unit_test(test_a_recycled_one_is_as_new),
                cmocka_unit_test(test_a_recycled_one_that_somebody_is_about_to_take_is_left),
                cmocka_unit_test(test_a_record_is_there_whole_or_not_at_all),
                cmocka_unit_test(test_what_is_left_of_one_that_was_killed_is_known),
                cmocka_unit_test(test_only_a_few_are_kept),
                cmocka_unit_test(test_what_is_cut_is_garbage),
                cmocka_unit_test(test_every_changed_byte_is_noticed),
                cmocka_unit_test(test_an_end_must_be_one),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
