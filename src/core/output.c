/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/output.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/task.h"

enum {
        NUMBER_MAX = 24,
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
