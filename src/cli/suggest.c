/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The distance is the optimal string alignment one: what a slip of the fingers does to a word is
 * one step. Words are short; longer ones are near to nothing of ours.
 */

#include "cli/suggest.h"

#include <string.h>

#include "util/macro.h"

enum {
        WORD_MAX = 24,
};

static unsigned min3(unsigned a, unsigned b, unsigned c) {
        unsigned least = MIN(a, b);

        return MIN(least, c);
}

static unsigned distance(const char *a, size_t n_a, const char *b, size_t n_b) {
        unsigned d[WORD_MAX + 1][WORD_MAX + 1];

        for (size_t i = 0; i <= n_a; i++)
                d[i][0] = (unsigned)i;
        for (size_t j = 0; j <= n_b; j++)
                d[0][j] = (unsigned)j;

        for (size_t i = 1; i <= n_a; i++)
                for (size_t j = 1; j <= n_b; j++) {
                        unsigned change = a[i - 1] == b[j - 1] ? 0 : 1;

                        d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
                }

        return d[n_a][n_b];
}

void suggestion_consider(Suggestion *suggestion, const char *word, const char *name) {
        size_t n_word = strlen(word);
        size_t n_name = strlen(name);
        unsigned near_enough;
        unsigned d;

        if (n_word < 2 || n_word > WORD_MAX || n_name > WORD_MAX)
                return;

        /* In a word of three letters two wrong ones leave nothing to recognise it by. */
        near_enough = n_word <= 4 ? 1 : 2;
        d = strncmp(name, word, n_word) == 0 ? 1 : distance(word, n_word, name, n_name);
        if (d > near_enough || (suggestion->name && d >= suggestion->distance))
                return;

        suggestion->name = name;
        suggestion->distance = d;
}
