/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli/agent.h"
#include "cli/doctor.h"
#include "cli/session.h"
#include "client/agent-start.h"
#include "client/agent.h"
#include "client/clean-start.h"
#include "probe/ram.h"
#include "runner/records.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/units.h"
#include "wire/places.h"

#include "config.h"

/* It answers once the daemon knows all that it knows, and a daemon that is being asked may look at its GPUs. */
#define ANSWER_US (3 * US_PER_SEC)

/* A log needs less, but a task that prints fills it in no time. */
#define FOLDER_ROOM_BYTES (64 * MIB)

/* Clocks of machines that share a home differ a little. */
#define CLOCK_AHEAD_US (120 * US_PER_SEC)

static const char *life_in_words(const char *lives) {
        if (strcmp(lives, "systemd") == 0)
                return "from boot to shutdown, as a service that lingers";
        if (strcmp(lives, "session") == 0)
                return "until logout";
        return "beyond logout, until the machine goes down";
}

static void judge_life(Doctor *doctor, const char *lives, const char *who) {
        if (strcmp(lives, agent_life_to_string(AGENT_LIFE_SESSION)) == 0)
                doctor_find(
                        doctor, FINDING_AGENT_SESSION,
                        "%s until you log out, and your detached tasks with it: this machine ends what is "
                        "left of a session",
                        who);
        else
                doctor_fine(doctor, "agent", "%s %s", who, life_in_words(lives));
}

static void judge_status(Doctor *doctor, const Reply *reply) {
        const typeof(reply->agent_status) *agent = &reply->agent_status;
        char who[64];

        (void)snprintf(who, sizeof(who), "process %d, which lives", (int)agent->pid);
        judge_life(doctor, agent->lives, who);
        if (!agent->connected && doctor->status)
                doctor_find(doctor, FINDING_AGENT_APART,
                            "process %d is not connected to the daemon: %s", (int)agent->pid,
                            agent->text[0] ? agent->text : "it does not say why");
        if (strcmp(agent->version, TASKFLOW_VERSION) != 0)
                doctor_find(doctor, FINDING_AGENT_OLDER,
                            "process %d is of version %s, this taskflow is %s", (int)agent->pid,
                            agent->version[0] ? agent->version : "unknown, an older one",
                            TASKFLOW_VERSION);
        if (agent->n_undelivered > 0)
                doctor_find(doctor, FINDING_ENDS_UNTOLD,
                            "%" PRIu64
                            " of your detached tasks ended, which the daemon does not know yet",
                            agent->n_undelivered);
}

static void ask_agent(Doctor *doctor, Client *agent) {
        _cleanup_(reply_done) Reply reply = {};
        int r;

        r = agent_ask_status(agent, clock_boottime_us() + ANSWER_US, &reply);
        if (r == 0 && reply.error == ERROR_NONE)
                judge_status(doctor, &reply);
        else if (r == 0)
                doctor_find(doctor, FINDING_AGENT_REFUSED, "it does not say how it is: %s",
                            reply.message ? reply.message : error_name_to_string(reply.error));
        else if (r == SESSION_E_TIMEOUT && doctor->unreachable)
                doctor_fine(doctor, "agent", "it runs, and waits for the daemon as you do");
        else
                doctor_find(doctor, FINDING_AGENT_SILENT, "what listens at '%s' does not answer",
                            client_path(agent));
}

static void judge_no_agent(Doctor *doctor) {
        _cleanup_free_ char *program = NULL;

        if (clean_start_find("taskflow-agent", &program) < 0)
                doctor_find(doctor, FINDING_AGENT_MISSING,
                            "the program taskflow-agent is neither beside taskflow nor in PATH");
        else if (client_agent_has_work() && client_agent_is_stopped())
                doctor_find(doctor, FINDING_AGENT_STOPPED,
                            "it was stopped by hand, and detached tasks of yours wait for it");
        else if (client_agent_has_work())
                doctor_find(doctor, FINDING_AGENT_GONE,
                            "it does not run, and detached tasks of yours wait for it");
        else
                judge_life(doctor, agent_life_to_string(agent_life_here()),
                           "none runs; the first detached task starts one, which lives");
}

static void judge_agent(Doctor *doctor) {
        _cleanup_(client_freep) Client *agent = NULL;
        _cleanup_free_ char *folder = NULL, *path = NULL;
        Error error;

        if (client_agent_dir(&folder, NULL) < 0)
                return; /* without a home there is none, which is said elsewhere */
        if (agent_connect(&agent, 0, &error) == 0)
                ask_agent(doctor, agent);
        else if (asprintf(&path, "%s/sock", folder) >= 0 && strstr(error.text, path))
                doctor_find(doctor, FINDING_AGENT_REFUSED, "%s", error.text);
        else
                judge_no_agent(doctor);
        if (records_exist())
                doctor_find(doctor, FINDING_ENDS_UNTOLD,
                            "tasks of yours ended while no daemon could be told");
}

/* The folder, or the first one above it that is there. */
static void nearest(char *path) {
        char *slash;

        while (access(path, F_OK) < 0 && (slash = strrchr(path, '/')) && slash > path)
                *slash = '\0';
}

static void judge_folder(Doctor *doctor) {
        _cleanup_free_ char *state = NULL, *path = NULL;
        char room[UNITS_FORMAT_MAX];
        struct statvfs fs;
        struct stat st;
        Error error;

        if (places_personal_state(&state, &error) < 0) {
                doctor_find(doctor, FINDING_HOME_MISSING, "%s", error.text);
                return;
        }
        path = strdup(state);
        if (!path)
                return;
        nearest(path);
        if (strcmp(path, state) == 0 && stat(path, &st) == 0 && st.st_uid != geteuid())
                doctor_find(doctor, FINDING_FOLDER_FOREIGN,
                            "'%s' belongs to uid %u, and not to you", state, st.st_uid);
        else if (access(path, W_OK | X_OK) < 0)
                doctor_find(doctor, FINDING_FOLDER_UNWRITABLE, "you cannot write to '%s': %s", path,
                            strerror(errno));
        else if (statvfs(path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < FOLDER_ROOM_BYTES)
                doctor_find(doctor, FINDING_FOLDER_ROOM,
                            "only %s is free for '%s', where the logs of detached tasks are",
                            units_format_bytes(room, sizeof(room),
                                               (uint64_t)fs.f_bavail * fs.f_frsize),
                            state);
        else
                doctor_fine(doctor, "folder", "'%s'", state);
}

/* What was written later than now. Return: whether it was. */
static bool is_from_the_future(Doctor *doctor, const char *path) {
        uint64_t now_us = clock_realtime_us(), at_us;
        char iso[CLOCK_ISO_MAX] = "?";
        struct stat st;

        if (stat(path, &st) < 0 || st.st_mtim.tv_sec < 0)
                return false;
        at_us = (uint64_t)st.st_mtim.tv_sec * US_PER_SEC;
        if (at_us <= now_us + CLOCK_AHEAD_US)
                return false;
        (void)clock_format_iso(iso, sizeof(iso), now_us);
        doctor_find(doctor, FINDING_CLOCK_BACK,
                    "it is %s, and '%s' was written %" PRIu64 " s later than that", iso, path,
                    (at_us - now_us) / US_PER_SEC);
        return true;
}

static void judge_clock(Doctor *doctor) {
        _cleanup_free_ char *state = NULL, *database = NULL, *agent = NULL;
        bool wrong = false;

        if (client_agent_dir(&agent, NULL) == 0)
                wrong = is_from_the_future(doctor, agent);
        if (!wrong && places_personal_state(&state, NULL) == 0 &&
            asprintf(&database, "%s/taskflow.db", state) >= 0)
                wrong = is_from_the_future(doctor, database) || is_from_the_future(doctor, state);
        if (!wrong)
                doctor_fine(doctor, "clock", "nothing of yours was written later than now");
}

/* hidepid= hides the processes of others, of which process 1 is one of root's. */
static void judge_proc(Doctor *doctor) {
        _cleanup_close_ int fd = -1;

        if (geteuid() == 0)
                return;
        fd = open("/proc/1/stat", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                doctor_find(doctor, FINDING_PROC_HIDDEN,
                            "/proc hides the processes of other users (hidepid=)");
}

static void judge_own_memory(Doctor *doctor) {
        char room[UNITS_FORMAT_MAX], rest[UNITS_FORMAT_MAX];
        uint64_t room_bytes = UINT64_MAX;
        RamFigures ram = {};
        RamSource source;

        if (ram_source_open(&source) < 0)
                return;
        if (ram_read(&source, &ram) == 0 && ram_read_own_cgroup(&source, &room_bytes) == 0 &&
            room_bytes < ram.available_bytes / 16 * 15)
                doctor_find(
                        doctor, FINDING_MEMORY_OWN_LIMIT,
                        "the control group that you are in has room for %s more, of the %s that are free",
                        units_format_bytes(room, sizeof(room), room_bytes),
                        units_format_bytes(rest, sizeof(rest), ram.available_bytes));
        ram_source_close(&source);
}

void doctor_user(Doctor *doctor) {
        judge_own_memory(doctor);
        judge_agent(doctor);
        judge_folder(doctor);
        judge_clock(doctor);
        judge_proc(doctor);
}
