/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/opt-task.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/needs.h"
#include "core/task.h"
#include "util/macro.h"
#include "util/units.h"

enum {
        CPUS_MAX = 65536, /* more than any machine has; what this one has the daemon knows */
};

static const struct {
        const char *word;
        unsigned priority;
} priorities[] = {
        { "low", 0 },
        { "medium", TASK_PRIORITY_DEFAULT },
        { "high", TASK_PRIORITY_MAX },
};

const char *const opt_priority_words[] = { "low", "medium", "high", NULL };
const char *const opt_gpu_words[] = { "any", "any:", NULL };

static bool is_gpu_word(const char *s, size_t n) {
        static const char allowed[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                "./-";

        return n > 0 && n < GPU_WANT_MAX && strspn(s, allowed) >= n;
}

int opt_parse_gpu(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        Needs *needs = target;
        size_t n_want = strcspn(word, ":");
        const char *size = word[n_want] == ':' ? word + n_want + 1 : "all";
        uint64_t bytes = GPU_WHOLE;
        char want[GPU_WANT_MAX];
        int r;

        if (!is_gpu_word(word, n_want))
                return error_set(
                        error, -EINVAL,
                        "'%s' names no GPU; use its number, its UUID or 'any', then ':SIZE'", word);
        (void)snprintf(want, sizeof(want), "%.*s", (int)n_want, word);

        if (strcmp(size, "all") != 0) {
                r = units_parse_bytes(size, &bytes, error);
                if (r < 0)
                        return r;
        }

        for (unsigned i = 0; i < needs->n_gpus; i++)
                if (strcmp(want, "any") != 0 && strcmp(needs->gpus[i].want, want) == 0)
                        return error_set(error, -EINVAL, "GPU '%s' is named twice", want);

        r = needs_add_gpu(needs, want, bytes);
        if (r == -E2BIG)
                return error_set(error, r, "more than %d GPUs", NEEDS_GPUS_MAX);
        if (r < 0)
                return error_set(error, r, "%s", strerror(-r));
        return 0;
}

int opt_parse_cpus(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        uint64_t cpus;
        int r;

        r = units_parse_uint(word, 0, CPUS_MAX, &cpus, error);
        if (r < 0)
                return r;

        *(unsigned *)target = (unsigned)cpus;
        return 0;
}

int opt_parse_priority(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        uint64_t priority;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(priorities); i++)
                if (strcmp(word, priorities[i].word) == 0) {
                        *(unsigned *)target = priorities[i].priority;
                        return 0;
                }

        r = units_parse_uint(word, 0, TASK_PRIORITY_MAX, &priority, NULL);
        if (r < 0)
                return error_set(error, r, "'%s' is no priority; use low, medium, high or 0 to %d",
                                 word, TASK_PRIORITY_MAX);

        *(unsigned *)target = (unsigned)priority;
        return 0;
}
