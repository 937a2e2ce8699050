/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Nothing is lost, whatever dies and whenever
 *
 * The real daemon, with the real core and the real table of what an agent does, on a virtual system: its store is on a disk that
 * loses what was not synced, its connections are queues, and whoever takes part may be killed at each step. docs/durability.md says
 * what is modelled and what is checked.
 *
 *     durability [SEED [ROUNDS]]
 *     durability --mutant N         whether it is noticed that something is broken
 *     durability --mutants          whether all are
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "durability/agents.h"
#include "durability/check.h"
#include "durability/files.h"
#include "durability/host.h"
#include "durability/keepers.h"
#include "durability/links.h"
#include "durability/people.h"
#include "durability/runners.h"
#include "durability/store.h"
#include "durability/system.h"
#include "durability/world.h"

enum {
        ROUNDS = 2500,
        MUTANT_ROUNDS = 1500, /* in which a mutant is to be noticed */
};

#define REST_US (UINT64_C(3600) * US_PER_SEC) /* in which everything comes to an end */

typedef struct Totals {
        uint64_t n_events;
        uint64_t n_killed[4];
        uint64_t n_starts;
        uint64_t n_rows[N_ROW_FATES];
        uint64_t n_told;
} Totals;

static bool is_at_rest(void) {
        for (unsigned i = 0; i < N_AGENTS; i++) {
                size_t at = 0;

                if (!agent_has_rest(&agents[i]) || file_next(i, &at))
                        return false;
        }
        return people_rest() && runners_rest() && keepers_rest() && world.daemon.up &&
               host_n_tasks() == 0 && !store_shelf()->dirty;
}

static void begin(uint64_t seed, Mutant mutant) {
        world_begin(seed, mutant);
        check_begin();
        system_begin();
        links_begin();
        store_begin();
        files_begin();
        keepers_begin();
        runners_begin();
        agents_begin();
        host_begin();
}

static void end(void) {
        host_end();
        agents_end();
        store_end();
        links_end();
        system_end();
        world_end();
}

static void count(Totals *totals) {
        totals->n_events += world.n_events;
        for (unsigned i = 0; i < ELEMENTSOF(totals->n_killed); i++)
                totals->n_killed[i] += world.n_killed[i];
        for (unsigned i = 0; i < N_ROW_FATES; i++)
                totals->n_rows[i] += world.n_rows[i];
        for (unsigned i = 0; start_at(i); i++)
                totals->n_starts++;
        for (unsigned i = 0; deed_at(i); i++)
                totals->n_told += deed_at(i)->told;
}

/* Return: whether nothing was wrong. */
static bool play(uint64_t seed, Mutant mutant, Totals *totals, bool quiet) {
        uint64_t span_us;
        bool good;

        begin(seed, mutant);
        span_us = (10 + world_below(200)) * US_PER_SEC;
        people_begin((unsigned)(5 + world_below(60)), span_us);
        world_run(world.now_us + span_us + 20 * US_PER_SEC, NULL);

        world_note("world", "is calm", 0, 0);
        world.calm = true;
        people_calm();
        world_run(world.now_us + REST_US, is_at_rest);
        check_rest();
        good = !world_failed();
        if (!good && !quiet) {
                world_print_trace();
                (void)fprintf(stderr, "durability: seed %" PRIu64 ", event %" PRIu64 ": %s\n", seed,
                              world.n_events, world.fault);
        }
        count(totals);
        end();
        return good;
}

static int play_mutant(uint64_t number) {
        Totals totals = { 0 };

        for (uint64_t seed = 1; seed <= MUTANT_ROUNDS; seed++)
                if (!play(seed, (Mutant)number, &totals, true)) {
                        (void)printf("durability: mutant %" PRIu64 " noticed in round %" PRIu64
                                     ": %s\n",
                                     number, seed, world.fault);
                        return EXIT_SUCCESS;
                }
        (void)fprintf(stderr, "durability: mutant %" PRIu64 " was not noticed\n", number);
        return EXIT_FAILURE;
}

static int play_mutants(void) {
        int r = EXIT_SUCCESS;

        for (uint64_t number = 1; number < N_MUTANTS; number++)
                if (play_mutant(number) != EXIT_SUCCESS)
                        r = EXIT_FAILURE;
        return r;
}

/* All that can become of a row. */
static bool has_all_rows(const Totals *totals) {
        for (unsigned i = 0; i < N_ROW_FATES; i++)
                if (totals->n_rows[i] == 0)
                        return false;
        return true;
}

int main(int argc, char **argv) {
        uint64_t seed, n_rounds, n_bad = 0;
        Totals totals = { 0 };
        clock_t begun = clock();

        if (argc > 1 && strcmp(argv[1], "--mutants") == 0)
                return play_mutants();
        if (argc > 2 && strcmp(argv[1], "--mutant") == 0)
                return play_mutant(strtoull(argv[2], NULL, 10));
        seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
        n_rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : ROUNDS;

        for (uint64_t i = 0; i < n_rounds; i++)
                n_bad += !play(seed + i, MUTANT_NONE, &totals, n_bad > 0);
        (void)printf("durability: %" PRIu64 " rounds, %" PRIu64 " events in %.1f s, %" PRIu64
                     " tasks, %" PRIu64 " starts; killed: daemon %" PRIu64 ", agents %" PRIu64
                     ", keepers and runners %" PRIu64 "; power cuts %" PRIu64 "; %" PRIu64
                     " failed\n",
                     n_rounds, totals.n_events, (double)(clock() - begun) / CLOCKS_PER_SEC,
                     totals.n_told, totals.n_starts, totals.n_killed[0], totals.n_killed[1],
                     totals.n_killed[2], totals.n_killed[3], n_bad);
        (void)printf("durability: in rows: %" PRIu64 " granted, %" PRIu64
                     " started by their keeper, %" PRIu64 " given back, %" PRIu64
                     " of them overdue; orders: %" PRIu64 " taken back, %" PRIu64
                     " come to too late\n",
                     totals.n_rows[ROW_LINED_UP], totals.n_rows[ROW_GONE_ON],
                     totals.n_rows[ROW_GIVEN_BACK], totals.n_rows[ROW_OVERDUE],
                     totals.n_rows[ROW_UNTAKEN], totals.n_rows[ROW_TOO_LATE]);
        if (n_rounds >= ROUNDS && !has_all_rows(&totals)) {
                (void)fprintf(stderr, "durability: something never happens to rows\n");
                return EXIT_FAILURE;
        }
        return n_bad > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
