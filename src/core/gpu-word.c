/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/gpu-word.h"

#include <string.h>

enum {
        INDEX_DIGITS_MAX = 9, /* any number of as many digits fits an unsigned */
};

_Static_assert((int)GPU_UUID_MAX == (int)GPU_NAME_MAX && (int)GPU_UUID_MAX == (int)GPU_WANT_MAX,
               "gpu_text_copy() is for all three");

bool gpu_word_index(const char *word, unsigned *ret) {
        size_t n = strspn(word, "0123456789");
        unsigned index = 0;

        if (n == 0 || n > INDEX_DIGITS_MAX || word[n] != '\0')
                return false;

        for (size_t i = 0; i < n; i++)
                index = index * 10 + (unsigned)(word[i] - '0');

        *ret = index;
        return true;
}

bool gpu_word_matches(const char *word, const char *uuid, unsigned index) {
        unsigned wanted;

        if (gpu_word_index(word, &wanted))
                return wanted == index;

        return word[0] != '\0' && strncmp(word, uuid, strlen(word)) == 0;
}

void gpu_text_copy(char dst[static GPU_UUID_MAX], const char *src) {
        size_t n = strnlen(src, GPU_UUID_MAX - 1);

        memcpy(dst, src, n);
        memset(dst + n, 0, GPU_UUID_MAX - n);
}
