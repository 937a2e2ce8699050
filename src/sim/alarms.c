/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/alarms.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

void alarms_done(Alarms *alarms) {
        free(alarms->alarms);
        *alarms = (Alarms){};
}

static bool is_before(const Alarm *a, const Alarm *b) {
        return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

int alarms_set(Alarms *alarms, uint64_t at_us, int what, uint64_t arg) {
        Alarm alarm = { .at_us = at_us, .order = alarms->n_set++, .what = what, .arg = arg };
        size_t at = alarms->n;

        if (alarms->n == alarms->n_allocated) {
                size_t n = 2 * alarms->n_allocated + 64;
                Alarm *grown = reallocarray(alarms->alarms, n, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                alarms->alarms = grown;
                alarms->n_allocated = n;
        }
        alarms->n++;
        for (; at > 0 && is_before(&alarm, &alarms->alarms[(at - 1) / 2]); at = (at - 1) / 2)
                alarms->alarms[at] = alarms->alarms[(at - 1) / 2];
        alarms->alarms[at] = alarm;
        return 0;
}

Alarm alarms_take(Alarms *alarms) {
        Alarm *heap = alarms->alarms;
        Alarm first, last;
        size_t at = 0;

        assert(alarms->n > 0);
        first = heap[0];
        last = heap[--alarms->n];
        for (;;) {
                size_t child = 2 * at + 1;

                if (child >= alarms->n)
                        break;
                if (child + 1 < alarms->n && is_before(&heap[child + 1], &heap[child]))
                        child++;
                if (!is_before(&heap[child], &last))
                        break;
                heap[at] = heap[child];
                at = child;
        }
        heap[at] = last;
        return first;
}
