/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/doctor.h"

#include <stdarg.h>
#include <stdio.h>

#include "util/string-table.h"

#define SHORT_OF_ROOM                                                                       \
        "make room there, or move it: a running task's output and status are lost or late " \
        "when the disk is full"

/* clang-format off */
const DoctorSpec doctor_specs[N_FINDINGS] = {
        [FINDING_SOCKET_MISSING] = {
                "socket-missing", "socket", DOCTOR_ERROR,
                "start its daemon with 'taskflowd --socket PATH', or unset TASKFLOW_SOCKET",
        },
        [FINDING_SOCKET_STALE] = {
                "socket-stale", "socket", DOCTOR_ERROR,
                "start its daemon again, which takes the place of the old socket ('systemctl start taskflowd' for the "
                "machine's, 'taskflowd --socket PATH' for one that TASKFLOW_SOCKET names)",
        },
        [FINDING_SOCKET_NO_SOCKET] = {
                "socket-no-socket", "socket", DOCTOR_ERROR,
                "remove it, or name the right path in TASKFLOW_SOCKET",
        },
        [FINDING_SOCKET_DENIED] = {
                "socket-denied", "socket", DOCTOR_ERROR,
                "whoever owns it lets you in: mode 0666 of the socket, and x for you on each folder above it",
        },
        [FINDING_SOCKET_FOREIGN] = {
                "socket-foreign", "socket", DOCTOR_ERROR,
                "find out who that is and end the process; an administrator then removes the socket and starts taskflowd "
                "again",
        },
        [FINDING_SOCKET_OTHERS] = {
                "socket-others", "socket", DOCTOR_WARNING,
                "nothing if you trust that user with the commands and names of your tasks; else unset TASKFLOW_SOCKET",
        },
        [FINDING_DAEMON_DOWN] = {
                "daemon-down", "daemon", DOCTOR_ERROR,
                "an administrator starts it with 'systemctl start taskflowd'; 'systemctl status taskflowd' says why it "
                "ended",
        },
        [FINDING_DAEMON_SILENT] = {
                "daemon-silent", "daemon", DOCTOR_ERROR,
                "if its process is stopped, 'kill -CONT PID' lets it go on; if it hangs, its log says where, and a "
                "restart disturbs no running task",
        },
        [FINDING_DAEMON_NONSENSE] = {
                "daemon-nonsense", "daemon", DOCTOR_ERROR,
                "it is no taskflowd, or one of quite another version: name the right socket in TASKFLOW_SOCKET, or "
                "install taskflow and taskflowd of one version",
        },
        [FINDING_DAEMON_DENIES] = {
                "daemon-denies", "daemon", DOCTOR_ERROR,
                "ask an administrator: 'allow_users' and 'deny_users' in taskflow.conf say whose tasks it takes",
        },
        [FINDING_DAEMON_MISSING] = {
                "daemon-missing", "daemon", DOCTOR_ERROR,
                "install taskflowd: 'make install' puts it where taskflow looks for it",
        },
        [FINDING_DAEMON_OLDER] = {
                "daemon-older", "version", DOCTOR_WARNING,
                "restart taskflowd, so that the installed version runs ('systemctl restart taskflowd'; a personal one "
                "ends with 'kill PID' and is started by the next command); no running task is disturbed",
        },
        [FINDING_DAEMON_NEWER] = {
                "daemon-newer", "version", DOCTOR_WARNING,
                "this taskflow is an old copy: see 'type -a taskflow', and use the one that was installed with taskflowd",
        },
        [FINDING_QUEUE_ALONE] = {
                "queue-alone", "daemon", DOCTOR_WARNING,
                "share one daemon: taskflowd(8) says how to set up the machine's",
        },
        [FINDING_SETTINGS_BAD] = {
                "settings-bad", "settings", DOCTOR_ERROR,
                "correct that line; 'taskflowd --check-config --config FILE' says when it is right; then send taskflowd "
                "SIGHUP ('systemctl reload taskflowd')",
        },
        [FINDING_SETTINGS_UNREAD] = {
                "settings-unread", "settings", DOCTOR_WARNING,
                "send taskflowd SIGHUP ('systemctl reload taskflowd'), and it reads them",
        },
        [FINDING_STATE_FAILING] = {
                "state-failing", "state", DOCTOR_ERROR,
                "make room on that file system, or make it writable for the daemon's user; it is tried again every 5 s, "
                "and until then no new task is taken",
        },
        [FINDING_STATE_ROOM] = {
                "state-room", "state", DOCTOR_WARNING,
                "make room there: when it is full no new task is taken",
        },
        [FINDING_STATE_DAMAGED] = {
                "state-damaged", "state", DOCTOR_WARNING,
                "stop taskflowd and start it once with '--recover', which keeps the damaged file; the disk may be failing",
        },
        [FINDING_MEMORY_UNKNOWN] = {
                "memory-unknown", "memory", DOCTOR_ERROR,
                "mount /proc where the daemon runs: it reads /proc/meminfo",
        },
        [FINDING_MEMORY_DIFFERS] = {
                "memory-differs", "memory", DOCTOR_WARNING,
                "run taskflow and taskflowd on the same side of the container, or give the container its daemon's limit",
        },
        [FINDING_MEMORY_OWN_LIMIT] = {
                "memory-own-limit", "memory", DOCTOR_WARNING,
                "tasks that need more cannot start from here: raise the limit (MemoryMax= and MemoryHigh= of your slice or "
                "service, --memory of a container), or run taskflow outside of it",
        },
        [FINDING_GPU_UNKNOWN] = {
                "gpu-unknown", "gpus", DOCTOR_ERROR,
                "see whether 'nvidia-smi' works; if it does, taskflowd must find the same library (setting nvml_library, or "
                "LD_LIBRARY_PATH of the daemon) and may use /dev/nvidia*; until then tasks for GPUs wait",
        },
        [FINDING_GPU_LOST] = {
                "gpu-lost", "gpus", DOCTOR_ERROR,
                "'dmesg' has the reason ('Xid'); a reset of the GPU or a reboot brings it back; leave it out of the "
                "setting 'gpus' until then",
        },
        [FINDING_AGENT_MISSING] = {
                "agent-missing", "agent", DOCTOR_ERROR,
                "install taskflow-agent: without it there are no detached tasks ('run -D', 'submit')",
        },
        [FINDING_AGENT_STOPPED] = {
                "agent-stopped", "agent", DOCTOR_WARNING,
                "'taskflow agent' starts it again",
        },
        [FINDING_AGENT_GONE] = {
                "agent-gone", "agent", DOCTOR_WARNING,
                "'taskflow agent' starts it again, as does any command that shows tasks; 'taskflow agent enable' has it "
                "started at login",
        },
        [FINDING_AGENT_SILENT] = {
                "agent-silent", "agent", DOCTOR_ERROR,
                "if its process is stopped, 'kill -CONT PID' lets it go on; else end it with 'kill PID': running tasks go "
                "on, and the next command starts another one",
        },
        [FINDING_AGENT_REFUSED] = {
                "agent-refused", "agent", DOCTOR_ERROR,
                "set HOME and XDG_STATE_HOME to folders that are yours; end what listens there",
        },
        [FINDING_AGENT_APART] = {
                "agent-apart", "agent", DOCTOR_WARNING,
                "it tries again by itself; if the daemon is fine above, 'taskflow agent stop' and 'taskflow agent' begin "
                "anew, and running tasks go on",
        },
        [FINDING_AGENT_OLDER] = {
                "agent-older", "agent", DOCTOR_WARNING,
                "'taskflow agent stop' and then 'taskflow agent' start the installed one; running tasks go on",
        },
        [FINDING_AGENT_SESSION] = {
                "agent-session", "agent", DOCTOR_WARNING,
                "'taskflow agent enable --linger' lets it live from boot to shutdown",
        },
        [FINDING_ENDS_UNTOLD] = {
                "ends-untold", "agent", DOCTOR_WARNING,
                "nothing if the daemon is down: the next command tells it when it runs again",
        },
        [FINDING_HOME_MISSING] = {
                "home-missing", "folder", DOCTOR_ERROR,
                "set HOME, or XDG_STATE_HOME, to a folder that you can write to",
        },
        [FINDING_FOLDER_UNWRITABLE] = {
                "folder-unwritable", "folder", DOCTOR_ERROR,
                "make it writable, or set XDG_STATE_HOME to a folder that is: logs and detached tasks are kept there",
        },
        [FINDING_FOLDER_FOREIGN] = {
                "folder-foreign", "folder", DOCTOR_ERROR,
                "set HOME or XDG_STATE_HOME to a folder of your own ('sudo' without -H keeps that of another user)",
        },
        [FINDING_FOLDER_ROOM] = {
                "folder-room", "folder", DOCTOR_WARNING, SHORT_OF_ROOM,
        },
        [FINDING_CLOCK_BACK] = {
                "clock-back", "clock", DOCTOR_WARNING,
                "set the clock ('timedatectl' says whether it is kept right); if it was wrong before and is right now, "
                "nothing: times of older tasks are shown as they were written",
        },
        [FINDING_CLOCK_DIFFERS] = {
                "clock-differs", "clock", DOCTOR_ERROR,
                "the daemon and you are in different time namespaces, so that waits and delays are reckoned wrongly: run "
                "both in the same",
        },
        [FINDING_PROC_HIDDEN] = {
                "proc-hidden", "proc", DOCTOR_WARNING,
                "let taskflowd's user see processes: the mount option gid= of /proc and that group for taskflowd; else "
                "what others' tasks take is not seen, and counts as asked",
        },
};
/* clang-format on */

static const char *const doctor_level_table[] = {
        [DOCTOR_FINE] = "ok",
        [DOCTOR_WARNING] = "warning",
        [DOCTOR_ERROR] = "error",
};

const char *doctor_level_to_string(DoctorLevel level) {
        return doctor_level_table[level];
}

DoctorLevel doctor_found_level(const DoctorFound *found) {
        return found->spec ? found->spec->level : DOCTOR_FINE;
}

_printf_(4, 0) static void add(Doctor *doctor,
                               const char *check,
                               const DoctorSpec *spec,
                               const char *fmt,
                               va_list args) {
        DoctorFound *found;

        if (doctor->n == DOCTOR_FOUND_MAX)
                return;
        found = &doctor->found[doctor->n++];
        found->check = check;
        found->spec = spec;
        (void)vsnprintf(found->text, sizeof(found->text), fmt, args);
}

void doctor_fine(Doctor *doctor, const char *check, const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        add(doctor, check, NULL, fmt, args);
        va_end(args);
}

void doctor_find(Doctor *doctor, DoctorFinding finding, const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        add(doctor, doctor_specs[finding].check, &doctor_specs[finding], fmt, args);
        va_end(args);
}
