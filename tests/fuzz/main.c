/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Runs a fuzzer over files
 *
 * Without libFuzzer a fuzzer is an ordinary program: each argument is a sample. So the samples are
 * tests on every machine and with every compiler.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/fd.h"

#include "fuzz.h"

enum {
        MAX_SAMPLE_BYTES = 16 << 20,
};

int main(int argc, char *argv[]) {
        for (int i = 1; i < argc; i++) {
                _cleanup_free_ char *data = NULL;
                _cleanup_free_ uint8_t *exact = NULL;
                size_t n;
                int r;

                r = fd_read_file(AT_FDCWD, argv[i], &data, &n, MAX_SAMPLE_BYTES);
                if (r < 0) {
                        (void)fprintf(stderr, "cannot read '%s': %s\n", argv[i], strerror(-r));
                        return 1;
                }

                /* in a block of its own size, so that a sanitizer sees the first byte too many */
                exact = malloc(n > 0 ? n : 1);
                if (!exact)
                        return 1;
                memcpy(exact, data, n);
                (void)LLVMFuzzerTestOneInput(exact, n);
        }
        return 0;
}
