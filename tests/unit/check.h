#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What every unit test includes: cmocka with what it needs, and the asserts that it lacks
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "util/macro.h"

/* Both directions of an enum string table, every value. */
#define assert_string_table(name, type, n)                                                    \
        do {                                                                                  \
                for (int _i = 0; _i < (int)(n); _i++) {                                       \
                        assert_non_null(name##_to_string((type)_i));                          \
                        assert_int_equal(name##_from_string(name##_to_string((type)_i)), _i); \
                }                                                                             \
                assert_null(name##_to_string((type)(n)));                                     \
                assert_true(name##_from_string("no such value") < 0);                         \
                assert_true(name##_from_string("") < 0);                                      \
                assert_true(name##_from_string(NULL) < 0);                                    \
        } while (0)

/* Compares two strings of which one is allocated, and frees it. */
static inline void assert_string_freed(char *have, const char *want) {
        assert_non_null(have);
        assert_string_equal(have, want);
        free(have);
}

/* Clears the environment but for what tells cmocka how to print. */
static inline void clear_test_environment(void) {
        const char *output = getenv("CMOCKA_MESSAGE_OUTPUT");
        char copy[32] = "";

        if (output)
                (void)snprintf(copy, sizeof(copy), "%s", output);
        (void)clearenv();
        if (output)
                (void)setenv("CMOCKA_MESSAGE_OUTPUT", copy, 1);
}

/* A folder of one's own under $TMPDIR, made in @path; the caller empties and removes it. */
static inline void make_test_folder(char path[static 64]) {
        const char *tmp = getenv("TMPDIR");

        if (!tmp || snprintf(path, 64, "%s/taskflow-unit-XXXXXX", tmp) >= 64)
                (void)snprintf(path, 64, "/tmp/taskflow-unit-XXXXXX");
        assert_non_null(mkdtemp(path));
}
