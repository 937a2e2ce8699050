/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/keeper-order.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/macro.h"
#include "util/nul-text.h"

int keeper_order_compose(const KeeperOrder *order, char **ret, size_t *ret_n) {
        NulWriter writer = { 0 };

        nul_put_number(&writer, order->ref);
        nul_put_number(&writer, order->attempt);
        nul_put_number(&writer, order->n_gpus);
        for (unsigned i = 0; i < order->n_gpus; i++) {
                nul_put_text(&writer, order->gpus[i].uuid);
                nul_put_text(&writer, order->gpus[i].id);
                nul_put_number(&writer, order->gpus[i].kind);
                nul_put_number(&writer, order->gpus[i].index);
        }
        nul_put_number(&writer, order->pin);
        nul_put_number(&writer, order->time_limit_us);
        nul_put_bytes(&writer, order->context, order->n_context);
        nul_put_bytes(&writer, order->task, order->n_task);
        nul_put_text(&writer, order->log);
        nul_put_number(&writer, order->log_is_own);
        nul_put_text(&writer, order->folder);
        nul_put_number(&writer, order->epoch);
        return nul_writer_take(&writer, ret, ret_n);
}

/* Many have the same context: it is there once for all that follow each other. */
static int put_order(NulWriter *writer, const KeeperOrder *order, const KeeperOrder *last) {
        _cleanup_free_ char *bytes = NULL;
        KeeperOrder lean = *order;
        size_t n;
        int r;

        if (last && last->n_context == order->n_context &&
            memcmp(last->context, order->context, order->n_context) == 0)
                lean.n_context = 0;
        r = keeper_order_compose(&lean, &bytes, &n);
        if (r == 0)
                nul_put_bytes(writer, bytes, n);
        return r;
}

int keeper_row_compose(const KeeperOrder *orders, size_t n, char **ret, size_t *ret_n) {
        NulWriter writer = { 0 };

        nul_put_number(&writer, n);
        for (size_t i = 0; i < n; i++) {
                int r = put_order(&writer, &orders[i], i > 0 ? &orders[i - 1] : NULL);

                if (r < 0) {
                        nul_writer_done(&writer);
                        return r;
                }
        }
        return nul_writer_take(&writer, ret, ret_n);
}

int keeper_row_open(KeeperRow *ret, const char *bytes, size_t n) {
        *ret = (KeeperRow){ .reader = nul_reader(bytes, n) };
        if (!nul_get_number(&ret->reader, 1, KEEPER_ROW_MAX, &ret->n_left))
                return -EBADMSG;
        ret->n_together = ((unsigned)ret->n_left + 1) / 2;
        return 0;
}

static bool get_gpus(NulReader *reader, GpuGrant *gpus, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                const char *uuid, *id;
                uint64_t kind, index;

                if (!nul_get_text(reader, &uuid) || strlen(uuid) >= sizeof(gpus[i].uuid) ||
                    !nul_get_text(reader, &id) || strlen(id) >= sizeof(gpus[i].id) ||
                    !nul_get_number(reader, 0, N_GPU_KINDS - 1, &kind) ||
                    !nul_get_number(reader, 0, UINT_MAX, &index))
                        return false;
                (void)memcpy(gpus[i].uuid, uuid, strlen(uuid) + 1);
                (void)memcpy(gpus[i].id, id, strlen(id) + 1);
                gpus[i].kind = (GpuKind)kind;
                gpus[i].index = (unsigned)index;
        }
        return true;
}

int keeper_order_parse(KeeperOrder *ret, GpuGrant **ret_gpus, const char *bytes, size_t n) {
        _cleanup_free_ GpuGrant *gpus = NULL;
        NulReader reader = nul_reader(bytes, n);
        uint64_t attempt, n_gpus, pin, own;
        KeeperOrder order;

        if (!nul_get_number(&reader, 1, UINT64_MAX, &order.ref) ||
            !nul_get_number(&reader, 1, UINT_MAX, &attempt) ||
            !nul_get_number(&reader, 0, GPU_MAX, &n_gpus))
                return -EBADMSG;
        gpus = calloc((size_t)n_gpus + 1, sizeof(*gpus));
        if (!gpus)
                return -ENOMEM;
        if (!get_gpus(&reader, gpus, (unsigned)n_gpus) || !nul_get_number(&reader, 0, 1, &pin) ||
            !nul_get_number(&reader, 0, UINT64_MAX, &order.time_limit_us) ||
            !nul_get_bytes(&reader, &order.context, &order.n_context) ||
            !nul_get_bytes(&reader, &order.task, &order.n_task) ||
            !nul_get_text(&reader, &order.log) || !nul_get_number(&reader, 0, 1, &own) ||
            !nul_get_text(&reader, &order.folder) ||
            !nul_get_number(&reader, 0, UINT64_MAX, &order.epoch) || !nul_reader_is_over(&reader))
                return -EBADMSG;

        order.attempt = (unsigned)attempt;
        order.n_gpus = (unsigned)n_gpus;
        order.pin = pin != 0;
        order.log_is_own = own != 0;
        order.gpus = gpus;
        *ret_gpus = TAKE_PTR(gpus);
        *ret = order;
        return 0;
}

int keeper_row_next(KeeperRow *row, KeeperOrder *ret, GpuGrant **ret_gpus) {
        const char *bytes;
        size_t n;
        int r;

        row->n_left--;
        if (!nul_get_bytes(&row->reader, &bytes, &n))
                return -EBADMSG;
        r = keeper_order_parse(ret, ret_gpus, bytes, n);
        if (r < 0)
                return r;
        if (ret->n_context == 0) {
                ret->context = row->context;
                ret->n_context = row->n_context;
        }
        row->context = ret->context;
        row->n_context = ret->n_context;
        return 0;
}
