/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/outsiders.h"

static uint64_t weight(const OutsideProcess *outsider) {
        return outsider->used_bytes == OUTSIDER_BYTES_UNKNOWN ? 0 : outsider->used_bytes;
}

void outsiders_add(Outsiders *outsiders, const OutsideProcess *outsider) {
        size_t at = outsiders->n;

        if (at == OUTSIDERS_MAX) {
                outsiders->n_more++;
                if (weight(outsider) <= weight(&outsiders->items[at - 1]))
                        return;
                at--;
        } else {
                outsiders->n++;
        }

        for (; at > 0 && weight(&outsiders->items[at - 1]) < weight(outsider); at--)
                outsiders->items[at] = outsiders->items[at - 1];
        outsiders->items[at] = *outsider;
}
