#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A folder for fuzzers whose code reads files
 *
 * In memory where that can be, and gone when the program ends. What is said to stderr there goes nowhere, and not into the way of
 * what the fuzzer says.
 */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder_path[64];

static void folder_remove(void) {
        char command[96];

        (void)snprintf(command, sizeof(command), "rm -rf %s", folder_path);
        (void)!system(command);
}

static inline const char *folder(void) {
        if (folder_path[0])
                return folder_path;
        (void)snprintf(folder_path, sizeof(folder_path), "%s/taskflow-fuzz-XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        assert(mkdtemp(folder_path));
        (void)atexit(folder_remove);
        return folder_path;
}

static inline void folder_quiet(void) {
        static FILE *nowhere;

        if (!nowhere)
                nowhere = fopen("/dev/null", "we");
        if (nowhere)
                stderr = nowhere;
}
