/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/gpu-word.h"

#include <stdio.h>
#include <string.h>

enum {
        INDEX_DIGITS_MAX = 9, /* any number of as many digits fits an unsigned */
        PART_MAX = 9999,
};

_Static_assert((int)GPU_UUID_MAX == (int)GPU_NAME_MAX && (int)GPU_UUID_MAX == (int)GPU_WANT_MAX,
               "gpu_text_copy() is for all three");

size_t gpu_word_kind_length(const char *word) {
        for (unsigned kind = 0; kind < GPU_KIND_OTHER; kind++) {
                const char *name = gpu_kind_to_string((GpuKind)kind);
                size_t n = strlen(name);

                if (strncmp(word, name, n) == 0 && word[n] == ':')
                        return n + 1;
        }
        return 0;
}

size_t gpu_word_length(const char *word) {
        size_t n_kind = gpu_word_kind_length(word);

        return n_kind + strcspn(word + n_kind, ":");
}

static const char *get_digits(const char *word, unsigned *ret) {
        size_t n = strspn(word, "0123456789");

        if (n == 0 || n > INDEX_DIGITS_MAX)
                return NULL;

        *ret = 0;
        for (size_t i = 0; i < n; i++)
                *ret = *ret * 10 + (unsigned)(word[i] - '0');
        return word + n;
}

/* The kind that a word begins with, or @first_kind. */
static GpuKind get_kind(const char *word, GpuKind first_kind) {
        if (gpu_word_kind_length(word) == 0)
                return first_kind;
        for (unsigned kind = 0; kind < GPU_KIND_OTHER; kind++)
                if (gpu_kind_to_string((GpuKind)kind)[0] == word[0]) /* those letters differ */
                        return (GpuKind)kind;
        return first_kind;
}

bool gpu_word_is_any(const char *word, GpuKind first_kind, GpuKind *ret) {
        if (strcmp(word + gpu_word_kind_length(word), GPU_WORD_ANY) != 0)
                return false;
        *ret = get_kind(word, first_kind);
        return true;
}

bool gpu_word_number(const char *word, GpuNumber *ret) {
        size_t n_kind = gpu_word_kind_length(word);
        GpuNumber number = { .has_kind = n_kind > 0, .kind = get_kind(word, GPU_KIND_NVIDIA) };
        const char *rest;

        rest = get_digits(word + n_kind, &number.index);
        if (rest && *rest == '.') {
                rest = get_digits(rest + 1, &number.part);
                if (number.part++ > PART_MAX)
                        return false;
        }
        if (!rest || *rest != '\0')
                return false;

        *ret = number;
        return true;
}

bool gpu_number_matches(const GpuNumber *number, const GpuSample *gpu, GpuKind first_kind) {
        return gpu->kind == (number->has_kind ? number->kind : first_kind) &&
               gpu->index == number->index && gpu->part == number->part;
}

bool gpu_word_matches(const char *word, const GpuSample *gpu, GpuKind first_kind) {
        GpuNumber number;

        if (gpu_word_number(word, &number)) {
                if (number.part == 0)
                        number.part = gpu->part;
                return gpu_number_matches(&number, gpu, first_kind);
        }

        return word[0] != '\0' && strncmp(word, gpu->uuid, strlen(word)) == 0;
}

const char *gpu_id_format(char buf[static GPU_ID_MAX], const GpuSample *gpu, bool with_kind) {
        int n = 0;

        if (with_kind)
                n = snprintf(buf, GPU_ID_MAX, "%s:", gpu_kind_to_string(gpu->kind));
        n += snprintf(buf + n, GPU_ID_MAX - (size_t)n, "%u", gpu->index);
        if (gpu->part > 0)
                (void)snprintf(buf + n, GPU_ID_MAX - (size_t)n, ".%u", gpu->part - 1);
        return buf;
}
_Static_assert(sizeof("nvidia:4294967295.4294967295") <= GPU_ID_MAX, "an id is never cut");

const char *gpu_id_or_index(const char *id, unsigned index, char buf[static GPU_ID_MAX]) {
        if (id[0] != '\0')
                return id;
        (void)snprintf(buf, GPU_ID_MAX, "%u", index);
        return buf;
}

void gpu_text_copy(char dst[static GPU_UUID_MAX], const char *src) {
        size_t n = strnlen(src, GPU_UUID_MAX - 1);

        memcpy(dst, src, n);
        memset(dst + n, 0, GPU_UUID_MAX - n);
}
