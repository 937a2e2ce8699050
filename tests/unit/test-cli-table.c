/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <string.h>

#include "cli/table.h"

#include "check.h"

static const TableColumn columns[] = {
        { "ID", true, false },
        { "USER", false, false },
        { "COMMAND", false, true },
};

static const TableLayout pipe_layout = { .library = TABLE_LIBRARY };

/* What is printed, to be freed. */
static char *print(const Table *table, const TableLayout *layout) {
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);

        assert_non_null(out);
        assert_int_equal(table_print_to(table, layout, out), 0);
        assert_int_equal(fclose(out), 0);
        return text;
}

static void add(Table *table, const char *id, const char *user, const char *command) {
        assert_int_equal(table_add_row(table), 0);
        assert_int_equal(table_set(table, 0, id, TONE_PLAIN), 0);
        assert_int_equal(table_set(table, 1, user, TONE_GOOD), 0);
        assert_int_equal(table_set(table, 2, command, TONE_PLAIN), 0);
}

static Table *new_table(void) {
        Table *table = NULL;

        assert_int_equal(table_new(&table, columns, ELEMENTSOF(columns)), 0);
        return table;
}

static void test_a_pipe_gets_everything_aligned(_unused_ void **state) {
        _cleanup_(table_freep) Table *table = new_table();

        add(table, "7", "alice",
            "python train.py --with a very long line of options that fits no screen");
        add(table, "1234", "bob", NULL);
        assert_string_freed(
                print(table, &pipe_layout),
                "  ID  USER   COMMAND\n"
                "   7  alice  python train.py --with a very long line of options that fits no screen\n"
                "1234  bob    -\n");
}

static void test_an_empty_table_is_its_head(_unused_ void **state) {
        const TableLayout terminal = { .library = TABLE_LIBRARY, .width = 80 };
        _cleanup_(table_freep) Table *table = new_table();

        assert_string_freed(print(table, &pipe_layout), "ID  USER  COMMAND\n");
        assert_string_freed(print(table, &terminal), "ID  USER  COMMAND\n");
}

static void test_many_rows_are_kept_in_order(_unused_ void **state) {
        _cleanup_(table_freep) Table *table = new_table();
        char *text;
        const char *at;

        for (int i = 0; i < 1000; i++) {
                char id[16];

                (void)snprintf(id, sizeof(id), "%d", i);
                add(table, id, "u", "c");
        }
        text = print(table, &pipe_layout);
        at = text;
        for (int i = 0; i < 1000; i++) {
                char line[32];

                (void)snprintf(line, sizeof(line), "\n%*d  u     c", 3, i);
                at = strstr(at, line);
                assert_non_null(at);
        }
        free(text);
}

static void test_what_others_wrote_is_made_visible(_unused_ void **state) {
        _cleanup_(table_freep) Table *table = new_table();

        add(table, "1", "eve", "a\033[2Jb\nc");
        assert_string_freed(print(table, &pipe_layout), "ID  USER  COMMAND\n"
                                                        " 1  eve   a^[[2Jb^Jc\n");
}

static void test_a_cell_can_be_set_again(_unused_ void **state) {
        _cleanup_(table_freep) Table *table = new_table();

        add(table, "1", "x", "y");
        assert_int_equal(table_set(table, 1, "bob", TONE_PLAIN), 0);
        assert_int_equal(table_set(table, 2, "", TONE_PLAIN), 0);
        assert_string_freed(print(table, &pipe_layout), "ID  USER  COMMAND\n"
                                                        " 1  bob   -\n");
}

static void test_wide_characters_count_as_what_they_take(_unused_ void **state) {
        _cleanup_(table_freep) Table *table = new_table();

        add(table, "1", "j\u00f6rg", "a");
        add(table, "2", "\u65e5\u672c", "b");
        add(table, "3", "abcde", "c");
        assert_string_freed(print(table, &pipe_layout), "ID  USER   COMMAND\n"
                                                        " 1  j\u00f6rg   a\n"
                                                        " 2  \u65e5\u672c   b\n"
                                                        " 3  abcde  c\n");
}

static void test_without_the_library_the_layout_is_plain(_unused_ void **state) {
        const TableLayout layout = { .library = "no-such-library.so", .colour = true, .width = 20 };
        _cleanup_(table_freep) Table *table = new_table();

        add(table, "7", "alice", "python train.py --and more");
        assert_string_freed(print(table, &layout), "ID  USER   COMMAND\n"
                                                   " 7  alice  python train.py --and more\n");
}

/* A library of that name that is something else must not be called. */
static void test_a_library_that_lacks_a_function_is_not_used(_unused_ void **state) {
        const TableLayout layout = { .library = "libc.so.6", .width = 80 };
        _cleanup_(table_freep) Table *table = new_table();

        add(table, "7", "alice", "x");
        assert_string_freed(print(table, &layout), "ID  USER   COMMAND\n"
                                                   " 7  alice  x\n");
}

static size_t longest_line(const char *text) {
        size_t longest = 0;

        while (*text) {
                size_t n = strcspn(text, "\n");

                longest = MAX(longest, n);
                text += n + (text[n] == '\n');
        }
        return longest;
}

static void test_a_terminal_is_not_overrun(_unused_ void **state) {
        const unsigned widths[] = { 40, 60, 80, 200 };
        _cleanup_(table_freep) Table *table = new_table();

        add(table, "7", "alice",
            "python train.py --with a very long line of options that fits no screen");
        add(table, "12", "bob", "make");
        for (size_t i = 0; i < ELEMENTSOF(widths); i++) {
                const TableLayout layout = { .library = TABLE_LIBRARY, .width = widths[i] };
                char *text = print(table, &layout);

                assert_non_null(strstr(text, "alice"));
                assert_true(longest_line(text) <= widths[i] || widths[i] == 0);
                free(text);
        }
}

static void test_colour_is_there_when_asked_for(_unused_ void **state) {
        TableLayout layout = { .library = TABLE_LIBRARY, .colour = true, .width = 80 };
        _cleanup_(table_freep) Table *table = new_table();
        char *text;

        add(table, "7", "alice", "x");
        text = print(table, &layout);
        assert_non_null(strstr(text, "\033[32malice\033[0m"));
        free(text);

        layout.colour = false;
        text = print(table, &layout);
        assert_null(strchr(text, '\033'));
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_pipe_gets_everything_aligned),
                cmocka_unit_test(test_an_empty_table_is_its_head),
                cmocka_unit_test(test_many_rows_are_kept_in_order),
                cmocka_unit_test(test_what_others_wrote_is_made_visible),
                cmocka_unit_test(test_a_cell_can_be_set_again),
                cmocka_unit_test(test_wide_characters_count_as_what_they_take),
                cmocka_unit_test(test_without_the_library_the_layout_is_plain),
                cmocka_unit_test(test_a_library_that_lacks_a_function_is_not_used),
                cmocka_unit_test(test_a_terminal_is_not_overrun),
                cmocka_unit_test(test_colour_is_there_when_asked_for),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
