#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Log
 *
 * What taskflowd says: one line a message on stderr. Where stderr is the journal, each message is an entry of it with its level,
 * and with fields for whom and what it is about.
 */

#include <stdint.h>
#include <sys/types.h>
#include <syslog.h>

#include "util/macro.h"

#define LOG_NO_UID ((uid_t)-1)

void log_error(const char *fmt, ...) _printf_(1, 2);
void log_warning(const char *fmt, ...) _printf_(1, 2);
void log_info(const char *fmt, ...) _printf_(1, 2);

/* What a message is about. */
typedef struct LogSubject {
        uint64_t task_id; /* TASKFLOW_TASK in the journal; 0: no task */
        uid_t uid;        /* TASKFLOW_UID; LOG_NO_UID: no user */
} LogSubject;

/**
 * log_about() - say something of a task or a user
 * @level:      LOG_ERR, LOG_WARNING or LOG_INFO
 * @fmt:        "task ID: " goes before it if there is a task
 */
void log_about(int level, LogSubject subject, const char *fmt, ...) _printf_(3, 4);
