/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * getopt_long() splits the words, this file makes its two tables from ours and turns its return
 * values into sentences. Long options come back as FIRST_LONG and their index, so that a message
 * can name the option in the form in which it was typed.
 */

#include "cli/opt.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/suggest.h"
#include "util/macro.h"
#include "util/units.h"

enum {
        OPTS_MAX = 48,     /* of one command */
        FIRST_LONG = 1000, /* above any letter */
        LABEL_MAX = 64,
};

static const Opt help_opt = { 'h', "help", NULL, "show this help", NULL, 0, NULL };

int opt_parse_flag(_unused_ const Opt *opt,
                   _unused_ const char *word,
                   void *target,
                   _unused_ Error *error) {
        *(bool *)target = true;
        return 0;
}

int opt_parse_string(_unused_ const Opt *opt,
                     const char *word,
                     void *target,
                     _unused_ Error *error) {
        *(const char **)target = word;
        return 0;
}

int opt_parse_bytes(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        return units_parse_bytes(word, target, error);
}

int opt_parse_duration(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        return units_parse_duration_us(word, target, error);
}

int opt_parse_signal(_unused_ const Opt *opt, const char *word, void *target, Error *error) {
        const char *name = strncasecmp(word, "SIG", 3) == 0 ? word + 3 : word;
        uint64_t number;

        if (isdigit((unsigned char)word[0])) {
                int r = units_parse_uint(word, 1, (uint64_t)SIGRTMAX, &number, error);
                if (r < 0)
                        return r;

                *(int *)target = (int)number;
                return 0;
        }

        for (int i = 1; i < NSIG; i++) {
                const char *known = sigabbrev_np(i);

                if (!known || strcasecmp(known, name) != 0)
                        continue;
                *(int *)target = i;
                return 0;
        }

        return error_set(error, -EINVAL, "'%s' is no signal; try TERM, INT, KILL or a number",
                         word);
}

static int has_argument(const Opt *opt) {
        if (!opt->argument)
                return no_argument;
        return opt->argument[0] == '[' ? optional_argument : required_argument;
}

/* What getopt_long() wants. ':' in @letters: tell a missing argument from an unknown option. */
typedef struct GetoptTables {
        char letters[2 + OPTS_MAX * 3 + 2];
        struct option longs[OPTS_MAX + 2];
        const Opt *by_index[OPTS_MAX + 1];
} GetoptTables;

static void add_opt(GetoptTables *tables, size_t i, const Opt *opt) {
        char *letter = tables->letters + strlen(tables->letters);
        int argument = has_argument(opt);

        tables->by_index[i] = opt;
        tables->longs[i] = (struct option){ opt->name, argument, NULL, FIRST_LONG + (int)i };
        if (!opt->letter)
                return;

        *letter++ = opt->letter;
        for (int n = 0; n < argument; n++) /* required_argument is 1, optional_argument 2 */
                *letter++ = ':';
        *letter = '\0';
}

static size_t make_tables(const Opt *opts, bool stop_at_operand, GetoptTables *ret) {
        size_t n = 0;

        (void)snprintf(ret->letters, sizeof(ret->letters), "%s", stop_at_operand ? "+:" : ":");
        for (const Opt *opt = opts; opt && opt->name; opt++) {
                if (n == OPTS_MAX)
                        abort(); /* a table of ours has outgrown OPTS_MAX */
                add_opt(ret, n++, opt);
        }
        add_opt(ret, n++, &help_opt);
        ret->longs[n] = (struct option){ 0 };
        return n;
}

static const Opt *find_letter(const GetoptTables *tables, size_t n_opts, int letter) {
        for (size_t i = 0; i < n_opts; i++)
                if (tables->by_index[i]->letter == letter)
                        return tables->by_index[i];
        return NULL;
}

static const Opt *find_value(const GetoptTables *tables, size_t n_opts, int value) {
        return value >= FIRST_LONG ? tables->by_index[value - FIRST_LONG] :
                                     find_letter(tables, n_opts, value);
}

/* "--memory" or "-m", as it was typed. */
static const char *label(const Opt *opt, int value, char buf[static LABEL_MAX]) {
        if (value >= FIRST_LONG)
                (void)snprintf(buf, LABEL_MAX, "--%s", opt->name);
        else
                (void)snprintf(buf, LABEL_MAX, "-%c", opt->letter);
        return buf;
}

static int refuse_unknown_long(const GetoptTables *tables,
                               size_t n_opts,
                               const char *word,
                               Error *error) {
        const char *name = word + 2;
        int n_name = (int)strcspn(name, "=");
        char typed[LABEL_MAX];
        char all[256] = "";
        Suggestion suggestion = { 0 };
        unsigned n_begin = 0;

        (void)snprintf(typed, sizeof(typed), "%.*s", n_name, name);
        for (size_t i = 0; i < n_opts; i++) {
                const char *other = tables->by_index[i]->name;
                size_t n_all = strlen(all);

                suggestion_consider(&suggestion, typed, other);
                if (strncmp(other, name, (size_t)n_name) != 0)
                        continue;
                (void)snprintf(all + n_all, sizeof(all) - n_all, "%s--%s", n_begin++ ? ", " : "",
                               other);
        }

        if (n_begin > 1)
                return error_set(error, -EINVAL, "option '--%s' may be any of %s", typed, all);
        if (suggestion.name)
                return error_set(error, -EINVAL, "unknown option '--%s'; did you mean '--%s'?",
                                 typed, suggestion.name);
        return error_set(error, -EINVAL, "unknown option '--%s'", typed);
}

/* What getopt_long() answered with '?' or ':'. */
static int refuse(const GetoptTables *tables,
                  size_t n_opts,
                  int answer,
                  const char *word,
                  Error *error) {
        const Opt *opt = optopt ? find_value(tables, n_opts, optopt) : NULL;
        char buf[LABEL_MAX];

        if (!opt && optopt)
                return error_set(error, -EINVAL, "unknown option '-%c'", optopt);
        if (!opt)
                return refuse_unknown_long(tables, n_opts, word, error);
        if (!opt->parse && opt != &help_opt)
                return error_set(error, -EINVAL, "%s is not available yet",
                                 label(opt, optopt, buf));
        if (answer == ':')
                return error_set(error, -EINVAL, "%s needs a %s", label(opt, optopt, buf),
                                 opt->argument);
        return error_set(error, -EINVAL, "%s takes no argument", label(opt, optopt, buf));
}

/* NOLINTNEXTLINE(readability-function-size): what it takes and what it gives are seven things */
int opt_parse(const Opt *opts,
              int argc,
              char **argv,
              bool stop_at_operand,
              void *values,
              OptResult *ret,
              Error *error) {
        GetoptTables tables = { 0 };
        OptResult result = { 0 };
        char buf[LABEL_MAX];
        size_t n_opts;
        int value;

        n_opts = make_tables(opts, stop_at_operand, &tables);
        optind = 0; /* 0, not 1: glibc then forgets what it knew of another argv */
        opterr = 0;
        while ((value = getopt_long(argc, argv, tables.letters, tables.longs, NULL)) != -1) {
                const Opt *opt;
                int r;

                if (value == '?' || value == ':')
                        return refuse(&tables, n_opts, value, argv[optind - 1], error);

                opt = find_value(&tables, n_opts, value);
                assert(opt); /* getopt_long() gives back what it was given */
                if (opt == &help_opt) {
                        result.help = true;
                        continue;
                }
                if (!opt->parse)
                        return error_set(error, -EINVAL, "%s is not available yet",
                                         label(opt, value, buf));

                r = opt->parse(opt, optarg, (char *)values + opt->offset, error);
                if (r < 0) {
                        error_prefix(error, "%s: ", label(opt, value, buf));
                        return -EINVAL;
                }
        }

        result.n_operands = argc - optind;
        result.operands = argv + optind;
        *ret = result;
        return 0;
}

const Opt *opt_find(const Opt *opts, const char *name) {
        for (const Opt *opt = opts; opt && opt->name; opt++)
                if (strcmp(opt->name, name) == 0)
                        return opt;
        return NULL;
}
