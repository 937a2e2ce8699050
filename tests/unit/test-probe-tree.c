/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/tree.h"
#include "util/cleanup.h"

#include "check.h"

enum {
        RUNNER = 100,
        BUDGET_US = 10000000,
        SHARED_MIB = 64,
        N_CHILDREN = 4,
};

/* Files of the folders belong to whoever checked them out. */
static uid_t my_uid;

static int open_case(const char *name) {
        char path[128];
        struct stat st;
        int fd;

        (void)snprintf(path, sizeof(path), "../data/tree/%s", name);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(fstat(fd, &st), 0);
        my_uid = st.st_uid;
        return fd;
}

static int compare(const void *a, const void *b) {
        return *(const pid_t *)a - *(const pid_t *)b;
}

static void assert_pids(int proc_fd, pid_t root, const char *want) {
        _cleanup_free_ pid_t *pids = NULL;
        char have[256] = "";
        ssize_t n;

        n = tree_pids(proc_fd, root, my_uid, &pids);
        assert_true(n >= 0);
        if (n > 0)
                qsort(pids, (size_t)n, sizeof(*pids), compare);
        else
                assert_null(pids);
        for (ssize_t i = 0; i < n; i++) {
                size_t used = strlen(have);

                (void)snprintf(have + used, sizeof(have) - used, "%d ", pids[i]);
        }
        assert_string_equal(have, want);
}

static void test_all_descendants_are_found(_unused_ void **state) {
        _cleanup_close_ int fd = open_case("plain/proc");

        assert_pids(fd, RUNNER, "101 102 103 105 106 ");
        assert_pids(fd, 102, "103 ");
        assert_pids(fd, 103, "");
        assert_pids(fd, 4711, "");
}

static void test_processes_of_others_do_not_count(_unused_ void **state) {
        _cleanup_close_ int fd = open_case("plain/proc");
        _cleanup_free_ pid_t *pids = NULL;
        TreeUse use;

        assert_int_equal(tree_pids(fd, RUNNER, my_uid + 1, &pids), 0);
        assert_int_equal(tree_measure(fd, RUNNER, my_uid + 1, BUDGET_US, &use), -ESRCH);
}

/* A process may change its parent while we scan. */
static void test_a_ring_of_parents_ends(_unused_ void **state) {
        _cleanup_close_ int fd = open_case("ring/proc");

        assert_pids(fd, RUNNER, "10 11 12 ");
        assert_pids(fd, 20, "21 ");
}

static void test_shared_pages_count_once(_unused_ void **state) {
        _cleanup_close_ int fd = open_case("plain/proc");
        TreeUse use = {};

        assert_int_equal(tree_measure(fd, 101, my_uid, BUDGET_US, &use), 0);
        /* 106 may not be looked into: its 1 MiB is RSS, and 105 has none. */
        assert_int_equal(use.memory_bytes, (2 * 512 + 2 * 256 + 1) * MIB);
        assert_int_equal(use.n_processes, 4);
        assert_int_equal(use.method, TREE_METHOD_RSS);

        assert_int_equal(tree_measure(fd, 102, my_uid, BUDGET_US, &use), 0);
        assert_int_equal(use.memory_bytes, (512 + 256) * MIB);
        assert_int_equal(use.n_processes, 1);
        assert_int_equal(use.method, TREE_METHOD_PSS);
}

static void test_without_time_the_rest_is_told_by_rss(_unused_ void **state) {
        _cleanup_close_ int fd = open_case("plain/proc");
        TreeUse use = {};

        assert_int_equal(tree_measure(fd, RUNNER, my_uid, 0, &use), 0);
        assert_int_equal(use.memory_bytes, (2 + 2 * 1024 + 512 + 1) * MIB);
        assert_int_equal(use.n_processes, 5);
        assert_int_equal(use.method, TREE_METHOD_RSS);
}

/* Two processes with 1 GiB each, of which the machine has lost 1.5 GiB: they share the rest. */
static void test_no_task_holds_more_than_is_taken(_unused_ void **state) {
        _cleanup_close_ int fd = open_case("crowded/proc");
        TreeUse use = {};

        assert_int_equal(tree_measure(fd, RUNNER, my_uid, 0, &use), 0);
        assert_int_equal(use.memory_bytes, 1536 * MIB);
        assert_int_equal(use.n_processes, 2);
}

/* Measured at 4 ms a GiB: 102 and 103 would take 6 ms each. */
static void test_a_walk_that_would_take_too_long_is_not_begun(_unused_ void **state) {
        _cleanup_close_ int fd = open_case("plain/proc");
        TreeUse use = {};

        assert_int_equal(tree_measure(fd, 102, my_uid, 3000, &use), 0);
        assert_int_equal(use.memory_bytes, (1024 + 512) * MIB);
        assert_int_equal(use.method, TREE_METHOD_RSS);
}

static int measure_groups(int proc_fd, int cgroup_fd, const char *list, TreeUse *ret) {
        _cleanup_free_ char *copy = strdup(list);
        pid_t pids[8];
        size_t n = 0;
        char *rest = NULL;

        for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
                pids[n++] = (pid_t)strtol(word, NULL, 10);
        return tree_measure_cgroup(proc_fd, cgroup_fd, RUNNER, pids, n, ret);
}

static void test_a_group_of_its_own_tells_all_at_once(_unused_ void **state) {
        _cleanup_close_ int proc_fd = open_case("groups/proc");
        _cleanup_close_ int cgroup_fd = open_case("groups/cgroup");
        TreeUse use = {};

        assert_int_equal(measure_groups(proc_fd, cgroup_fd, "102 101 103", &use), 0);
        assert_int_equal(use.memory_bytes, (1024 + 256 + 100 - 40) * MIB);
        assert_int_equal(use.method, TREE_METHOD_CGROUP);
        assert_int_equal(use.n_processes, 3);

        /* Kernels before 5.18 have no `kernel`. */
        assert_int_equal(measure_groups(proc_fd, cgroup_fd, "111", &use), 0);
        assert_int_equal(use.memory_bytes, (1024 + 256 + 1 + 2 + 30) * MIB);
}

static void test_a_group_that_is_not_just_the_tasks_tells_nothing(_unused_ void **state) {
        static const struct {
                const char *label;
                const char *pids;
        } cases[] = {
                { "a stranger in it", "121 122" },
                { "groups below it", "131" },
                { "the runner in it", "141" },
                { "memory is not counted", "151" },
                { "not all of the task in it", "161 162" },
                { "less than all in it", "101 102" },
                { "the root", "171" },
                { "gone", "181" },
                { "not readable", "4711" },
        };
        _cleanup_close_ int proc_fd = open_case("groups/proc");
        _cleanup_close_ int cgroup_fd = open_case("groups/cgroup");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                TreeUse use = {};

                if (measure_groups(proc_fd, cgroup_fd, cases[i].pids, &use) != -ENODATA)
                        fail_msg("%s", cases[i].label);
        }
}

static uint64_t owner_of_101(pid_t pid, void *userdata) {
        unsigned *n_asked = userdata;

        (*n_asked)++;
        return pid == 101 ? 12 : 0;
}

static void test_the_owner_is_found_among_the_ancestors(_unused_ void **state) {
        _cleanup_close_ int fd = open_case("plain/proc");
        unsigned n_asked = 0;
        uid_t uid = my_uid + 1;

        assert_int_equal(tree_find_owner(fd, 103, owner_of_101, &n_asked, &uid), 12);
        assert_int_equal(uid, my_uid);
        assert_int_equal(n_asked, 3);
        assert_int_equal(tree_find_owner(fd, 101, owner_of_101, &n_asked, NULL), 12);

        uid = my_uid + 1;
        assert_int_equal(tree_find_owner(fd, 100, owner_of_101, &n_asked, &uid), 0);
        assert_int_equal(tree_find_owner(fd, 4711, owner_of_101, &n_asked, &uid), 0);
        assert_int_equal(tree_find_owner(fd, 0, owner_of_101, &n_asked, &uid), 0);
        assert_int_equal(tree_find_owner(fd, -1, owner_of_101, &n_asked, &uid), 0);
        assert_int_equal(uid, my_uid + 1);
}

static void test_the_search_for_an_owner_is_bounded(_unused_ void **state) {
        _cleanup_close_ int fd = open_case("ring/proc");
        unsigned n_asked = 0;

        assert_int_equal(tree_find_owner(fd, 20, owner_of_101, &n_asked, NULL), 0);
        assert_int_equal(n_asked, 1024);
}

static void test_stat_is_read_behind_the_last_bracket(_unused_ void **state) {
        static const char text[] =
                "12 (a) Z 1 (b)) S 34 12 12 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 7 0 9";
        TreeStat stat = {};

        assert_int_equal(tree_parse_stat(text, strlen(text), &stat), 0);
        assert_int_equal(stat.state, 'S');
        assert_int_equal(stat.parent, 34);
        assert_int_equal(stat.n_threads, 7);
}

static void test_stat_that_makes_no_sense_is_refused(_unused_ void **state) {
        static const char *const texts[] = {
                "",
                "12 (sh",
                "12 (sh)",
                "12 (sh) S",
                "12 (sh) S ",
                "12 (sh) S 1",
                "12 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
                "12 (sh) S -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
                "12 (sh) 1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
                "12 (sh) S 1x 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
                "12 (sh) S 99999999999 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
                "12 (sh) SS 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
                "12 (sh)S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                TreeStat stat = { .parent = 7 };

                if (tree_parse_stat(texts[i], strlen(texts[i]), &stat) != -EBADMSG ||
                    stat.parent != 7)
                        fail_msg("'%s'", texts[i]);
        }
}

/* A child that says when it is ready, and lives until it is killed. */
static pid_t fork_child(void (*prepare)(void)) {
        pid_t pid;
        int fds[2];
        char c;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (prepare)
                        prepare();
                if (write(fds[1], "r", 1) != 1)
                        _exit(1);
                for (;;)
                        (void)pause();
        }
        (void)close(fds[1]);
        assert_int_equal(read(fds[0], &c, 1), 1);
        (void)close(fds[0]);
        return pid;
}

static void end_child(pid_t pid) {
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* What made the sum of RSS useless: a loader of data and its readers. */
static void test_the_pages_of_forked_children_count_once(_unused_ void **state) {
        _cleanup_close_ int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        const size_t n = SHARED_MIB * MIB;
        pid_t pids[N_CHILDREN];
        TreeUse use = {};
        char *p;

        p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(p, MAP_FAILED);
        memset(p, 7, n);
        for (size_t i = 0; i < N_CHILDREN; i++)
                pids[i] = fork_child(NULL);

        assert_int_equal(tree_measure(proc_fd, getpid(), getuid(), BUDGET_US, &use), 0);
        assert_int_equal(use.method, TREE_METHOD_PSS);
        assert_int_equal(use.n_processes, N_CHILDREN);
        /* The parent, which is the runner here, has its part. */
        assert_in_range(use.memory_bytes, n / (N_CHILDREN + 1) * N_CHILDREN, n + 64 * MIB);

        assert_int_equal(tree_measure(proc_fd, getpid(), getuid(), 0, &use), 0);
        assert_int_equal(use.method, TREE_METHOD_RSS);
        assert_true(use.memory_bytes >= n * N_CHILDREN);

        for (size_t i = 0; i < N_CHILDREN; i++)
                end_child(pids[i]);
        assert_int_equal(tree_measure(proc_fd, getpid(), getuid(), 0, &use), -ESRCH);
        (void)munmap(p, n);
}

static void *pause_for_ever(void *unused) {
        for (;;)
                (void)pause();
        return unused;
}

static void *end_first_thread(void *unused) {
        char path[64];
        TreeStat stat = {};

        /* Ready only when the first thread has ended. */
        (void)snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
        do {
                _cleanup_free_ char *text = NULL;
                size_t n = 0;

                if (fd_read_file(AT_FDCWD, path, &text, &n, 4096) < 0 ||
                    tree_parse_stat(text, n, &stat) < 0)
                        _exit(1);
        } while (stat.state != 'Z');
        if (write(*(int *)unused, "r", 1) != 1)
                _exit(1);
        return pause_for_ever(NULL);
}

static void test_a_process_outlives_its_first_thread(_unused_ void **state) {
        _cleanup_close_ int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ pid_t *pids = NULL;
        static int fds[2];
        pid_t pid;
        char c;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                pthread_t thread;

                (void)prctl(PR_SET_NAME, ") Z 1 1");
                if (pthread_create(&thread, NULL, end_first_thread, &fds[1]) != 0)
                        _exit(1);
                pthread_exit(NULL);
        }
        assert_int_equal(read(fds[0], &c, 1), 1);

        assert_int_equal(tree_pids(proc_fd, getpid(), getuid(), &pids), 1);
        assert_int_equal(pids[0], pid);
        end_child(pid);
        (void)close(fds[0]);
        (void)close(fds[1]);
}

static void test_a_zombie_is_left_out(_unused_ void **state) {
        _cleanup_close_ int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ pid_t *pids = NULL;
        pid_t pid = fork_child(NULL);
        siginfo_t info;

        assert_int_equal(tree_pids(proc_fd, getpid(), getuid(), &pids), 1);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        free(TAKE_PTR(pids));
        assert_int_equal(tree_pids(proc_fd, getpid(), getuid(), &pids), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_descendants_are_found),
                cmocka_unit_test(test_processes_of_others_do_not_count),
                cmocka_unit_test(test_a_ring_of_parents_ends),
                cmocka_unit_test(test_shared_pages_count_once),
                cmocka_unit_test(test_without_time_the_rest_is_told_by_rss),
                cmocka_unit_test(test_no_task_holds_more_than_is_taken),
                cmocka_unit_test(test_a_walk_that_would_take_too_long_is_not_begun),
                cmocka_unit_test(test_a_group_of_its_own_tells_all_at_once),
                cmocka_unit_test(test_a_group_that_is_not_just_the_tasks_tells_nothing),
                cmocka_unit_test(test_the_owner_is_found_among_the_ancestors),
                cmocka_unit_test(test_the_search_for_an_owner_is_bounded),
                cmocka_unit_test(test_stat_is_read_behind_the_last_bracket),
                cmocka_unit_test(test_stat_that_makes_no_sense_is_refused),
                cmocka_unit_test(test_the_pages_of_forked_children_count_once),
                cmocka_unit_test(test_a_process_outlives_its_first_thread),
                cmocka_unit_test(test_a_zombie_is_left_out),
        };

        return cmocka_run_group_tests_name("probe-tree", tests, NULL, NULL);
}
