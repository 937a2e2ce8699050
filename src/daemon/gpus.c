/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * From the probe's report to the core: which task a process on a GPU belongs to is found through its ancestors, up to a
 * task's command or runner, and counts only if it is owned by the task's user.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/peers.h"
#include "daemon/records.h"
#include "probe/tree.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/proc-id.h"

enum {
        USES_MAX =
                4096, /* (task, GPU) pairs in one look; more would be more than all GPUs' processes make sense of */
};

/* A process that stands for a task: its command, or its runner. */
typedef struct Owner {
        pid_t pid;
        uint64_t task_id;
} Owner;

typedef struct Owners {
        size_t n;
        Owner *owners; /* sorted by pid */
} Owners;

static int compare_owners(const void *a, const void *b) {
        const Owner *x = a, *y = b;

        return (x->pid > y->pid) - (x->pid < y->pid);
}

static int collect_owners(Daemon *daemon, Owners *ret) {
        size_t n_max = 2 * core_counts(daemon->core).running;

        ret->n = 0;
        ret->owners = calloc(n_max + 1, sizeof(*ret->owners));
        if (!ret->owners)
                return -ENOMEM;
        for (const Record *record = daemon->records; record && ret->n + 2 <= n_max;
             record = record->hh.next) {
                const Task *task = core_find(daemon->core, record->task_id);

                if (!task || task->state != TASK_STATE_RUNNING)
                        continue;
                if (task->pid > 0)
                        ret->owners[ret->n++] = (Owner){ .pid = task->pid, .task_id = task->id };
                if (record->runner_pid > 0)
                        ret->owners[ret->n++] =
                                (Owner){ .pid = record->runner_pid, .task_id = task->id };
        }
        qsort(ret->owners, ret->n, sizeof(*ret->owners), compare_owners);
        return 0;
}

/* Asked for each ancestor of each process on a GPU. */
static uint64_t owner_of_pid(pid_t pid, void *userdata) {
        const Owners *owners = userdata;
        const Owner key = { .pid = pid };
        const Owner *found = bsearch(&key, owners->owners, owners->n, sizeof(key), compare_owners);

        return found ? found->task_id : 0;
}

/* Adds to the task's use on that GPU. */
static void add_use(GpuTaskUse *uses,
                    unsigned *n_uses,
                    uint64_t task_id,
                    const char *uuid,
                    uint64_t bytes) {
        for (unsigned i = 0; i < *n_uses; i++)
                if (uses[i].task_id == task_id && strcmp(uses[i].uuid, uuid) == 0) {
                        if (__builtin_add_overflow(uses[i].used_bytes, bytes, &uses[i].used_bytes))
                                uses[i].used_bytes = UINT64_MAX;
                        return;
                }
        if (*n_uses == USES_MAX)
                return;
        uses[*n_uses] = (GpuTaskUse){ .task_id = task_id, .used_bytes = bytes };
        (void)snprintf(uses[*n_uses].uuid, sizeof(uses[*n_uses].uuid), "%s", uuid);
        (*n_uses)++;
}

/* What a report says of processes, sorted by whose they are. */
typedef struct Attribution {
        unsigned n_uses;
        GpuTaskUse uses[USES_MAX];
        Outsiders outsiders[GPU_MAX]; /* one for each GPU of the report */
} Attribution;

/* The task that a process belongs to, or 0. */
static uint64_t task_of_process(Daemon *daemon, Owners *owners, pid_t pid) {
        const Task *task;
        uint64_t id;
        uid_t uid;

        if (owners->n == 0)
                return 0;
        id = tree_find_owner(daemon->ram_source.proc_fd, pid, owner_of_pid, owners, &uid);
        task = id ? core_find(daemon->core, id) : NULL;
        return task && task->uid == uid ? id : 0;
}

static void attribute_process(Daemon *daemon,
                              Owners *owners,
                              const GpuReport *report,
                              const GpuProcess *process,
                              Attribution *ret) {
        const OutsideProcess outsider = {
                .pid = process->pid,
                .uid = OUTSIDER_UID_UNKNOWN,
                .used_bytes = process->used_bytes,
        };
        uint64_t id = task_of_process(daemon, owners, process->pid);

        if (id == 0)
                outsiders_add(&ret->outsiders[process->gpu], &outsider);
        else if (process->used_bytes != UINT64_MAX)
                add_use(ret->uses, &ret->n_uses, id, report->gpus[process->gpu].uuid,
                        process->used_bytes);
}

/* Whose it is, and which process of that pid. What has ended meanwhile stays a number. */
static void identify_outsider(OutsideProcess *outsider) {
        char path[32];
        struct stat st;

        (void)snprintf(path, sizeof(path), "/proc/%d", outsider->pid);
        if (stat(path, &st) < 0 ||
            proc_start_ticks(outsider->pid, &outsider->start_ticks, NULL) < 0)
                return;
        outsider->uid = st.st_uid;
}

static void attribute(Daemon *daemon, const GpuReport *report, Attribution *ret) {
        Owners owners = {};

        if (core_counts(daemon->core).running > 0 && collect_owners(daemon, &owners) < 0)
                return;
        for (unsigned i = 0; i < report->n_processes; i++)
                attribute_process(daemon, &owners, report, &report->processes[i], ret);
        free(owners.owners);

        for (unsigned i = 0; i < report->n_gpus; i++)
                for (size_t j = 0; j < ret->outsiders[i].n; j++)
                        identify_outsider(&ret->outsiders[i].items[j]);
}

/* The list that requests are checked against after a restart, until the probe answers again (decisions.md 32). */
static void remember_gpus(Daemon *daemon, const GpuReport *report) {
        GpuSample known[GPU_MAX];
        int n;

        if (report->failed_kinds != 0)
                return; /* those of a driver that fails would be forgotten */
        n = store_get_gpus(daemon->store, known);
        if (n == (int)report->n_gpus) {
                unsigned i;

                for (i = 0; i < report->n_gpus; i++)
                        if (strcmp(known[i].uuid, report->gpus[i].uuid) != 0 ||
                            known[i].kind != report->gpus[i].kind ||
                            known[i].index != report->gpus[i].index ||
                            known[i].part != report->gpus[i].part ||
                            known[i].total_bytes != report->gpus[i].total_bytes)
                                break;
                if (i == report->n_gpus)
                        return;
        }
        (void)store_put_gpus(daemon->store, report->gpus, report->n_gpus);
        daemon->write_wanted = true;
}

static void take_report(Daemon *daemon, const GpuReport *report, uint64_t ticket) {
        _cleanup_free_ Attribution *attribution = calloc(1, sizeof(*attribution));
        Event event = daemon_event(EVENT_GPUS, 0);

        if (!attribution)
                return;
        attribute(daemon, report, attribution);
        event.gpus = (GpusSample){
                .known = true,
                .unknown_kinds = report->failed_kinds,
                .n_gpus = report->n_gpus,
                .gpus = report->gpus,
                .n_uses = attribution->n_uses,
                .uses = attribution->uses,
                .outsiders = attribution->outsiders,
                .n_offers_before = ticket,
        };
        (void)core_apply(daemon->core, &event);
        daemon->gpus_boot_us = event.boot_us;
        daemon->gpus_ticket = ticket;
        remember_gpus(daemon, report);
}

void daemon_on_gpus(const GpuReport *report, const char *why, uint64_t ticket, void *userdata) {
        Daemon *daemon = userdata;
        Event event = daemon_event(EVENT_GPUS, 0);
        bool known = report && report->ok;
        const char *text = report ? report->text : why ? why : "";

        if (!known && (daemon->gpus_known || strcmp(daemon->gpu_text, text) != 0))
                log_warning("GPUs: %s", text);
        if (known && !daemon->gpus_known && daemon->gpus_looked)
                log_info("GPUs: the driver answers again");
        daemon->gpus_known = known;
        daemon->gpus_looked = true;
        (void)snprintf(daemon->gpu_text, sizeof(daemon->gpu_text), "%s", text);
        if (known) {
                take_report(daemon, report, ticket);
        } else {
                event.gpus = (GpusSample){ .known = false, .n_offers_before = ticket };
                (void)core_apply(daemon->core, &event);
        }
        peers_resume_parked(daemon->peers, true);
        daemon_want_turn(daemon);
}
