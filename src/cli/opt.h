#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Options
 *
 * A command lists its options once: the table parses the words, prints `--help`, feeds the
 * completions and is held against the manual by a test. Parsing is getopt_long's, with our messages.
 */

#include <stdbool.h>
#include <stddef.h>

#include "util/error.h"

typedef struct Opt Opt;

/**
 * opt_fn - takes an option's word
 * @target:     where the command's values struct has this option (values + opt->offset)
 * @word:       the argument; NULL for an option without one (or without the optional one)
 *
 * Return: 0, or negative errno with @error (the option's name is put in front of it by the parser).
 */
typedef int (*opt_fn)(const Opt *opt, const char *word, void *target, Error *error);

struct Opt {
        char letter;          /* 0: none */
        const char *name;     /* long name */
        const char *argument; /* "SIZE"; NULL: takes none; "[USER]": optional, attached */
        const char *help;     /* a phrase; may be NULL for hidden */
        opt_fn parse;         /* NULL: known, but not available yet: refused by name */
        size_t offset;
        const char *const *words; /* completions for the argument; NULL: none, or ended by NULL */
};

/* Parsers for the usual kinds; each writes to @target only on success. */
int opt_parse_flag(const Opt *opt, const char *word, void *target, Error *error); /* bool */
int opt_parse_string(const Opt *opt,
                     const char *word,
                     void *target,
                     Error *error); /* const char *, borrowed */
int opt_parse_bytes(const Opt *opt, const char *word, void *target, Error *error); /* uint64_t */
int opt_parse_duration(const Opt *opt,
                       const char *word,
                       void *target,
                       Error *error); /* uint64_t, µs */
int opt_parse_signal(const Opt *opt,
                     const char *word,
                     void *target,
                     Error *error); /* int: TERM, SIGTERM, 15 */

typedef struct OptResult {
        bool help; /* --help was there: print it and end with 0 */
        int n_operands;
        char **operands; /* into argv */
} OptResult;

/**
 * opt_parse() - words into values
 * @opts:       ended by an all-zero entry; --help and -h are always known
 * @values:     the command's struct, with its defaults
 * @stop_at_operand:    options end at the first word that is none (`run`)
 *
 * Return: 0, or -EINVAL with @error.
 */
int opt_parse(const Opt *opts,
              int argc,
              char **argv,
              bool stop_at_operand,
              void *values,
              OptResult *ret,
              Error *error);

/* The option of that long name, or NULL. */
const Opt *opt_find(const Opt *opts, const char *name);
