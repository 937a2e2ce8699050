/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * From the probe's report to the core: which task a process on a GPU belongs to is found through its ancestors, up to a
 * task's command or runner, and counts only if it is owned by the task's user.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/peers.h"
#include "daemon/records.h"
#include "probe/tree.h"
#include "util/cleanup.h"
#include "util/clock.h"

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

static unsigned attribute(Daemon *daemon, const GpuReport *report, GpuTaskUse *uses) {
        Owners owners;
        unsigned n_uses = 0;

        if (core_counts(daemon->core).running == 0 || collect_owners(daemon, &owners) < 0)
                return 0;
        for (unsigned i = 0; i < report->n_processes; i++) {
                const GpuProcess *process = &report->processes[i];
                uint64_t id;
                const Task *task;
                uid_t uid;

                if (process->used_bytes == UINT64_MAX)
                        continue;
                id = tree_find_owner(daemon->ram_source.proc_fd, process->pid, owner_of_pid,
                                     &owners, &uid);
                task = id ? core_find(daemon->core, id) : NULL;
                if (task && task->uid == uid)
                        add_use(uses, &n_uses, id, report->gpus[process->gpu].uuid,
                                process->used_bytes);
        }
        free(owners.owners);
        return n_uses;
}

/* The list that requests are checked against after a restart, until the probe answers again (decisions.md 32). */
static void remember_gpus(Daemon *daemon, const GpuReport *report) {
        GpuSample known[GPU_MAX];
        int n;

        n = store_get_gpus(daemon->store, known);
        if (n == (int)report->n_gpus) {
                unsigned i;

                for (i = 0; i < report->n_gpus; i++)
                        if (strcmp(known[i].uuid, report->gpus[i].uuid) != 0 ||
                            known[i].index != report->gpus[i].index ||
                            known[i].total_bytes != report->gpus[i].total_bytes)
                                break;
                if (i == report->n_gpus)
                        return;
        }
        (void)store_put_gpus(daemon->store, report->gpus, report->n_gpus);
        daemon->write_wanted = true;
}

static void take_report(Daemon *daemon, const GpuReport *report, uint64_t ticket) {
        _cleanup_free_ GpuTaskUse *uses = calloc(USES_MAX, sizeof(*uses));
        Event event = daemon_event(EVENT_GPUS, 0);

        if (!uses)
                return;
        event.gpus = (GpusSample){
                .known = true,
                .n_gpus = report->n_gpus,
                .gpus = report->gpus,
                .n_uses = attribute(daemon, report, uses),
                .uses = uses,
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
