/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/doctor.h"
#include "cli/other-daemons.h"
#include "cli/session.h"
#include "client/clean-start.h"
#include "client/connect.h"
#include "core/gpu-word.h"
#include "probe/ram.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/units.h"
#include "wire/places.h"

#include "config.h"

/* The daemon may look at the GPUs first, and gives that a second and a half. */
#define ANSWER_US (3 * US_PER_SEC)

/* Clocks that are read one after the other. */
#define CLOCK_SLACK_US (60 * US_PER_SEC)

/* Less than this is soon full: a record is some hundred bytes, but a WAL may be tens of megabytes. */
#define STATE_ROOM_BYTES (64 * MIB)

/* Who listens: the user, and if it can be seen whether he is stopped. */
static struct ucred peer_of(int fd) {
        struct ucred peer = { .uid = (uid_t)-1 };
        socklen_t n = sizeof(peer);

        (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n);
        return peer;
}

static const char *why_this_one(DaemonKind kind) {
        switch (kind) {
        case DAEMON_KIND_NAMED:
                return "which TASKFLOW_SOCKET names";
        case DAEMON_KIND_MACHINE:
                return "of the machine's daemon";
        case DAEMON_KIND_PERSONAL:
                return "of your own daemon";
        }
        return "";
}

/* What connect_socket() failed with. */
static void find_no_connection(Doctor *doctor, DaemonKind kind, const char *path, int r) {
        struct stat st;

        if (kind == DAEMON_KIND_MACHINE && (r == -ENOENT || r == -ENOTDIR))
                doctor_find(
                        doctor, FINDING_DAEMON_DOWN,
                        "the machine has a daemon (%s is there), but it does not run: there is no '%s'",
                        PLACES_MACHINE_DIR, path);
        else if (r == -ENOENT || r == -ENOTDIR)
                doctor_find(doctor, FINDING_SOCKET_MISSING, "there is no socket '%s', %s", path,
                            why_this_one(kind));
        else if (r == -EACCES || r == -EPERM)
                doctor_find(doctor, FINDING_SOCKET_DENIED, "you may not connect to '%s', %s", path,
                            why_this_one(kind));
        else if (r == -ECONNREFUSED && stat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
                doctor_find(doctor, FINDING_SOCKET_NO_SOCKET, "'%s', %s, is no socket", path,
                            why_this_one(kind));
        else if (r == -ECONNREFUSED)
                doctor_find(doctor, FINDING_SOCKET_STALE, "nobody listens at '%s', %s", path,
                            why_this_one(kind));
        else if (r == -EAGAIN)
                doctor_find(doctor, FINDING_DAEMON_SILENT,
                            "what listens at '%s' takes no connection", path);
        else
                doctor_find(doctor, FINDING_SOCKET_MISSING, "cannot connect to '%s', %s: %s", path,
                            why_this_one(kind), strerror(-r));
        doctor->unreachable = true;
}

/* Whether whoever listens may be talked with. */
static bool judge_peer(Doctor *doctor, const Place *place) {
        struct ucred peer = peer_of(place->fd);
        char name[64];

        (void)cli_user_name(peer.uid, name, sizeof(name), NULL);
        if (connect_trusts(peer.uid)) {
                doctor_fine(doctor, "socket", "'%s', %s; %s listens", place->path,
                            why_this_one(place->kind), name);
                return true;
        }
        if (place->kind == DAEMON_KIND_NAMED) {
                doctor_find(doctor, FINDING_SOCKET_OTHERS,
                            "%s (uid %u) listens at '%s', %s: neither root nor taskflow nor you",
                            name, peer.uid, place->path, why_this_one(place->kind));
                return true;
        }
        doctor_find(
                doctor, FINDING_SOCKET_FOREIGN,
                "%s (uid %u) listens at '%s', who is neither root nor taskflow nor you: it is not used",
                name, peer.uid, place->path);
        doctor->unreachable = true;
        return false;
}

/* One socket. Return: whether somebody is there, who may be asked or not. */
static bool try_place(Doctor *doctor, DaemonKind kind, const char *path, Client **ret) {
        Place place = { .kind = kind, .fd = -1 };
        int r;

        r = connect_socket(path, &place.fd);
        if (r < 0 && kind == DAEMON_KIND_PERSONAL)
                return false;
        if (r < 0) {
                find_no_connection(doctor, kind, path, r);
                return true;
        }
        place.path = strdup(path);
        if (!place.path || !judge_peer(doctor, &place)) {
                free(place.path);
                (void)fd_close(place.fd);
                return true;
        }
        (void)client_new(ret, &place, "the daemon", NULL);
        return true;
}

/* The first command that needs it starts it: nothing is wrong if that works. */
static void judge_no_personal(Doctor *doctor) {
        _cleanup_free_ char *program = NULL;

        if (clean_start_find("taskflowd", &program) < 0)
                doctor_find(
                        doctor, FINDING_DAEMON_MISSING,
                        "no daemon runs, and the program taskflowd is neither beside taskflow nor in PATH");
        else
                doctor_fine(doctor, "daemon",
                            "none runs: 'taskflow run' starts one of your own ('%s')", program);
}

static void try_personal(Doctor *doctor, Client **ret) {
        _cleanup_free_ char *runtime = NULL, *own = NULL;

        if (places_runtime_socket(&runtime) == 0 && runtime &&
            try_place(doctor, DAEMON_KIND_PERSONAL, runtime, ret))
                return;
        if (places_personal_socket(&own, NULL) == 0 &&
            try_place(doctor, DAEMON_KIND_PERSONAL, own, ret))
                return;
        judge_no_personal(doctor);
}

static bool is_stopped(pid_t pid) {
        _cleanup_free_ char *stat = NULL;
        const char *state;
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        if (fd_read_file(AT_FDCWD, path, &stat, NULL, 4096) < 0)
                return false;
        state = strrchr(stat, ')');
        return state && (strncmp(state, ") T", 3) == 0 || strncmp(state, ") t", 3) == 0);
}

static void ask_status(Doctor *doctor, Client *client, Reply *reply) {
        struct ucred peer = peer_of(client_fd(client));
        const Call call = { .type = CALL_STATUS };
        Error error = { .text = "the connection has ended" };
        int r;

        r = client_send(client, &call, -1, &error);
        if (r == 0)
                r = session_receive(client, clock_boottime_us() + ANSWER_US, reply, &error);
        if (r == SESSION_E_TIMEOUT)
                doctor_find(doctor, FINDING_DAEMON_SILENT, "process %d at '%s' does not answer%s",
                            (int)peer.pid, client_path(client),
                            is_stopped(peer.pid) ? ": it is stopped" : "");
        else if (r != 0)
                doctor_find(doctor, FINDING_DAEMON_NONSENSE, "what listens at '%s': %s",
                            client_path(client), error.text);
        else if (reply->error == ERROR_NOT_PERMITTED)
                doctor_find(doctor, FINDING_DAEMON_DENIES, "%s",
                            reply->message ? reply->message : "it keeps you out");
        else if (reply->error != ERROR_NONE)
                doctor_find(doctor, FINDING_DAEMON_NONSENSE,
                            "what listens at '%s' refuses to say how it is: %s",
                            client_path(client),
                            reply->message ? reply->message : error_name_to_string(reply->error));
        else
                doctor->status = reply;
        doctor->unreachable |=
                r != 0 || (reply->error != ERROR_NONE && reply->error != ERROR_NOT_PERMITTED);
}

void doctor_connect(Doctor *doctor, Client **ret, Reply *reply) {
        const char *named = getenv("TASKFLOW_SOCKET");

        *ret = NULL;
        session_occupy_descriptors();
        if (named && named[0])
                (void)try_place(doctor, DAEMON_KIND_NAMED, named, ret);
        else if (places_machine_has_daemon())
                (void)try_place(doctor, DAEMON_KIND_MACHINE, PLACES_MACHINE_SOCKET, ret);
        else
                try_personal(doctor, ret);
        doctor->client = *ret;
        if (*ret)
                ask_status(doctor, *ret, reply);
}

/* The number at @at, which is moved behind it; as large as it can be where that is not large enough. */
static unsigned take_number(const char **at) {
        unsigned value = 0;

        for (; **at >= '0' && **at <= '9'; (*at)++)
                if (value < 100000000)
                        value = value * 10 + (unsigned)(**at - '0');
        return value;
}

/* Numbers between points; what is behind them does not matter. Return: less than 0, 0, or more. */
static int compare_versions(const char *a, const char *b) {
        for (;;) {
                unsigned x = take_number(&a), y = take_number(&b);

                if (x != y)
                        return x < y ? -1 : 1;
                if (*a != '.' || *b != '.')
                        return (*a == '.') - (*b == '.');
                a++;
                b++;
        }
}

static void judge_version(Doctor *doctor, const MachineStatus *status) {
        int r = compare_versions(status->version, TASKFLOW_VERSION);

        if (r == 0)
                doctor_fine(doctor, "version", "taskflow and taskflowd are both %s",
                            TASKFLOW_VERSION);
        else
                doctor_find(doctor, r < 0 ? FINDING_DAEMON_OLDER : FINDING_DAEMON_NEWER,
                            "taskflowd that runs is %s, this taskflow is %s", status->version,
                            TASKFLOW_VERSION);
}

static void judge_daemon(Doctor *doctor, const MachineStatus *status) {
        char user[64], names[OTHER_DAEMONS_NAMES_MAX];

        (void)cli_user_name(status->daemon_uid, user, sizeof(user), NULL);
        doctor_fine(doctor, "daemon", "process %d of user %s, %s", (int)status->daemon_pid, user,
                    status->personal ? "for you alone" : "for all users");
        if (status->personal && other_daemons(names) > 0)
                doctor_find(
                        doctor, FINDING_QUEUE_ALONE,
                        "taskflowd of %s run%s beside yours: these queues know nothing of each other, and "
                        "together start more than fits",
                        names, strchr(names, ',') ? "" : "s");
}

static void judge_state(Doctor *doctor, const MachineStatus *status) {
        const Health *health = status->health;
        char free_text[UNITS_FORMAT_MAX];
        size_t n_before = doctor->n;

        if (!health)
                return;
        (void)units_format_bytes(free_text, sizeof(free_text), health->state_free_bytes);
        if (health->state_text[0])
                doctor_find(doctor, FINDING_STATE_FAILING, "the daemon cannot write to '%s': %s",
                            status->state_dir, health->state_text);
        else if (health->state_total_bytes > 0 && health->state_free_bytes < STATE_ROOM_BYTES)
                doctor_find(doctor, FINDING_STATE_ROOM, "only %s is free for '%s'", free_text,
                            status->state_dir);
        if (health->n_damaged > 0)
                doctor_find(doctor, FINDING_STATE_DAMAGED,
                            "%u record%s in '%s' make%s no sense and %s left out",
                            health->n_damaged, health->n_damaged == 1 ? "" : "s", status->state_dir,
                            health->n_damaged == 1 ? "s" : "",
                            health->n_damaged == 1 ? "is" : "are");
        if (doctor->n == n_before)
                doctor_fine(doctor, "state", "'%s' can be written, %s free", status->state_dir,
                            free_text);
}

/* What this process can see of RAM, against what the daemon sees. */
static void judge_memory(Doctor *doctor, const MachineStatus *status) {
        bool limited = status->health && status->health->memory_limited;
        const uint64_t total_bytes = status->ram.total_bytes;
        char theirs[UNITS_FORMAT_MAX], ours[UNITS_FORMAT_MAX];
        RamFigures here = {};
        RamSource source;

        if (!status->ram.known) {
                doctor_find(doctor, FINDING_MEMORY_UNKNOWN,
                            "the daemon cannot tell how much RAM there is");
                return;
        }
        (void)units_format_bytes(theirs, sizeof(theirs), total_bytes);
        if (ram_source_open(&source) < 0)
                return;
        if (ram_read(&source, &here) == 0 && here.total_bytes / 16 * 15 > total_bytes)
                doctor_find(doctor, FINDING_MEMORY_DIFFERS,
                            "the daemon reckons with %s of RAM%s, here there are %s", theirs,
                            limited ? " (the limit of its container)" : "",
                            units_format_bytes(ours, sizeof(ours), here.total_bytes));
        else if (here.total_bytes > 0 && here.total_bytes < total_bytes / 16 * 15)
                doctor_find(doctor, FINDING_MEMORY_DIFFERS,
                            "the daemon reckons with %s of RAM, here there are only %s%s", theirs,
                            units_format_bytes(ours, sizeof(ours), here.total_bytes),
                            here.limited ? " (the limit of your container)" : "");
        else
                doctor_fine(doctor, "memory", "%s of RAM%s, %s free for the next task", theirs,
                            limited ? " (the limit of the container)" : "",
                            units_format_bytes(ours, sizeof(ours), status->ram.free_bytes));
        ram_source_close(&source);
}

static bool has_nvidia(void) {
        return access("/dev/nvidia0", F_OK) == 0 || access("/proc/driver/nvidia", F_OK) == 0 ||
               access("/usr/lib/wsl/lib/libnvidia-ml.so.1", F_OK) == 0;
}

/* Return: whether something is the matter with it. */
static bool judge_gpu(Doctor *doctor, const MachineStatus *status, const GpuView *view) {
        const GpuSample *gpu = &view->sample;
        const char *why = gpu->note[0] ? gpu->note : status->gpu_text;
        char buf[GPU_ID_MAX];
        const char *id = gpu_id_or_index(view->id, gpu->index, buf);

        switch (gpu->state) {
        case GPU_STATE_OK:
                return false;
        case GPU_STATE_LOST:
                doctor_find(doctor, FINDING_GPU_LOST, "GPU %s (%s) is lost: %s", id, gpu->name,
                            gpu->note[0] ? gpu->note : "its driver says it is gone");
                return true;
        case GPU_STATE_UNKNOWN:
                break;
        }
        doctor_find(doctor, FINDING_GPU_UNKNOWN, "GPU %s (%s) does not answer: %s", id, gpu->name,
                    why[0] ? why : "its driver does not say why");
        return true;
}

static void judge_gpus(Doctor *doctor, const MachineStatus *status) {
        size_t n_bad = 0, n_whole = 0;

        if (!status->gpus_known && (status->n_gpus > 0 || has_nvidia())) {
                doctor_find(doctor, FINDING_GPU_UNKNOWN, "the GPUs do not answer: %s",
                            status->gpu_text[0] ? status->gpu_text : "the daemon does not say why");
                return;
        }
        for (size_t i = 0; i < status->n_gpus; i++) {
                n_bad += judge_gpu(doctor, status, &status->gpus[i]);
                n_whole += status->gpus[i].sample.whole_only;
        }
        if (status->n_gpus == 0)
                doctor_fine(doctor, "gpus", "none%s%s", status->gpu_text[0] ? ": " : "",
                            status->gpu_text);
        else if (n_bad == 0 && n_whole > 0)
                doctor_fine(doctor, "gpus",
                            "%zu, which answer; the memory of %zu can't be measured",
                            status->n_gpus, n_whole);
        else if (n_bad == 0)
                doctor_fine(doctor, "gpus", "%zu, which answer", status->n_gpus);
}

static void judge_clock(Doctor *doctor) {
        uint64_t theirs_us = doctor->status->boot_us, ours_us = clock_boottime_us();

        if (theirs_us > 0 && MAX(theirs_us, ours_us) - MIN(theirs_us, ours_us) > CLOCK_SLACK_US)
                doctor_find(doctor, FINDING_CLOCK_DIFFERS,
                            "for the daemon the machine was started %" PRIu64
                            " s ago, here %" PRIu64 " s ago",
                            theirs_us / US_PER_SEC, ours_us / US_PER_SEC);
}

void doctor_daemon(Doctor *doctor) {
        const MachineStatus *status = &doctor->status->status;

        judge_daemon(doctor, status);
        judge_version(doctor, status);
        judge_state(doctor, status);
        judge_memory(doctor, status);
        judge_gpus(doctor, status);
        judge_clock(doctor);
}
