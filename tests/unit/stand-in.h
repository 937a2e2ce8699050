#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tests with the library that stands in for NVIDIA's (tests/stand-in/nvml.c)
 *
 * cmocka fixtures: the state is a StandIn, whose script is what the library answers from.
 */

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "util/fd.h"

#include "check.h"

typedef struct StandIn {
        char folder[64];
        char script[96];
        char library[PATH_MAX];
} StandIn;

/* Choose the generation of the driver: a library's name without `lib` and `.so.1`. */
static inline void stand_in_choose(StandIn *stand_in, const char *name) {
        char program[PATH_MAX] = "";

        /* This program is tests/unit/test-… in the folder of the build. */
        assert_true(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0);
        for (size_t i = 0; i < 2; i++)
                *strrchr(program, '/') = '\0';
        assert_true(snprintf(stand_in->library, sizeof(stand_in->library), "%s/stand-in/lib%s.so.1",
                             program, name) < (int)sizeof(stand_in->library));
}

/* Change the GPUs. */
static inline void stand_in_write(const StandIn *stand_in, const char *script) {
        assert_int_equal(fd_write_file_atomic(AT_FDCWD, stand_in->script, script, strlen(script),
                                              0600),
                         0);
}

static inline int stand_in_set_up(void **state) {
        StandIn *stand_in = calloc(1, sizeof(*stand_in));

        assert_non_null(stand_in);
        make_test_folder(stand_in->folder);
        (void)snprintf(stand_in->script, sizeof(stand_in->script), "%s/script", stand_in->folder);
        assert_int_equal(setenv("TASKFLOW_TEST_NVML", stand_in->script, 1), 0);
        stand_in_choose(stand_in, "nvidia-ml");
        *state = stand_in;
        return 0;
}

static inline int stand_in_tear_down(void **state) {
        StandIn *stand_in = *state;

        (void)unlink(stand_in->script);
        assert_int_equal(rmdir(stand_in->folder), 0);
        free(stand_in);
        return 0;
}

#define stand_in_test(f) cmocka_unit_test_setup_teardown(f, stand_in_set_up, stand_in_tear_down)
