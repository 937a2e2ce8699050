#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What is wrong, and how to mend it
 *
 *   cmd-doctor.c      the command: what is looked at, in which order; what is printed
 *   doctor.c          the list of all findings, each with its words on how to mend it
 *   doctor-daemon.c   the socket, who listens there, and what it says of itself
 *   doctor-settings.c the file of settings
 *   doctor-user.c     the caller's own side: agent, folders, clock
 *
 * Nothing is started, changed or removed by a look, and nothing is waited for longer than some seconds.
 */

#include <stdbool.h>
#include <stddef.h>

#include "client/client.h"
#include "util/macro.h"
#include "wire/message.h"

typedef enum DoctorLevel {
        DOCTOR_FINE,
        DOCTOR_WARNING, /* works, and may not do what is expected */
        DOCTOR_ERROR,   /* something does not work */
} DoctorLevel;

typedef enum DoctorFinding {
        FINDING_SOCKET_MISSING,
        FINDING_SOCKET_STALE,
        FINDING_SOCKET_NO_SOCKET,
        FINDING_SOCKET_DENIED,
        FINDING_SOCKET_FOREIGN,
        FINDING_SOCKET_OTHERS,
        FINDING_DAEMON_DOWN,
        FINDING_DAEMON_SILENT,
        FINDING_DAEMON_NONSENSE,
        FINDING_DAEMON_DENIES,
        FINDING_DAEMON_MISSING,
        FINDING_DAEMON_OLDER,
        FINDING_DAEMON_NEWER,
        FINDING_QUEUE_ALONE,
        FINDING_SETTINGS_BAD,
        FINDING_SETTINGS_UNREAD,
        FINDING_STATE_FAILING,
        FINDING_STATE_ROOM,
        FINDING_STATE_DAMAGED,
        FINDING_MEMORY_UNKNOWN,
        FINDING_MEMORY_DIFFERS,
        FINDING_MEMORY_OWN_LIMIT,
        FINDING_GPU_UNKNOWN,
        FINDING_GPU_LOST,
        FINDING_AGENT_MISSING,
        FINDING_AGENT_STOPPED,
        FINDING_AGENT_GONE,
        FINDING_AGENT_SILENT,
        FINDING_AGENT_REFUSED,
        FINDING_AGENT_APART,
        FINDING_AGENT_OLDER,
        FINDING_AGENT_SESSION,
        FINDING_ENDS_UNTOLD,
        FINDING_HOME_MISSING,
        FINDING_FOLDER_UNWRITABLE,
        FINDING_FOLDER_FOREIGN,
        FINDING_FOLDER_ROOM,
        FINDING_CLOCK_BACK,
        FINDING_CLOCK_DIFFERS,
        FINDING_PROC_HIDDEN,
} DoctorFinding;

enum {
        N_FINDINGS = FINDING_PROC_HIDDEN + 1,
        DOCTOR_FOUND_MAX = 128,
        DOCTOR_TEXT_MAX = 1024,
};

/* What is known of a finding before it is found. */
typedef struct DoctorSpec {
        const char *name;  /* in JSON; never renamed */
        const char *check; /* what was looked at */
        DoctorLevel level;
        const char *mend; /* what to do */
} DoctorSpec;

extern const DoctorSpec doctor_specs[N_FINDINGS];

/* One line of the answer. */
typedef struct DoctorFound {
        const char *check;
        const DoctorSpec *spec; /* NULL: it is fine */
        char text[DOCTOR_TEXT_MAX];
} DoctorFound;

typedef struct Doctor {
        Client *client;   /* borrowed; NULL: there is none to talk with */
        Reply *status;    /* borrowed; what it said; NULL: it did not */
        bool unreachable; /* there should be a daemon, and it can't be asked */
        size_t n;
        DoctorFound *found; /* DOCTOR_FOUND_MAX of them */
} Doctor;

const char *doctor_level_to_string(DoctorLevel level);
DoctorLevel doctor_found_level(const DoctorFound *found);

/* A check that found nothing wrong, and what it saw. */
void doctor_fine(Doctor *doctor, const char *check, const char *fmt, ...) _printf_(3, 4);

void doctor_find(Doctor *doctor, DoctorFinding finding, const char *fmt, ...) _printf_(3, 4);

/**
 * doctor_connect() - to the daemon that every command would talk with, and what keeps it from that
 * @ret:        set to a client, or to NULL
 * @reply:      set to what it says of itself if @doctor->status is set by this
 */
void doctor_connect(Doctor *doctor, Client **ret, Reply *reply);

/* What the daemon says of itself; for a doctor with a status. */
void doctor_daemon(Doctor *doctor);

void doctor_settings(Doctor *doctor);

/* The caller's own side. */
void doctor_user(Doctor *doctor);
