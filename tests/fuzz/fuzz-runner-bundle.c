/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any bytes in place of a bundle: whatever is taken can be read again, part by part.
 */

#include <assert.h>
#include <string.h>

#include "runner/bundle.h"
#include "runner/context.h"
#include "util/cleanup.h"

#include "fuzz.h"

static void read_task(BundlePart part) {
        _cleanup_free_ char *again = NULL;
        BundleTask task;
        size_t n;

        assert(bundle_task_parse(&task, part.bytes, part.n) == 0);
        assert(task.argv[0]);
        assert(!task.output || task.output[0] == '/');
        /* A number may be written with zeros in front. */
        assert(bundle_task_compose(&task, &again, &n) == 0);
        assert(n <= part.n);
        bundle_task_done(&task);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_(context_freep) Context *context = NULL;
        _cleanup_(bundle_freep) Bundle *bundle = NULL;
        BundlePart part;

        if (bundle_parse(&bundle, (const char *)data, n) != 0) {
                /* The parts alone, which are rarely reached through a whole one. */
                BundleTask task = { 0 };

                (void)context_parse(&context, (const char *)data, n);
                (void)bundle_task_parse(&task, (const char *)data, n);
                bundle_task_done(&task);
                return 0;
        }
        part = bundle_context(bundle);
        assert(context_parse(&context, part.bytes, part.n) == 0);
        assert(context->cwd[0] == '/' && context->nice >= -20 && context->nice <= 19);
        assert(bundle_n_tasks(bundle) >= 1 && bundle_n_tasks(bundle) <= BUNDLE_TASKS_MAX);
        for (size_t i = 0; i < bundle_n_tasks(bundle); i++)
                read_task(bundle_task(bundle, i));
        return 0;
}
