#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Driving the core
 *
 * Every event goes to the core, to a twin that must always plan the same, and to the oracle; after
 * each one what they show is compared. The first fault stops everything.
 */

#include "core/core.h"

#include "oracle.h"

typedef struct Drive {
        Core *core;
        Core *twin;
        Oracle oracle;
        uint64_t now_us;
        uint64_t n_events;
        uint64_t n_plans;
        uint64_t n_offers;
        uint64_t n_looks_wanted;
        uint64_t n_keepings;
} Drive;

void drive_init(Drive *drive, const Policy *policy);
void drive_done(Drive *drive);

/* An event of now. */
Event drive_event(const Drive *drive, EventType type, uint64_t task_id);

/* Applies and compares. Returns what the core returned. A task is taken in any case. */
int drive_apply(Drive *drive, Event *event);

/* A plan, compared; to be released with plan_done(). */
Plan drive_plan(Drive *drive);

/* Who is offered a start: the task, or the element of an array. */
static inline uint64_t drive_offered_id(const PlanOffer *offer) {
        return offer->index < 0 ? offer->task_id : task_ref(offer->task_id, offer->index);
}

/* The events that an offer is made of. Returns what the last one returned. */
int drive_offer(Drive *drive, const PlanOffer *offer);

/* What a plan says of room to be kept; at its place among the offers. */
void drive_keep(Drive *drive, const Plan *plan);

/* What has ended is forgotten. */
void drive_forget(Drive *drive, uint64_t id);

static inline bool drive_failed(const Drive *drive) {
        return drive->oracle.fault[0] != '\0';
}
