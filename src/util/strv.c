/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Vectors of strings, ended by NULL, like argv
 */

#include "util/strv.h"

#include <stdlib.h>
#include <string.h>

size_t strv_n(char *const *v) {
        size_t n = 0;

        while (v && v[n])
                n++;
        return n;
}

char **strv_dup(char *const *v) {
        _cleanup_(strv_freep) char **copy = NULL;
        size_t n = strv_n(v);

        copy = calloc(n + 1, sizeof(*copy));
        if (!copy)
                return NULL;

        for (size_t i = 0; i < n; i++) {
                copy[i] = strdup(v[i]);
                if (!copy[i])
                        return NULL;
        }
        return TAKE_PTR(copy);
}

char **strv_free(char **v) {
        for (size_t i = 0; v && v[i]; i++)
                free(v[i]);
        free(v);
        return NULL;
}

char *strv_join(char *const *v, const char *sep) {
        size_t n = strv_n(v);
        size_t size = 1;
        char *joined;
        char *p;

        for (size_t i = 0; i < n; i++)
                size += strlen(v[i]) + (i > 0 ? strlen(sep) : 0);

        joined = malloc(size);
        if (!joined)
                return NULL;

        p = joined;
        *p = '\0';
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        p = stpcpy(p, sep);
                p = stpcpy(p, v[i]);
        }
        return joined;
}
