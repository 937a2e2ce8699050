/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What is said of a request that was far off
 */

#include "core/slack.h"

#include "test-core-fixture.h"

/* A task that has run for so long, of which so much was seen. */
typedef struct Seen {
        unsigned minutes;
        uint64_t asked_bytes, took_bytes;         /* of RAM; 0: unknown what it took */
        uint64_t gpu_asked_bytes, gpu_took_bytes; /* of GPU 3; 0: none */
} Seen;

static void assert_said(Seen seen, const char *want) {
        GpuGrant grant = { .index = 3, .bytes = seen.gpu_asked_bytes };
        Usage usage = { .known = seen.gpu_took_bytes > 0, .peak_bytes = seen.gpu_took_bytes };
        Task task = {
                .started_at_us = HOUR,
                .needs.memory_bytes = seen.asked_bytes,
                .memory = { .known = seen.took_bytes > 0, .peak_bytes = seen.took_bytes },
        };
        char buf[SLACK_SENTENCE_MAX];

        if (seen.gpu_asked_bytes > 0) {
                task.needs.n_gpus = 1;
                task.gpus = &grant;
                task.gpu_usage = &usage;
        }
        assert_int_equal(slack_sentence(&task, HOUR + 60 * SEC * seen.minutes, buf, sizeof(buf)),
                         want[0] != '\0');
        assert_string_equal(buf, want);
}

static void test_less_than_half_is_said(_unused_ void **state) {
        assert_said((Seen){ 1, 0, 0, 20 * GIB, 8 * GIB }, "asked 20G on GPU 3, took 8G at most");
        assert_said((Seen){ 1, 64 * GIB, 3 * GIB, 20 * GIB, 8 * GIB },
                    "asked 20G on GPU 3, took 8G at most; asked 64G of RAM, took 3G at most");
        assert_said((Seen){ 1, 20 * GIB, 10 * GIB, 20 * GIB, 10 * GIB }, "");
        assert_said((Seen){ 1, 20 * GIB, 10 * GIB - 1, 0, 0 },
                    "asked 20G of RAM, took 10G at most");
}

static void test_more_than_twice_of_ram_is_said(_unused_ void **state) {
        assert_said((Seen){ 1, 2 * GIB, 5 * GIB, 0, 0 }, "asked 2G of RAM, took 5G at most");
        assert_said((Seen){ 1, 2 * GIB, 4 * GIB, 0, 0 }, "");
        assert_said((Seen){ 1, 0, 5 * GIB, 0, 0 }, "");
        assert_said((Seen){ 1, 0, 0, 2 * GIB, 5 * GIB }, "");
}

static void test_a_short_run_says_nothing(_unused_ void **state) {
        assert_said((Seen){ 0, 64 * GIB, GIB, 20 * GIB, GIB }, "");
}

static void test_what_could_not_be_measured_says_nothing(_unused_ void **state) {
        assert_said((Seen){ 9, 64 * GIB, 0, 20 * GIB, 0 }, "");
}

static void test_a_whole_gpu_is_asked_for_to_be_alone(_unused_ void **state) {
        assert_said((Seen){ 9, 0, 0, GPU_WHOLE, GIB }, "");
}

static void test_a_little_is_no_news(_unused_ void **state) {
        assert_said((Seen){ 9, 110 * MIB, 11 * MIB, 0, 0 }, "");
        assert_said((Seen){ 9, 111 * MIB, 11 * MIB, 0, 0 }, "asked 111M of RAM, took 11M at most");
}

static void test_it_ends_where_there_is_no_room(_unused_ void **state) {
        Task task = { .started_at_us = HOUR, .needs.memory_bytes = 64 * GIB };
        char buf[16];

        task.memory = (Usage){ .known = true, .peak_bytes = GIB };
        assert_false(slack_sentence(&task, 2 * HOUR, buf, sizeof(buf)));
        assert_string_equal(buf, "");
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_less_than_half_is_said),
                cmocka_unit_test(test_more_than_twice_of_ram_is_said),
                cmocka_unit_test(test_a_short_run_says_nothing),
                cmocka_unit_test(test_what_could_not_be_measured_says_nothing),
                cmocka_unit_test(test_a_whole_gpu_is_asked_for_to_be_alone),
                cmocka_unit_test(test_a_little_is_no_news),
                cmocka_unit_test(test_it_ends_where_there_is_no_room),
        };

        return cmocka_run_group_tests_name("core-slack", tests, NULL, NULL);
}
