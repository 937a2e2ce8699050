/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/explain.h"

enum {
        LIST_EACH = 16,    /* looks, after which the order of all is compared */
        EXPLAIN_EACH = 32, /* events, after which some task's wait is explained */
};

void drive_init(Drive *drive, const Policy *policy) {
        *drive = (Drive){};
        oracle_init(&drive->oracle, policy);
        if (core_new(&drive->core, policy) < 0 || core_new(&drive->twin, policy) < 0)
                abort();
}

void drive_done(Drive *drive) {
        drive->core = core_free(drive->core);
        drive->twin = core_free(drive->twin);
        oracle_done(&drive->oracle);
}

Event drive_event(const Drive *drive, EventType type, uint64_t task_id) {
        return (Event){
                .type = type,
                .boot_us = drive->now_us,
                .at_us = drive->now_us,
                .task_id = task_id,
        };
}

static Task *copy_task(const Task *task) {
        Task *copy = task_copy(task);

        if (!copy)
                abort();
        return copy;
}

static void fail(Drive *drive, const char *text) {
        if (drive->oracle.fault[0] == '\0')
                (void)snprintf(drive->oracle.fault, sizeof(drive->oracle.fault), "%s", text);
}

/* A wait always has a reason, or nothing is missing and the very same task would be offered. */
static void check_explain(Drive *drive) {
        static Explain explain;
        char line[1024];
        uint64_t id;

        if (drive->oracle.n_alive == 0)
                return;
        id = drive->oracle.alive[drive->n_events / EXPLAIN_EACH % drive->oracle.n_alive]->id;
        if (core_explain(drive->core, id, drive->now_us, &explain) != 0)
                return;
        explain_sentence(&explain, drive->now_us, NULL, NULL, line, sizeof(line));
        if (line[0] == '\0')
                fail(drive, "a wait without words");
        for (size_t i = 0; i < explain.n_lacks; i++)
                if (explain.lacks[i].reason == WAIT_REASON_MEMORY &&
                    (explain.lacks[i].missing_bytes == 0 ||
                     explain.lacks[i].free_bytes >= explain.lacks[i].asked_bytes))
                        fail(drive, "a lack of nothing");
}

int drive_apply(Drive *drive, Event *event) {
        Task *task = event->type == EVENT_SUBMITTED ? copy_task(event->submitted) : NULL;
        Event twin = *event;
        int r;

        if (task)
                twin.submitted = copy_task(task);
        r = core_apply(drive->core, event);
        if (core_apply(drive->twin, &twin) != r)
                fail(drive, "the twin disagrees about an event");
        oracle_apply(&drive->oracle, event, task, r);
        if (r != 0 && task) {
                task_free(event->submitted);
                task_free(twin.submitted);
        }
        task_free(task);

        drive->n_events++;
        oracle_check_views(&drive->oracle, drive->core, drive->now_us);
        if (event->type == EVENT_RAM && drive->n_events % LIST_EACH == 0)
                oracle_check_list(&drive->oracle, drive->core, drive->now_us);
        if (drive->n_events % EXPLAIN_EACH == 0)
                check_explain(drive);
        return r;
}

static bool is_same(const Plan *a, const Plan *b) {
        if (a->n_offers != b->n_offers || a->want_ram != b->want_ram ||
            a->want_gpus != b->want_gpus || a->wake_boot_us != b->wake_boot_us ||
            a->keeps != b->keeps || a->keep_at != b->keep_at || a->keep_id != b->keep_id ||
            a->keep_n_gpus != b->keep_n_gpus)
                return false;
        for (unsigned i = 0; i < a->keep_n_gpus; i++)
                if (strcmp(a->keep_gpus[i].uuid, b->keep_gpus[i].uuid) != 0)
                        return false;
        for (size_t i = 0; i < a->n_offers; i++) {
                if (a->offers[i].task_id != b->offers[i].task_id ||
                    a->offers[i].index != b->offers[i].index ||
                    a->offers[i].n_gpus != b->offers[i].n_gpus)
                        return false;
                for (unsigned j = 0; j < a->offers[i].n_gpus; j++)
                        if (strcmp(a->offers[i].gpus[j].uuid, b->offers[i].gpus[j].uuid) != 0 ||
                            a->offers[i].gpus[j].bytes != b->offers[i].gpus[j].bytes)
                                return false;
        }
        return true;
}

Plan drive_plan(Drive *drive) {
        Plan plan, twin;

        if (core_plan(drive->core, drive->now_us, &plan) < 0 ||
            core_plan(drive->twin, drive->now_us, &twin) < 0)
                abort();
        if (!is_same(&plan, &twin))
                fail(drive, "the twin plans something else");
        if (plan.wake_boot_us <= drive->now_us)
                fail(drive, "to be woken in the past");
        plan_done(&twin);
        oracle_check_users(&drive->oracle, drive->core, drive->now_us);
        oracle_check_plan(&drive->oracle, &plan, drive->now_us);
        drive->n_plans++;
        drive->n_offers += plan.n_offers;
        drive->n_looks_wanted += plan.want_ram + plan.want_gpus;
        return plan;
}

int drive_offer(Drive *drive, const PlanOffer *offer) {
        Event event = drive_event(drive, EVENT_SPLIT, offer->task_id);

        if (offer->index >= 0) {
                event.split.index = (uint32_t)offer->index;
                if (drive_apply(drive, &event) != 0)
                        fail(drive, "an element is refused");
        }
        event = drive_event(drive, EVENT_OFFERED, drive_offered_id(offer));
        event.offered.gpus = offer->gpus;
        return drive_apply(drive, &event);
}

void drive_keep(Drive *drive, const Plan *plan) {
        Event event = drive_event(drive, EVENT_KEPT, plan->keep_id);

        if (!plan->keeps)
                return;
        event.kept.gpus = plan->keep_gpus;
        (void)drive_apply(drive, &event);
        drive->n_keepings += plan->keep_id != 0;
}

void drive_forget(Drive *drive, uint64_t id) {
        core_forget(drive->core, id);
        core_forget(drive->twin, id);
        oracle_forget(&drive->oracle, id);
        oracle_check_users(&drive->oracle, drive->core, drive->now_us);
}
