/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any bytes in place of an order to a keeper: what is read can be composed again, and is the same.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/keeper-order.h"
#include "util/cleanup.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_free_ GpuGrant *gpus = NULL, *gpus_again = NULL;
        _cleanup_free_ char *first = NULL, *second = NULL;
        size_t n_first, n_second;
        KeeperOrder order, again;

        if (keeper_order_parse(&order, &gpus, (const char *)data, n) != 0)
                return 0;
        assert(order.ref > 0 && order.attempt > 0 && order.n_gpus <= GPU_MAX);
        assert(keeper_order_compose(&order, &first, &n_first) == 0);
        assert(keeper_order_parse(&again, &gpus_again, first, n_first) == 0);
        assert(keeper_order_compose(&again, &second, &n_second) == 0);
        assert(n_first == n_second && memcmp(first, second, n_first) == 0);
        return 0;
}
