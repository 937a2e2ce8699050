/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "runner/waiting-line.h"
#include "util/fd.h"

#include "check.h"

static Explain explain_memory(uint64_t missing_bytes) {
        Explain explain = { .n_lacks = 1, .place = 2 };

        explain.lacks[0] = (Lack){
                .reason = WAIT_REASON_MEMORY,
                .gpu_index = -1,
                .asked_bytes = 8 * GIB,
                .free_bytes = 8 * GIB - missing_bytes,
                .missing_bytes = missing_bytes,
                .total_bytes = 16 * GIB,
        };
        return explain;
}

static Lack lack(WaitReason reason, int gpu_index) {
        return (Lack){ .reason = reason, .gpu_index = gpu_index, .missing_bytes = GIB };
}

static void test_the_line_says_task_time_place_and_reason(_unused_ void **state) {
        const Explain explain = explain_memory(2 * GIB);
        const WaitingNews news = { .task_id = 12,
                                   .explain = &explain,
                                   .waited_us = 192 * US_PER_SEC };
        char text[4096];
        char sentence[4096];

        explain_sentence(&explain, 0, NULL, NULL, sentence, sizeof(sentence));
        waiting_line_text(&news, 0, text, sizeof(text));
        assert_string_equal(strstr(text, ": ") ? text : "", text);
        assert_int_equal(strncmp(text, "taskflow: task 12 waits 3m12s, place 2: ", 40), 0);
        assert_string_equal(text + 40, sentence);
}

static void test_the_line_says_once_that_it_waits(_unused_ void **state) {
        const Explain explain = { .n_lacks = 1,
                                  .lacks = { { .reason = WAIT_REASON_AFTER,
                                               .gpu_index = -1,
                                               .n_holders = 1,
                                               .holders = { { .task_id = 7 } } } } };
        const WaitingNews news = { .task_id = 12, .explain = &explain };
        char text[4096];

        waiting_line_text(&news, 0, text, sizeof(text));
        assert_string_equal(text, "taskflow: task 12 waits: for task 7 to succeed");
}

static void test_the_line_fits_every_width(_unused_ void **state) {
        const Explain explain = explain_memory(2 * GIB);
        const WaitingNews news = { .task_id = 12, .explain = &explain };
        char all[4096];

        waiting_line_text(&news, 0, all, sizeof(all));
        for (unsigned columns = 1; columns < 200; columns++) {
                char text[4096];
                size_t n;

                waiting_line_text(&news, columns, text, sizeof(text));
                n = strlen(text);
                assert_true(n < columns);
                if (strlen(all) < columns)
                        assert_string_equal(text, all);
                else if (columns > 4)
                        assert_string_equal(text + n - 3, "...");
        }
}

static void test_numbers_do_not_make_another_kind(_unused_ void **state) {
        const Explain some = explain_memory(2 * GIB);
        const Explain less = explain_memory(1 * GIB);

        assert_int_equal(waiting_line_kind(&some), waiting_line_kind(&less));
}

static void test_resources_and_reasons_do(_unused_ void **state) {
        Explain explains[] = {
                { .n_lacks = 0 },
                { .n_lacks = 1, .lacks = { lack(WAIT_REASON_MEMORY, -1) } },
                { .n_lacks = 1, .lacks = { lack(WAIT_REASON_DELAY, -1) } },
                { .n_lacks = 1, .lacks = { lack(WAIT_REASON_GPU_MEMORY, 0) } },
                { .n_lacks = 1, .lacks = { lack(WAIT_REASON_GPU_MEMORY, 1) } },
                { .n_lacks = 2,
                  .lacks = { lack(WAIT_REASON_GPU_MEMORY, 0), lack(WAIT_REASON_GPU_MEMORY, 1) } },
                { .n_lacks = 2,
                  .lacks = { lack(WAIT_REASON_MEMORY, -1), lack(WAIT_REASON_GPU_MEMORY, 1) } },
        };

        for (size_t i = 0; i < ELEMENTSOF(explains); i++)
                for (size_t j = 0; j < i; j++)
                        assert_int_not_equal(waiting_line_kind(&explains[i]),
                                             waiting_line_kind(&explains[j]));
}

static void test_the_order_of_lacks_is_no_kind(_unused_ void **state) {
        const Explain a = { .n_lacks = 2,
                            .lacks = { lack(WAIT_REASON_MEMORY, -1),
                                       lack(WAIT_REASON_GPU_MEMORY, 1) } };
        const Explain b = { .n_lacks = 2,
                            .lacks = { lack(WAIT_REASON_GPU_MEMORY, 1),
                                       lack(WAIT_REASON_MEMORY, -1) } };

        assert_int_equal(waiting_line_kind(&a), waiting_line_kind(&b));
}

/* Through a pipe: what was written since the last time. */
static size_t read_all(int fd, char *buf, size_t n) {
        ssize_t n_read;

        n_read = read(fd, buf, n - 1);
        n_read = n_read < 0 ? 0 : n_read;
        buf[n_read] = '\0';
        return (size_t)n_read;
}

static void test_elsewhere_than_on_a_terminal_only_a_new_kind_is_said(_unused_ void **state) {
        Explain explain = explain_memory(2 * GIB);
        WaitingNews news = { .task_id = 12, .explain = &explain };
        WaitingLine line;
        char buf[8192];
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
        line = waiting_line_make(fds[1], false);
        assert_false(line.terminal);
        assert_true(waiting_line_is_wanted(&line));

        waiting_line_show(&line, &news);
        assert_true(read_all(fds[0], buf, sizeof(buf)) > 0);
        assert_int_equal(buf[strlen(buf) - 1], '\n');

        explain = explain_memory(1 * GIB);
        waiting_line_show(&line, &news);
        waiting_line_clear(&line);
        assert_int_equal(read_all(fds[0], buf, sizeof(buf)), 0);

        explain.lacks[0].reason = WAIT_REASON_SETTLING;
        waiting_line_show(&line, &news);
        assert_true(read_all(fds[0], buf, sizeof(buf)) > 0);

        line = waiting_line_make(fds[1], true);
        assert_false(waiting_line_is_wanted(&line));
        waiting_line_show(&line, &news);
        assert_int_equal(read_all(fds[0], buf, sizeof(buf)), 0);
        (void)fd_close(fds[0]);
        (void)fd_close(fds[1]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_line_says_task_time_place_and_reason),
                cmocka_unit_test(test_the_line_says_once_that_it_waits),
                cmocka_unit_test(test_the_line_fits_every_width),
                cmocka_unit_test(test_numbers_do_not_make_another_kind),
                cmocka_unit_test(test_resources_and_reasons_do),
                cmocka_unit_test(test_the_order_of_lacks_is_no_kind),
                cmocka_unit_test(test_elsewhere_than_on_a_terminal_only_a_new_kind_is_said),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
