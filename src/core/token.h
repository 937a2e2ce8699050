#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tokens
 *
 * Things of the whole machine that can only be counted: the seats of a licence, an instrument, a slot for
 * heavy I/O. The settings name them and say how many there are (section [tokens]); a task asks for some by
 * name and has them from its offer to its end. What they stand for nobody here knows: nothing is measured.
 */

#include <stdbool.h>
#include <stddef.h>

#include "util/error.h"

enum {
        TOKEN_NAME_MAX = 32,        /* NUL included */
        TOKEN_NUMBER_MAX = 1000000, /* of one name */
        TOKENS_MAX = 64,            /* names that the settings may have */
        NEEDS_TOKENS_MAX = 16,      /* names that a task may ask for */
};

/* So many of a name: of what there is, of what is asked for, or of what is taken. */
typedef struct Token {
        char name[TOKEN_NAME_MAX];
        unsigned n;
} Token;

/* A letter, behind it letters, digits and any of . _ -; short enough for a Token. */
bool token_is_name(const char *s);

/**
 * token_check_name() - whether there may be tokens of that name
 *
 * Words that mean something else where needs are written, `gpu` or `none`, are not names.
 *
 * Return: 0, or -EINVAL with @error.
 */
int token_check_name(const char *name, Error *error);

/**
 * token_parse() - `matlab`, or `matlab:2`
 * @ret:        unchanged unless 0 is returned
 *
 * Return: 0, or -EINVAL with @error.
 */
int token_parse(const char *word, Token *ret, Error *error);

/* Where the name stands in a list, or -1. */
int token_find(const Token *tokens, unsigned n, const char *name);

/* `ansys:1 matlab:2`, to be freed; NULL when out of memory. */
char *token_format_list(const Token *tokens, unsigned n);
