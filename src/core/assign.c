/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Giving each of several needs a GPU of its own
 *
 * Kuhn's algorithm: a need takes the first slot it likes; if that is taken, whoever has it is asked
 * to move, and so on. Slots are bits of one number, which is why there are at most 64.
 */

#include "core/assign.h"

_Static_assert(GPU_MAX <= 64 && NEEDS_GPUS_MAX <= 64, "a slot is a bit");

typedef struct Search {
        Assign *assign;
        int need_of[GPU_MAX]; /* -1: free */
        uint64_t tried;       /* slots that this search asked already */
} Search;

/* At most as deep as there are slots: each is tried once. NOLINTNEXTLINE(misc-no-recursion) */
static bool serve(Search *search, int need) {
        Assign *assign = search->assign;

        for (unsigned i = 0; i < assign->n_slots; i++) {
                unsigned slot = assign->prefer[i];
                uint64_t bit = UINT64_C(1) << slot;

                if (!(assign->can[need] & bit) || (search->tried & bit))
                        continue;

                search->tried |= bit;
                if (search->need_of[slot] >= 0 && !serve(search, search->need_of[slot]))
                        continue;

                search->need_of[slot] = need;
                assign->slot_of[need] = (int)slot;
                return true;
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
