/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/pressure.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "probe/fields.h"

enum {
        PERMYRIAD = 10000,
        HUNDREDTHS_DIGITS = 2,
};

/* Whether @word stands at *p, which then is moved behind it. */
static int skip(const char **p, const char *end, const char *word) {
        size_t n = strlen(word);

        if ((size_t)(end - *p) < n || memcmp(*p, word, n) != 0)
                return -ENODATA;
        *p += n;
        return 0;
}

/* The line is `some avg10=1.23 avg60=0.00 avg300=0.00 total=0`, always with two decimals. */
int pressure_parse(const char *text, size_t n, unsigned *ret_permyriad) {
        const char *end = NULL;
        const char *p = fields_find(text, n, "some", &end);
        const char *decimals;
        uint64_t percent, hundredths;

        if (!p || skip(&p, end, "avg10=") < 0 || fields_number(&p, end, &percent) < 0 ||
            skip(&p, end, ".") < 0)
                return -ENODATA;
        decimals = p;
        if (fields_number(&p, end, &hundredths) < 0 || p - decimals != HUNDREDTHS_DIGITS ||
            (p < end && *p != ' ') || percent > PERMYRIAD / 100 ||
            100 * percent + hundredths > PERMYRIAD)
                return -ENODATA;

        *ret_permyriad = (unsigned)(100 * percent + hundredths);
        return 0;
}

int pressure_read(int proc_fd, unsigned *ret_permyriad) {
        char buf[256];
        ssize_t n;

        n = fields_read(proc_fd, "pressure/memory", buf, sizeof(buf));
        if (n < 0)
                return (int)n;

        return pressure_parse(buf, (size_t)n, ret_permyriad);
}
