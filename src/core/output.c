/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/output.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/task.h"
#include "util/macro.h"

enum {
        NUMBER_MAX = 24,
        WORD_SHOWN_MAX = 60,
};

typedef enum Place {
        PLACE_ID,
        PLACE_INDEX,
        PLACE_NAME,
        N_PLACES,
} Place;

static const char *const place_words[N_PLACES] = {
        [PLACE_ID] = "{id}",
        [PLACE_INDEX] = "{index}",
        [PLACE_NAME] = "{name}",
};

/* Which place begins at @s; N_PLACES: none. */
static Place place_at(const char *s) {
        for (Place place = 0; place < N_PLACES; place++)
                if (strncmp(s, place_words[place], strlen(place_words[place])) == 0)
                        return place;

        return N_PLACES;
}

/* A name as one part of a path: it leads into no other folder. NULL when out of memory. */
static char *tame_name(const char *name) {
        char *tame = strdup(name ? name : "");
        bool only_dots;

        if (!tame)
                return NULL;

        only_dots = tame[strspn(tame, ".")] == '\0';
        for (char *c = tame; *c != '\0'; c++)
                if (*c == '/' || only_dots)
                        *c = '_';

        return tame;
}

/* The pattern with its places filled; to nowhere if @out is NULL. Returns how long it is. */
static size_t fill(const char *pattern, const char *const values[static N_PLACES], char *out) {
        size_t n = 0;

        while (*pattern != '\0') {
                Place place = place_at(pattern);
                const char *piece = place < N_PLACES ? values[place] : pattern;
                size_t n_piece = place < N_PLACES ? strlen(piece) : 1;

                if (out)
                        memcpy(out + n, piece, n_piece);
                n += n_piece;
                pattern += place < N_PLACES ? strlen(place_words[place]) : 1;
        }
        if (out)
                out[n] = '\0';

        return n;
}

char *output_expand(const char *pattern, uint64_t ref, const char *name) {
        char id[NUMBER_MAX], index[NUMBER_MAX] = "";
        char *tame = tame_name(name);
        const char *values[N_PLACES] = { id, index, tame };
        char *path;

        if (!tame)
                return NULL;

        (void)snprintf(id, sizeof(id), "%" PRIu64, task_ref_id(ref));
        if (task_ref_index(ref) >= 0)
                (void)snprintf(index, sizeof(index), "%" PRId64, task_ref_index(ref));

        path = malloc(fill(pattern, values, NULL) + 1);
        if (path)
                (void)fill(pattern, values, path);
        free(tame);
        return path;
}

bool output_has_place(const char *pattern) {
        for (; *pattern != '\0'; pattern++)
                if (place_at(pattern) < N_PLACES)
                        return true;

        return false;
}

/* How long the word in braces is that begins at @s, with them; 0: there is none. */
static size_t length_of_word(const char *s) {
        static const char letters[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-0123456789";
        size_t n;

        if (s[0] != '{')
                return 0;
        n = strspn(s + 1, letters);
        return n > 0 && s[n + 1] == '}' ? n + 2 : 0;
}

int output_check(const char *pattern, Error *error) {
        for (const char *s = pattern; *s != '\0'; s++) {
                size_t n = length_of_word(s);

                if (n > 0 && place_at(s) == N_PLACES)
                        return error_set(error, -EINVAL,
                                         "'%.*s' is not known; use %s, %s or %s, or no braces",
                                         (int)MIN(n, (size_t)WORD_SHOWN_MAX), s,
                                         place_words[PLACE_ID], place_words[PLACE_INDEX],
                                         place_words[PLACE_NAME]);
        }

        return 0;
}
