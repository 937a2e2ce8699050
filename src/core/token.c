/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/macro.h"
#include "util/units.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* What needs are written with, and what people write for "no" and "every". */
static const char *const words[] = {
        "all",  "any",    "auto", "core", "cores", "cpu",  "cpus",  "gpu",
        "gpus", "memory", "none", "ram",  "swap",  "time", "token", "tokens",
};

bool token_is_name(const char *s) {
        size_t n = strspn(s, LETTERS "0123456789._-");

        return n > 0 && n < TOKEN_NAME_MAX && s[n] == '\0' && strchr(LETTERS, s[0]);
}

int token_check_name(const char *name, Error *error) {
        if (!token_is_name(name))
                return error_set(error, -EINVAL,
                                 "'%.64s' is no name of tokens: a letter, then letters, digits, "
                                 "'.', '_' and '-', at most %d in all",
                                 name, TOKEN_NAME_MAX - 1);
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasecmp(name, words[i]) == 0)
                        return error_set(error, -EINVAL,
                                         "'%s' is no name of tokens: it means something else",
                                         name);
        return 0;
}

int token_parse(const char *word, Token *ret, Error *error) {
        size_t n_name = strcspn(word, ":");
        Token token = { .n = 1 };
        uint64_t n = 0;
        int r;

        (void)snprintf(token.name, sizeof(token.name), "%.*s", (int)MIN(n_name, sizeof(token.name)),
                       word);
        if (n_name >= TOKEN_NAME_MAX || !token_is_name(token.name))
                return error_set(error, -EINVAL,
                                 "'%.64s' names no token; use a name of the settings, then ':N'",
                                 word);
        if (word[n_name] == ':') {
                r = units_parse_uint(word + n_name + 1, 1, TOKEN_NUMBER_MAX, &n, error);
                if (r < 0)
                        return r;
                token.n = (unsigned)n;
        }

        *ret = token;
        return 0;
}

int token_find(const Token *tokens, unsigned n, const char *name) {
        for (unsigned i = 0; i < n; i++)
                if (strncmp(tokens[i].name, name, TOKEN_NAME_MAX) == 0)
                        return (int)i;

        return -1;
}

char *token_format_list(const Token *tokens, unsigned n) {
        size_t n_text = 1 + n * (TOKEN_NAME_MAX + sizeof(" :4294967295")), at = 0;
        char *text = malloc(n_text);

        if (!text)
                return NULL;

        text[0] = '\0';
        for (unsigned i = 0; i < n; i++)
                at += (size_t)snprintf(text + at, n_text - at, "%s%s:%u", i > 0 ? " " : "",
                                       tokens[i].name, tokens[i].n);
        return text;
}
