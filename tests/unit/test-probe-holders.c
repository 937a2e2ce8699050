/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/holders.h"
#include "util/cleanup.h"
#include "util/fd.h"

#include "check.h"

/* A folder that looks like /proc, made anew for each test. */
typedef struct World {
        char path[64];
        int fd;
        pid_t pids[64];
        size_t n;
} World;

static int set_up(void **state) {
        static World world;

        world = (World){ .path = "/tmp/test-probe-holders.XXXXXX" };
        if (!mkdtemp(world.path))
                return -1;
        world.fd = open(world.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = &world;
        return world.fd < 0 ? -1 : 0;
}

static void path_of(const World *world, pid_t pid, const char *name, char buf[static 256]) {
        (void)snprintf(buf, 256, "%s/%d/%s", world->path, pid, name);
}

static void write_file(const World *world, pid_t pid, const char *name, const char *text) {
        char path[256];
        FILE *f;

        path_of(world, pid, name, path);
        f = fopen(path, "we");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
}

/* A process with that much of its own and as much of files, which its end would not make free. */
static void add(World *world, pid_t pid, pid_t parent, unsigned anon_kib, unsigned shmem_kib) {
        unsigned page_kib = (unsigned)sysconf(_SC_PAGESIZE) / 1024;
        char text[512];
        char path[256];

        path_of(world, pid, "", path);
        assert_int_equal(mkdir(path, 0755), 0);
        world->pids[world->n++] = pid;
        (void)snprintf(text, sizeof(text),
                       "%d (a ) b) S %d 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", pid,
                       parent, 1000 + pid);
        write_file(world, pid, "stat", text);
        (void)snprintf(text, sizeof(text), "999999 %u 0 0 0 0 0\n",
                       2 * (anon_kib + shmem_kib) / page_kib);
        write_file(world, pid, "statm", text);
        (void)snprintf(text, sizeof(text),
                       "Name:\ta ) b\nRssAnon:\t%u kB\nRssFile:\t%u kB\nRssShmem:\t%u kB\n",
                       anon_kib, anon_kib + shmem_kib, shmem_kib);
        write_file(world, pid, "status", text);
}

static void remove_file(const World *world, pid_t pid, const char *name) {
        char path[256];

        path_of(world, pid, name, path);
        (void)unlink(path);
}

static int tear_down(void **state) {
        World *world = *state;
        char path[256];

        for (size_t i = 0; i < world->n; i++) {
                remove_file(world, world->pids[i], "stat");
                remove_file(world, world->pids[i], "statm");
                remove_file(world, world->pids[i], "status");
                path_of(world, world->pids[i], "", path);
                (void)rmdir(path);
        }
        (void)close(world->fd);
        return rmdir(world->path);
}

static Outsiders holders(const World *world, const pid_t *roots, size_t n_roots) {
        Outsiders found;

        assert_int_equal(holders_of_ram(world->fd, roots, n_roots, &found), 0);
        return found;
}

static void test_it_is_said_who_holds_what(void **state) {
        World *world = *state;
        Outsiders found;

        add(world, 10, 1, 4096, 0);
        add(world, 11, 1, 8192, 1024);
        add(world, 12, 2, 0, 0); /* of the kernel */
        found = holders(world, NULL, 0);
        assert_int_equal(found.n, 2);
        assert_int_equal(found.n_more, 0);
        assert_int_equal(found.items[0].pid, 11);
        assert_int_equal(found.items[0].used_bytes, 9216 * 1024);
        assert_int_equal(found.items[0].uid, getuid());
        assert_int_equal(found.items[0].start_ticks, 1011);
        assert_int_equal(found.items[1].pid, 10);
        assert_int_equal(found.items[1].used_bytes, 4096 * 1024);
}

static void test_what_belongs_to_a_task_is_left_out(void **state) {
        static const pid_t roots[] = { 20, 30 };
        World *world = *state;
        Outsiders found;

        add(world, 10, 1, 4096, 0);
        add(world, 20, 10, 8192, 0); /* a task of 10, which itself is none */
        add(world, 21, 20, 8192, 0);
        add(world, 22, 21, 8192, 0);
        add(world, 30, 1, 8192, 0);
        add(world, 31, 2, 1024, 0);
        found = holders(world, roots, 2);
        assert_int_equal(found.n, 2);
        assert_int_equal(found.items[0].pid, 10);
        assert_int_equal(found.items[1].pid, 31);
}

static void test_of_many_those_that_hold_most_are_listed(void **state) {
        World *world = *state;
        Outsiders found;

        for (pid_t pid = 1; pid <= 40; pid++)
                add(world, 100 + pid, 1, (unsigned)(pid * 7 % 41) * 1024, 0);
        found = holders(world, NULL, 0);
        assert_int_equal(found.n, OUTSIDERS_MAX);
        assert_int_equal(found.n_more, 40 - OUTSIDERS_MAX);
        for (unsigned i = 0; i < OUTSIDERS_MAX; i++)
                assert_int_equal(found.items[i].used_bytes, (uint64_t)(40 - i) << 20);
}

static void test_those_that_end_or_are_not_to_be_seen_cost_nobody_anything(void **state) {
        World *world = *state;
        Outsiders found;

        add(world, 10, 1, 4096, 0);
        add(world, 11, 1, 4096, 0);
        add(world, 12, 1, 4096, 0);
        add(world, 13, 1, 4096, 0);
        remove_file(world, 11, "stat");
        remove_file(world, 12, "statm");
        remove_file(world, 13, "status");
        found = holders(world, NULL, 0);
        assert_int_equal(found.n, 1);
        assert_int_equal(found.items[0].pid, 10);
}

static void test_a_ring_of_parents_has_an_end(void **state) {
        static const pid_t roots[] = { 99 };
        World *world = *state;

        add(world, 10, 11, 4096, 0);
        add(world, 11, 10, 4096, 0);
        assert_int_equal(holders(world, roots, 1).n, 2);
}

static void test_nonsense_is_nobody(void **state) {
        World *world = *state;

        add(world, 10, 1, 4096, 0);
        add(world, 11, 1, 4096, 0);
        write_file(world, 10, "stat", "10 (x S 1\n");
        write_file(world, 11, "statm", "99 -1\n");
        assert_int_equal(holders(world, NULL, 0).n, 0);
}

static void test_this_process_is_found_in_the_real_one(_unused_ void **state) {
        _cleanup_close_ int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        pid_t me = getpid();
        Outsiders found;

        assert_true(proc_fd >= 0);
        assert_int_equal(holders_of_ram(proc_fd, NULL, 0, &found), 0);
        assert_true(found.n > 0);
        assert_int_equal(holders_of_ram(proc_fd, &me, 1, &found), 0);
        for (size_t i = 0; i < found.n; i++)
                assert_int_not_equal(found.items[i].pid, me);
        assert_int_equal(holders_of_ram(-1, NULL, 0, &found), -EBADF);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_it_is_said_who_holds_what),
                TEST(test_what_belongs_to_a_task_is_left_out),
                TEST(test_of_many_those_that_hold_most_are_listed),
                TEST(test_those_that_end_or_are_not_to_be_seen_cost_nobody_anything),
                TEST(test_a_ring_of_parents_has_an_end),
                TEST(test_nonsense_is_nobody),
                cmocka_unit_test(test_this_process_is_found_in_the_real_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
