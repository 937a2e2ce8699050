/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/experience.h"

#include <errno.h>
#include <stdlib.h>

#include "core/expect.h"
#include "core/table.h"

static ExperienceKey key_of(uid_t uid, uint64_t signature) {
        return (ExperienceKey){ .signature = signature, .uid = uid };
}

static void forget(Core *core, Experience *experience) {
        TAILQ_REMOVE(&core->experiences, experience, link);
        table_remove_experience(core, experience);
        free(experience);
        core->n_experiences--;
}

/* There from here on, and the last to be forgotten; NULL when out of memory. */
static Experience *get(Core *core, uid_t uid, uint64_t signature) {
        ExperienceKey key = key_of(uid, signature);
        Experience *experience = table_find_experience(core, &key);

        if (experience) {
                TAILQ_REMOVE(&core->experiences, experience, link);
                TAILQ_INSERT_TAIL(&core->experiences, experience, link);
                return experience;
        }

        experience = calloc(1, sizeof(*experience));
        if (!experience)
                return NULL;

        experience->key = key;
        if (table_add_experience(core, experience) < 0) {
                free(experience);
                return NULL;
        }
        TAILQ_INSERT_TAIL(&core->experiences, experience, link);
        if (++core->n_experiences > CORE_EXPERIENCES_MAX)
                forget(core, TAILQ_FIRST(&core->experiences));
        return experience;
}

static void add(Experience *experience, uint64_t duration_us) {
        experience->durations_us[experience->next] = duration_us;
        experience->next = (experience->next + 1) % CORE_RUNS_MAX;
        if (experience->n < CORE_RUNS_MAX)
                experience->n++;
}

const Experience *experience_find(const Core *core, uid_t uid, uint64_t signature) {
        ExperienceKey key = key_of(uid, signature);

        return table_find_experience(core, &key);
}

static void learn_of(Core *core, uid_t uid, uint64_t signature, uint64_t duration_us) {
        Experience *experience = get(core, uid, signature);

        if (experience)
                add(experience, duration_us);
}

void experience_learn(Core *core, const Entry *entry, uint64_t duration_us) {
        learn_of(core, entry->task->uid, entry->signature, duration_us);
        learn_of(core, entry->task->uid, SIGNATURE_ANY, duration_us);
}

static void restore(Experience *experience, const Event *event) {
        experience->n = experience->next = 0;
        for (unsigned i = 0; i < event->learned.n_runs; i++)
                add(experience, event->learned.durations_us[i]);
}

int experience_restore(Core *core, const Event *event) {
        Experience *of_same, *of_any;
        Entry *entry;

        if (event->learned.signature == SIGNATURE_ANY || event->learned.n_runs > CORE_RUNS_MAX)
                return CORE_E_ILLEGAL;

        of_same = get(core, event->learned.uid, event->learned.signature);
        if (!of_same)
                return -ENOMEM;
        restore(of_same, event);

        /* it ran before it was known how long it may */
        TAILQ_FOREACH(entry, &core->active, link)
        if (entry->task->uid == event->learned.uid &&
            entry->signature == event->learned.signature && entry->expected_us == 0)
                entry->expected_us = expect_learned_us(core, entry->task->uid, entry->signature);

        /* better than nothing, until something ends */
        of_any = event->learned.n_runs > 0 ? get(core, event->learned.uid, SIGNATURE_ANY) : NULL;
        if (of_any && of_any->n == 0)
                restore(of_any, event);
        return 0;
}

void experience_clear(Core *core) {
        Experience *experience;

        while ((experience = TAILQ_FIRST(&core->experiences)))
                forget(core, experience);
}

uint64_t core_find_unlearned(const Core *core, uint64_t id) {
        const Entry *entry = table_find(core, id);

        if (!entry || experience_find(core, entry->task->uid, entry->signature))
                return 0;

        return entry->signature;
}
