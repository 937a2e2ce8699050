/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Learned: what runs of the same took before.
 */

#include <string.h>

#include "core/signature.h"
#include "daemon/methods.h"
#include "util/macro.h"

enum {
        N_RUNS = 10,
};

static int add_run(Task *task, void *userdata) {
        Reply *reply = userdata;

        reply->learned.n_runs++;
        if (task->memory.known)
                reply->learned.memory_peak_bytes =
                        MAX(reply->learned.memory_peak_bytes, task->memory.peak_bytes);
        for (unsigned i = 0; task->gpu_usage && i < task->needs.n_gpus; i++)
                if (task->gpu_usage[i].known)
                        reply->learned.gpu_peak_bytes =
                                MAX(reply->learned.gpu_peak_bytes, task->gpu_usage[i].peak_bytes);
        (void)task_free(task);
        return 0;
}

void method_learned(Peer *peer, Call *call, bool resumed) {
        Reply reply = { .to = CALL_LEARNED };
        int r;

        r = store_load_runs(peer_daemon(peer)->store, peer->uid,
                            signature_of(call->submit.task, NULL), N_RUNS, add_run, &reply);
        if (r < 0)
                peer_refuse(peer, CALL_LEARNED, ERROR_FAILED,
                            "the daemon cannot read its records: %s", strerror(-r));
        else
                peer_reply(peer, &reply);
}
