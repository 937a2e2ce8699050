/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/pressure.h"
#include "util/cleanup.h"

#include "check.h"

/* What is read of a text that ends where its memory does. */
static int parse(const char *text, unsigned *ret) {
        size_t n = strlen(text);
        char *copy = n > 0 ? malloc(n) : NULL;
        int r;

        assert_true(n == 0 || copy);
        for (size_t i = 0; i < n; i++)
                copy[i] = text[i];
        r = pressure_parse(copy ? copy : "", n, ret);
        free(copy);
        return r;
}

static void test_the_share_of_ten_seconds_is_read(_unused_ void **state) {
        static const struct {
                const char *text;
                unsigned permyriad;
        } cases[] = {
                { "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
                  "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
                  0 },
                { "some avg10=12.34 avg60=99.00 avg300=0.00 total=17\n"
                  "full avg10=50.00 avg60=0.00 avg300=0.00 total=0\n",
                  1234 },
                { "some avg10=0.05 avg60=1.00 avg300=1.00 total=1", 5 },
                { "full avg10=50.00 avg60=0.00\nsome avg10=100.00 avg60=0.00\n", 10000 },
                { "some avg10=7.10", 710 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                unsigned have = 99999;

                if (parse(cases[i].text, &have) != 0 || have != cases[i].permyriad)
                        fail_msg("'%s': %u", cases[i].text, have);
        }
}

static void test_what_makes_no_sense_is_no_figure(_unused_ void **state) {
        static const char *const cases[] = {
                "",
                "some",
                "some ",
                "some avg10=",
                "some avg10=1",
                "some avg10=1.",
                "some avg10=1.2",
                "some avg10=1.234",
                "some avg10=1.2x",
                "some avg10=1.23x",
                "some avg10=-1.00",
                "some avg10=.50",
                "some avg10=100.01 avg60=0.00",
                "some avg10=101.00 avg60=0.00",
                "some avg10=99999999999999999999.00",
                "some avg10=18446744073709551615.99",
                "some avg60=1.00",
                "full avg10=1.00 avg60=0.00",
                "something avg10=1.00",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                unsigned have = 42;

                if (parse(cases[i], &have) != -ENODATA || have != 42)
                        fail_msg("'%s' is read as %u", cases[i], have);
        }
}

static void test_the_file_is_read_below_proc(_unused_ void **state) {
        char folder[] = "/tmp/pressure-XXXXXX", path[64];
        unsigned have = 0;
        int dir_fd, fd;

        assert_non_null(mkdtemp(folder));
        dir_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(dir_fd >= 0);
        assert_int_equal(pressure_read(dir_fd, &have), -ENOENT);

        assert_int_equal(mkdirat(dir_fd, "pressure", 0700), 0);
        fd = openat(dir_fd, "pressure/memory", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "some avg10=3.21 avg60=0.00\n", 27), 27);
        close(fd);
        assert_int_equal(pressure_read(dir_fd, &have), 0);
        assert_int_equal(have, 321);

        (void)snprintf(path, sizeof(path), "%s/pressure/memory", folder);
        assert_int_equal(unlink(path), 0);
        (void)snprintf(path, sizeof(path), "%s/pressure", folder);
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(rmdir(folder), 0);
        close(dir_fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_share_of_ten_seconds_is_read),
                cmocka_unit_test(test_what_makes_no_sense_is_no_figure),
                cmocka_unit_test(test_the_file_is_read_below_proc),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
