/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Giving each of several needs a GPU of its own
 *
 * Kuhn's algorithm: a need takes the first free slot it likes; if there is none, whoever has one
 * that it likes is asked to move, and so on. Slots are bits of one number, which is why there are
 * at most 64.
 */

#include "core/assign.h"

_Static_assert(GPU_MAX <= 64 && NEEDS_GPUS_MAX <= 64, "a slot is a bit");

typedef struct Search {
        Assign *assign;
        int need_of[GPU_MAX]; /* -1: free */
        uint64_t tried;       /* slots that this search asked already */
} Search;

static void give(Search *search, int need, unsigned slot) {
        search->need_of[slot] = need;
        search->assign->slot_of[need] = (int)slot;
}

/* A slot that the need could have, and that this search has not asked. */
static bool may_ask(const Search *search, int need, unsigned slot) {
        uint64_t bit = UINT64_C(1) << slot;

        return (search->assign->can[need] & bit) && !(search->tried & bit);
}

/* Those who came first keep what they have where there is another way. */
static bool serve_free(Search *search, int need) {
        for (unsigned i = 0; i < search->assign->n_slots; i++) {
                unsigned slot = search->assign->prefer[i];

                if (search->need_of[slot] < 0 && may_ask(search, need, slot)) {
                        give(search, need, slot);
                        return true;
                }
        }

        return false;
}

/* As deep as there are slots at most: each is asked once. */
static bool serve(Search *search, int need) {
        if (serve_free(search, need))
                return true;

        for (unsigned i = 0; i < search->assign->n_slots; i++) {
                unsigned slot = search->assign->prefer[i];

                if (!may_ask(search, need, slot))
                        continue;

                search->tried |= UINT64_C(1) << slot;
                if (serve(search, search->need_of[slot])) {
                        give(search, need, slot);
                        return true;
                }
        }

        return false;
}

bool assign_all(Assign *assign) {
        Search search = { .assign = assign };
        bool all = true;

        for (unsigned i = 0; i < assign->n_slots; i++)
                search.need_of[i] = -1;
        for (unsigned i = 0; i < assign->n_needs; i++)
                assign->slot_of[i] = -1;

        for (unsigned i = 0; i < assign->n_needs; i++) {
                search.tried = 0;
                all &= serve(&search, (int)i);
        }

        return all;
}
