/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "probe/ram.h"
#include "util/cleanup.h"

#include "check.h"

enum {
        /* What meminfo says in every case without ZFS. */
        TOTAL_MIB = 16384,
        AVAILABLE_MIB = 12288,
};

static RamSource open_case(const char *name) {
        RamSource source;
        char path[128];

        (void)snprintf(path, sizeof(path), "../data/ram/%s/proc", name);
        source.proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(source.proc_fd >= 0);
        (void)snprintf(path, sizeof(path), "../data/ram/%s/cgroup", name);
        source.cgroup_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return source;
}

static void assert_figures(const char *name,
                           uint64_t total_mib,
                           uint64_t available_mib,
                           bool limited) {
        _cleanup_(ram_source_close) RamSource source = open_case(name);
        RamFigures figures = {};
        int r;

        r = ram_read(&source, &figures);
        if (r != 0 || figures.total_bytes != total_mib * MIB ||
            figures.available_bytes != available_mib * MIB || figures.limited != limited)
                fail_msg("%s: %d, total %" PRIu64 " MiB, available %" PRIu64 " MiB, limited %d",
                         name, r, figures.total_bytes / MIB, figures.available_bytes / MIB,
                         figures.limited);
}

static void assert_room(const char *name, uint64_t room_bytes) {
        _cleanup_(ram_source_close) RamSource source = open_case(name);
        uint64_t have = 0;
        int r;

        r = ram_read_own_cgroup(&source, &have);
        if (r != 0 || have != room_bytes)
                fail_msg("%s: %d, room %" PRIu64 " MiB", name, r, have / MIB);
}

static void test_without_a_limit_the_machine_counts(_unused_ void **state) {
        assert_figures("no-cgroups", TOTAL_MIB, AVAILABLE_MIB, false);
        assert_figures("v2-loose", TOTAL_MIB, AVAILABLE_MIB, false);
        assert_figures("v1-host", TOTAL_MIB, AVAILABLE_MIB, false);
}

/* decisions.md 11: what our own unit may use says nothing about the machine. */
static void test_the_cage_of_our_own_unit_does_not_count(_unused_ void **state) {
        assert_figures("v2-unit", TOTAL_MIB, AVAILABLE_MIB, false);
        assert_figures("v2-nested", TOTAL_MIB, AVAILABLE_MIB, false);
}

static void test_a_container_is_limited(_unused_ void **state) {
        assert_figures("v2-container", 4096, 4096 - (3072 - 1024 - 512 - 256), true);
        assert_figures("v2-high", 2048, 1024, true);
        assert_figures("v2-outside", 4096, 3072, true);
        assert_figures("v1-container", 2048, 2048 - (1536 - 1024 - 128), true);
        assert_figures("v1-pod", 3072, 2048, true);
        assert_figures("v1-joined", 2048, 1024, true);
        assert_figures("hybrid", 3072, 2048, true);
}

static void test_shared_memory_is_no_file_cache(_unused_ void **state) {
        assert_figures("v2-shmem", 4096, 1024, true);
}

static void test_a_full_container_has_nothing_and_not_much(_unused_ void **state) {
        assert_figures("v2-full", 2048, 0, true);
}

static void test_a_limit_that_is_no_number_is_an_error(_unused_ void **state) {
        _cleanup_(ram_source_close) RamSource source = open_case("broken-limit");
        RamFigures figures = { .total_bytes = 1 };
        uint64_t room_bytes = 1;

        assert_true(ram_read(&source, &figures) < 0);
        assert_int_equal(figures.total_bytes, 1);
        assert_true(ram_read_own_cgroup(&source, &room_bytes) < 0);
        assert_int_equal(room_bytes, 1);
}

static void test_the_cache_of_zfs_above_its_minimum_is_available(_unused_ void **state) {
        assert_figures("zfs", TOTAL_MIB, 4096 + 6144 - 512, false);
        assert_figures("zfs-too-large", TOTAL_MIB, TOTAL_MIB, false);
        assert_figures("zfs-small", TOTAL_MIB, 4096, false);
}

static void test_in_a_container_the_cache_of_zfs_is_the_hosts(_unused_ void **state) {
        assert_figures("zfs-container", TOTAL_MIB, 4096, false);
        assert_figures("zfs-lxcfs", TOTAL_MIB, 4096, false);
        assert_figures("zfs-limited", 8192, 3072, true);
}

static void test_the_room_of_a_process_is_that_of_the_tightest_level(_unused_ void **state) {
        assert_room("v2-nested", (8 - (7 - 2)) * GIB);
        assert_room("v2-unit", (512 - (200 - 100)) * MIB);
        assert_room("v2-high", GIB);
        assert_room("v2-full", 0);
        assert_room("v1-host", GIB);
}

static void test_groups_outside_of_what_we_see_do_not_count(_unused_ void **state) {
        assert_room("v2-outside", 3 * GIB);
        assert_room("v1-container", (2048 - (1536 - 1024 - 128)) * MIB);
}

static void test_where_nothing_is_limited_there_is_no_room_to_tell(_unused_ void **state) {
        assert_room("no-cgroups", UINT64_MAX);
}

static void test_this_machine_can_be_read(_unused_ void **state) {
        _cleanup_(ram_source_close) RamSource source = { -1, -1 };
        RamFigures figures = {};
        uint64_t room_bytes = 0;

        assert_int_equal(ram_source_open(&source), 0);
        assert_int_equal(ram_read(&source, &figures), 0);
        assert_true(figures.total_bytes > 16 * MIB);
        assert_true(figures.available_bytes <= figures.total_bytes);
        assert_int_equal(ram_read_own_cgroup(&source, &room_bytes), 0);
        assert_true(room_bytes > 0);
}

static void test_meminfo_that_makes_no_sense_is_refused(_unused_ void **state) {
        static const char *const texts[] = {
                "",
                "MemTotal: 1 kB\n",
                "MemAvailable: 1 kB\n",
                "MemTotal: 0 kB\nMemAvailable: 0 kB\n",
                "MemTotal: 2\nMemAvailable: 1 kB\n",
                "MemTotal: 2 MB\nMemAvailable: 1 kB\n",
                "MemTotal: -2 kB\nMemAvailable: 1 kB\n",
                "MemTotal: 2 kB 3\nMemAvailable: 1 kB\n",
                "MemTotal: 18014398509481984 kB\nMemAvailable: 1 kB\n",
                "MemTotal: 99999999999999999999 kB\nMemAvailable: 1 kB\n",
                "MemTotal: kB\nMemAvailable: 1 kB\n",
                " MemTotal: 2 kB\nMemAvailable: 1 kB\n",
                "xMemTotal: 2 kB\nMemAvailable: 1 kB\n",
                "MemTotalled: 2 kB\nMemAvailable: 1 kB\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                uint64_t total_bytes = 7;
                uint64_t available_bytes = 7;

                if (ram_parse_meminfo(texts[i], strlen(texts[i]), &total_bytes, &available_bytes) !=
                            -ENODATA ||
                    total_bytes != 7 || available_bytes != 7)
                        fail_msg("'%s'", texts[i]);
        }
}

static void test_meminfo_needs_no_newline_at_its_end(_unused_ void **state) {
        static const char text[] = "MemTotal: 4 kB\nMemAvailable:\t3 kBxyz";
        uint64_t total_bytes;
        uint64_t available_bytes;

        assert_int_equal(ram_parse_meminfo(text, sizeof(text) - 4, &total_bytes, &available_bytes),
                         0);
        assert_int_equal(total_bytes, 4096);
        assert_int_equal(available_bytes, 3072);
}

/* Some versions of lxcfs did that. */
static void test_no_more_is_available_than_there_is(_unused_ void **state) {
        static const char text[] = "MemTotal: 4 kB\nMemAvailable: 5 kB\n";
        uint64_t total_bytes;
        uint64_t available_bytes;

        assert_int_equal(ram_parse_meminfo(text, strlen(text), &total_bytes, &available_bytes), 0);
        assert_int_equal(available_bytes, 4096);
}

static void test_arcstats_that_make_no_sense_are_refused(_unused_ void **state) {
        static const char *const texts[] = {
                "",
                "size 4 10\n",
                "c_min 4 10\n",
                "c_min 4 1\nsize 10\n",
                "c_min 4 1\nsize 3 10\n",
                "c_min 4 1\nsize 4 -10\n",
                "c_min 4 1\nsize 4 10x\n",
                "c_min 4 1\nsize 4\n",
                "c_min 4 1\nsizes 4 10\n",
        };
        static const char good[] = "c_min 4 1\ncompressed_size 4 5\nsize    4    10";
        uint64_t bytes = 7;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (ram_parse_arcstats(texts[i], strlen(texts[i]), &bytes) != -ENODATA ||
                    bytes != 7)
                        fail_msg("'%s'", texts[i]);
        assert_int_equal(ram_parse_arcstats(good, strlen(good), &bytes), 0);
        assert_int_equal(bytes, 9);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_without_a_limit_the_machine_counts),
                cmocka_unit_test(test_the_cage_of_our_own_unit_does_not_count),
                cmocka_unit_test(test_a_container_is_limited),
                cmocka_unit_test(test_shared_memory_is_no_file_cache),
                cmocka_unit_test(test_a_full_container_has_nothing_and_not_much),
                cmocka_unit_test(test_a_limit_that_is_no_number_is_an_error),
                cmocka_unit_test(test_the_cache_of_zfs_above_its_minimum_is_available),
                cmocka_unit_test(test_in_a_container_the_cache_of_zfs_is_the_hosts),
                cmocka_unit_test(test_the_room_of_a_process_is_that_of_the_tightest_level),
                cmocka_unit_test(test_groups_outside_of_what_we_see_do_not_count),
                cmocka_unit_test(test_where_nothing_is_limited_there_is_no_room_to_tell),
                cmocka_unit_test(test_this_machine_can_be_read),
                cmocka_unit_test(test_meminfo_that_makes_no_sense_is_refused),
                cmocka_unit_test(test_meminfo_needs_no_newline_at_its_end),
                cmocka_unit_test(test_no_more_is_available_than_there_is),
                cmocka_unit_test(test_arcstats_that_make_no_sense_are_refused),
        };

        return cmocka_run_group_tests_name("probe-ram", tests, NULL, NULL);
}
