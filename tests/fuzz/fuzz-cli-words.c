/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any word in the place of an id, an array, tasks to wait for, a GPU, tokens, a number: it is read, and means the same when it is written again, or it
 * is refused with a sentence.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cli/opt-task.h"
#include "core/gpu-word.h"
#include "core/index-set.h"
#include "core/output.h"
#include "core/ref.h"
#include "util/cleanup.h"

#include "fuzz.h"

static void check_ref(const char *word) {
        char buf[TASK_REF_FORMAT_MAX];
        uint64_t ref, again = 0;
        Error error = { "" };

        if (task_ref_parse(word, &ref, &error) != 0) {
                assert(error.text[0] != '\0');
                return;
        }
        assert(task_ref_parse(task_ref_format(buf, sizeof(buf), ref), &again, NULL) == 0);
        assert(again == ref);
}

static void check_set(const char *word) {
        _cleanup_free_ char *text = NULL, *second = NULL;
        IndexSet set, again;
        Error error = { "" };
        uint64_t n = 0;

        if (index_set_parse(word, TASK_INDEX_MAX, &set, &error) != 0) {
                assert(error.text[0] != '\0');
                return;
        }
        for (size_t i = 0; i < set.n; i++) {
                assert(set.ranges[i].first <= set.ranges[i].last);
                assert(set.ranges[i].last <= TASK_INDEX_MAX);
                assert(i == 0 || set.ranges[i].first > set.ranges[i - 1].last + 1);
                n += (uint64_t)set.ranges[i].last - set.ranges[i].first + 1;
        }
        assert(n > 0 && n == index_set_count(&set));
        text = index_set_format(&set);
        assert(text && index_set_parse(text, TASK_INDEX_MAX, &again, NULL) == 0);
        second = index_set_format(&again);
        assert(second && strcmp(text, second) == 0);
        index_set_done(&set);
        index_set_done(&again);
}

static void check_array(const char *word) {
        TaskArray *array = NULL;
        Error error = { "" };

        if (opt_make_array(word, &array, &error) != 0) {
                assert(error.text[0] != '\0');
                return;
        }
        assert(array->waiting.n > 0 && array->first <= array->last);
        assert(index_set_contains(&array->waiting, array->first));
        assert(index_set_contains(&array->waiting, array->last));
        (void)task_array_free(array);
}

static void check_tokens(const char *word) {
        _cleanup_free_ char *list = NULL, *second = NULL;
        Needs needs = {}, again = {};
        Error error = { "" };

        if (opt_parse_token(NULL, word, &needs, &error) != 0) {
                assert(error.text[0] != '\0');
        } else {
                assert(token_is_name(needs.tokens[0].name));
                assert(needs.tokens[0].n > 0 && needs.tokens[0].n <= TOKEN_NUMBER_MAX);
        }
        needs_done(&needs);

        if (needs_add_tokens(&needs, word) == 0) {
                list = token_format_list(needs.tokens, needs.n_tokens);
                assert(list && needs_add_tokens(&again, list) == 0 && needs_equal(&needs, &again));
                second = token_format_list(again.tokens, again.n_tokens);
                assert(second && strcmp(list, second) == 0);
        }
        needs_done(&needs);
        needs_done(&again);
}

static void check_after(const char *word) {
        static AfterList list;
        Error error = { "" };

        list.n = 0;
        if (opt_add_after(word, true, &list, &error) != 0 ||
            opt_add_after(word, false, &list, &error) != 0) {
                assert(error.text[0] != '\0');
                return;
        }
        assert(list.n > 0 && list.n <= TASK_AFTER_MAX);
        for (unsigned i = 0; i < list.n; i++)
                for (unsigned k = 0; k < i; k++)
                        assert(list.items[i].id != list.items[k].id);
}

static void check_gpu(const char *word) {
        const Opt opt = { .name = "gpu" };
        _cleanup_(needs_done) Needs needs = { 0 };
        Error error = { "" };
        GpuKind kind;

        if (opt_parse_gpu(&opt, word, &needs, &error) != 0) {
                assert(error.text[0] != '\0' && needs.n_gpus == 0);
                return;
        }
        assert(needs.n_gpus == 1);
        assert(memchr(needs.gpus[0].want, 0, sizeof(needs.gpus[0].want)));
        (void)gpu_word_matches(needs.gpus[0].want,
                               &(GpuSample){ .uuid = "GPU-11d2a6c0-0f3e", .index = 3 },
                               GPU_KIND_NVIDIA);
        /* `any` may be said again, and any of a kind; the same GPU not. */
        assert((opt_parse_gpu(&opt, word, &needs, &error) == 0) ==
               gpu_word_is_any(needs.gpus[0].want, GPU_KIND_NVIDIA, &kind));
}

static void check_numbers(const char *word) {
        const Opt opt = { .name = "x" };
        unsigned value = 77;
        int number = 77;
        Error error = { "" };

        if (opt_parse_priority(&opt, word, &value, &error) == 0)
                assert(value <= TASK_PRIORITY_MAX);
        else
                assert(value == 77 && error.text[0] != '\0');
        value = 77;
        if (opt_parse_cpus(&opt, word, &value, &error) != 0)
                assert(value == 77);
        if (opt_parse_signal(&opt, word, &number, &error) == 0)
                assert(number > 0 && number <= 64);
}

static void check_output(const char *word) {
        _cleanup_free_ char *path = output_expand(word, task_ref(12, 3), word);
        Error error = { "" };

        assert(path);
        if (!strchr(word, '{'))
                assert(strcmp(path, word) == 0 && !output_has_place(word));
        if (output_check(word, &error) < 0)
                assert(strchr(word, '{') && error.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_free_ char *word = strndup((const char *)data, n);

        assert(word);
        check_ref(word);
        check_set(word);
        check_array(word);
        check_tokens(word);
        check_after(word);
        check_gpu(word);
        check_numbers(word);
        check_output(word);
        return 0;
}
