/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any file: it is taken with every value in its bounds, or refused with its line.
 */

#include <assert.h>
#include <string.h>

#include "settings/settings-key.h"
#include "settings/settings.h"

#include "fuzz.h"

/* Bounds once more, by the fields themselves. */
static void check(const Settings *settings) {
        const Policy *policy = &settings->policy;

        assert(policy->ample_factor_permille >= 1000);
        assert(policy->whole_gpu_used_permyriad <= 10000);
        assert(policy->priority_limit <= TASK_PRIORITY_MAX);
        assert(policy->priority_age_us > 0);
        assert(policy->n_gpus <= GPU_MAX);
        assert(policy->gpus_all == (policy->n_gpus == 0));
        assert(settings->sample_interval_us > 0 && settings->sample_interval_us < TASK_TIME_INF);
        assert(settings->idle_exit_us > 0);
        assert(settings->pin_gpus <= PIN_MODE_OFF);
        assert(memchr(settings->nvml_library, 0, sizeof(settings->nvml_library)));
        assert(settings->nvml_library[0] != '\0');
        assert(settings->admins.n_uids + settings->admins.n_gids > 0);
        assert(settings->max_pending_per_user > 0);
        assert(settings->history_us > 0 && settings->history_us < TASK_TIME_INF);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        Settings settings = {};
        Error error = {};
        int r;

        r = settings_parse(&settings, "sample", (const char *)data, n, n % 2, &error);
        assert((r == 0) == (error.text[0] == '\0'));
        if (r < 0) {
                assert(strncmp(error.text, "'sample' line ", 14) == 0);
                return 0;
        }

        check(&settings);
        assert(settings_is_admin(&settings, 0, NULL, 0) ||
               settings.admins.n_uids + settings.admins.n_gids > 0);
        settings_done(&settings);
        return 0;
}
