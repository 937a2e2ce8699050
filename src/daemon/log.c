/* SPDX-License-Identifier: GPL-3.0-or-later */

#define SD_JOURNAL_SUPPRESS_LOCATION 1

#include "daemon/log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <systemd/sd-journal.h>

#include "core/ref.h"

enum {
        LINE_MAX_CHARS = 1024,
        FIELD_MAX_CHARS = 64,
        FIELDS_MAX = 5,
};

/* Whether stderr is the journal, and not only the stderr of somebody whose it is (systemd.exec(5), $JOURNAL_STREAM). */
static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        char ours[FIELD_MAX_CHARS];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        (void)snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        return strcmp(stream, ours) == 0;
}

/* Return: whether the journal took it. */
static bool send_to_journal(int level, LogSubject subject, const char *text) {
        char message[LINE_MAX_CHARS + FIELD_MAX_CHARS], fields[FIELDS_MAX][FIELD_MAX_CHARS];
        struct iovec vector[FIELDS_MAX + 1];
        char ref[TASK_REF_FORMAT_MAX];
        int n = 0;

        (void)snprintf(message, sizeof(message), "MESSAGE=%s", text);
        (void)snprintf(fields[n++], FIELD_MAX_CHARS, "PRIORITY=%d", level);
        (void)snprintf(fields[n++], FIELD_MAX_CHARS, "SYSLOG_IDENTIFIER=taskflowd");
        if (subject.task_id != 0)
                (void)snprintf(fields[n++], FIELD_MAX_CHARS, "TASKFLOW_TASK=%s",
                               task_ref_format(ref, sizeof(ref), subject.task_id));
        if (subject.uid != LOG_NO_UID)
                (void)snprintf(fields[n++], FIELD_MAX_CHARS, "TASKFLOW_UID=%u", subject.uid);

        for (int i = 0; i < n; i++)
                vector[i] = (struct iovec){ fields[i], strlen(fields[i]) };
        vector[n++] = (struct iovec){ message, strlen(message) };
        return sd_journal_sendv(vector, n) == 0;
}

_printf_(3, 0) static void say(int level, LogSubject subject, const char *fmt, va_list args) {
        char text[LINE_MAX_CHARS] = "", ref[TASK_REF_FORMAT_MAX];
        bool is_journal = stderr_is_journal();
        size_t n = 0;

        if (subject.task_id != 0)
                n = (size_t)snprintf(text, sizeof(text), "task %s: ",
                                     task_ref_format(ref, sizeof(ref), subject.task_id));
        (void)vsnprintf(text + n, sizeof(text) - n, fmt, args);
        for (char *c = text; *c; c++)
                if (iscntrl((unsigned char)*c))
                        *c = '?'; /* some words are a user's: no line may look like another */
        if (is_journal && send_to_journal(level, subject, text))
                return;
        /* One write(), so that lines of several processes do not mix; the level as sd-daemon(3) has it. */
        if (is_journal)
                (void)fprintf(stderr, "<%d>taskflowd: %s\n", level, text);
        else
                (void)fprintf(stderr, "taskflowd: %s\n", text);
}

#define SAY(level, subject, fmt)                    \
        do {                                        \
                va_list args;                       \
                va_start(args, fmt);                \
                say((level), (subject), fmt, args); \
                va_end(args);                       \
        } while (0)

static const LogSubject nobody = { .uid = LOG_NO_UID };

void log_error(const char *fmt, ...) {
        SAY(LOG_ERR, nobody, fmt);
}

void log_warning(const char *fmt, ...) {
        SAY(LOG_WARNING, nobody, fmt);
}

void log_info(const char *fmt, ...) {
        SAY(LOG_INFO, nobody, fmt);
}

void log_about(int level, LogSubject subject, const char *fmt, ...) {
        SAY(level, subject, fmt);
}
