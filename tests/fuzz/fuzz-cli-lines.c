/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any file with a command on each line, and any line as one that may need no shell.
 */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/lines.h"
#include "cli/shell-line.h"
#include "util/cleanup.h"
#include "util/strv.h"

#include "fuzz.h"

/* Words that are run without a shell are those of the line, and nothing that a shell would look at twice. */
static void check_line(const char *line) {
        char *envp[] = { NULL };
        _cleanup_(strv_freep) char **words = NULL;

        assert(shell_line_split(line, "/bin/sh", envp, &words) == 0);
        if (!words)
                return;
        assert(words[0] && !strpbrk(line, "\"'`$\\*?[]{}()<>|&;#~!\n"));
        for (char **word = words; *word; word++)
                assert((*word)[0] && strstr(line, *word) && !strpbrk(*word, " \t"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_close_ int fd = memfd_create("lines", MFD_CLOEXEC);
        _cleanup_(lines_freep) Lines *lines = NULL;
        uint64_t number = 0, last = 0;
        const char *line;
        Error error = { "" };
        int r;

        assert(fd >= 0 && fd_write_all(fd, data, n) == 0 && lseek(fd, 0, SEEK_SET) == 0);
        assert(lines_new(&lines, fd) == 0);
        while ((r = lines_next(lines, &line, &number, &error)) == 0) {
                assert(number > last && line[strspn(line, " \t")] != '\0');
                assert(!strchr(line, '\n'));
                check_line(line);
                last = number;
        }
        assert(r == LINES_E_END || (r == -EINVAL && error.text[0] != '\0'));
        return 0;
}
