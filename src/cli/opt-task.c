/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/opt-task.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/gpu-word.h"
#include "core/index-set.h"
#include "core/needs.h"
#include "core/ref.h"
#include "util/cleanup.h"
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

        return n > 0 && strspn(s, allowed) >= n;
}

int opt_parse_gpu(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        Needs *needs = target;
        size_t n_kind = gpu_word_kind_length(word);
        size_t n_want = gpu_word_length(word);
        const char *size = word[n_want] == ':' ? word + n_want + 1 : "all";
        uint64_t bytes = GPU_WHOLE;
        char want[GPU_WANT_MAX];
        GpuKind kind;
        int r;

        if (!is_gpu_word(word + n_kind, n_want - n_kind) || n_want >= GPU_WANT_MAX)
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
                if (!gpu_word_is_any(want, GPU_KIND_NVIDIA, &kind) &&
                    strcmp(needs->gpus[i].want, want) == 0)
                        return error_set(error, -EINVAL, "GPU '%s' is named twice", want);

        r = needs_add_gpu(needs, want, bytes);
        if (r == -E2BIG)
                return error_set(error, r, "more than %d GPUs", NEEDS_GPUS_MAX);
        if (r < 0)
                return error_set(error, r, "%s", strerror(-r));
        return 0;
}

int opt_parse_token(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        Token token = {};
        int r;

        r = token_parse(word, &token, error);
        if (r < 0)
                return r;

        r = needs_add_token(target, &token);
        if (r == -EEXIST)
                return error_set(error, -EINVAL,
                                 "token '%s' is named twice; '%s:N' asks for several", token.name,
                                 token.name);
        if (r == -E2BIG)
                return error_set(error, r, "more than %d names of tokens", NEEDS_TOKENS_MAX);
        return r < 0 ? error_set(error, r, "out of memory") : 0;
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

static int add_one_after(uint64_t id, bool any, AfterList *list, Error *error) {
        for (unsigned i = 0; i < list->n; i++)
                if (list->items[i].id == id) {
                        list->items[i].any = list->items[i].any && any;
                        return 0;
                }

        if (list->n == TASK_AFTER_MAX)
                return error_set(error, -E2BIG, "more than %d tasks", TASK_AFTER_MAX);
        list->items[list->n++] = (TaskAfter){ .id = id, .any = any };
        return 0;
}

static int parse_after_id(const char *s, size_t n, bool any, uint64_t *ret, Error *error) {
        char word[TASK_REF_FORMAT_MAX * 2];
        uint64_t ref;
        int r;

        (void)snprintf(word, sizeof(word), "%.*s", (int)MIN(n, sizeof(word)), s);
        r = task_ref_parse(word, &ref, error);
        if (r < 0)
                return r;
        if (task_ref_index(ref) >= 0)
                return error_set(
                        error, -EINVAL,
                        "'%s' is an element, and an array is waited for as a whole: --%s %llu",
                        word, any ? "after-any" : "after", (unsigned long long)task_ref_id(ref));
        *ret = ref;
        return 0;
}

int opt_add_after(const char *word, bool any, AfterList *list, Error *error) {
        AfterList grown = *list;

        for (;;) {
                size_t n = strcspn(word, ",");
                uint64_t id = 0;
                int r;

                r = parse_after_id(word, n, any, &id, error);
                if (r == 0)
                        r = add_one_after(id, any, &grown, error);
                if (r < 0)
                        return r;
                if (word[n] == '\0')
                        break;
                word += n + 1;
        }

        *list = grown;
        return 0;
}

int opt_make_array(const char *word, TaskArray **ret, Error *error) {
        size_t n = strcspn(word, "%");
        _cleanup_free_ char *set = strndup(word, n);
        uint64_t limit = 0;
        TaskArray *array;
        int r;

        if (!set)
                return error_set(error, -ENOMEM, "out of memory");
        if (word[n] == '%') {
                r = units_parse_uint(word + n + 1, 1, TASK_INDEX_MAX + 1, &limit, error);
                if (r < 0)
                        return r;
        }

        array = calloc(1, sizeof(*array));
        if (!array)
                return error_set(error, -ENOMEM, "out of memory");
        r = index_set_parse(set, TASK_INDEX_MAX, &array->waiting, error);
        if (r < 0) {
                (void)task_array_free(array);
                return r == -ENOMEM ? error_set(error, r, "out of memory") : r;
        }

        array->first = array->waiting.ranges[0].first;
        array->last = array->waiting.ranges[array->waiting.n - 1].last;
        array->limit = (unsigned)limit;
        *ret = array;
        return 0;
}
