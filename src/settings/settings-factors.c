/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "settings/settings-factors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "settings/settings-users.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/units.h"

enum {
        FACTORS_MAX = 4096, /* more than a file has lines */
        FACTOR_ONE = 1000,
        N_PLACES = 3,
        WEIGHT_MAX = 1000 * FACTOR_ONE,
        COUNT_MAX = 1000000000,
};

static const char word_none[] = "none";

/* No double: 2.3 has none. */
int settings_parse_decimal(const char *s, size_t n, unsigned n_places, uint64_t *ret) {
        uint64_t value = 0;
        size_t i = 0;
        size_t n_point;

        while (i < n && s[i] >= '0' && s[i] <= '9' && i < 9)
                value = 10 * value + (unsigned)(s[i++] - '0');
        if (i == 0 || (i < n && (s[i] != '.' || i + 1 == n)))
                return -EINVAL;

        n_point = i < n ? i++ : n;
        while (i < n && s[i] >= '0' && s[i] <= '9' && i - n_point <= n_places)
                value = 10 * value + (unsigned)(s[i++] - '0');
        if (i < n)
                return -EINVAL;

        for (size_t places = n_point < n ? n - n_point - 1 : 0; places < n_places; places++)
                value *= 10;
        *ret = value;
        return 0;
}

void settings_factors_done(UserFactors *list) {
        free(list->of);
        *list = (UserFactors){};
}

static int refuse_word(FactorKind kind, const char *word, Error *error) {
        static const char *const examples[] = {
                [FACTOR_KIND_COUNT] = "a number, such as '4'",
                [FACTOR_KIND_SIZE] = "a size, such as '64G'",
                [FACTOR_KIND_TIME] = "a time, such as '2d'",
        };

        if (kind == FACTOR_KIND_WEIGHT)
                return error_set(
                        error, -EINVAL,
                        "'%s' is none of these: a user or @group, a colon, and a number from "
                        "0.001 to 1000, such as 'alice:1.5'",
                        word);
        return error_set(error, -EINVAL,
                         "'%s' is no limit: %s, or 'none', in front of it a user or @group and a "
                         "colon if it is for them alone",
                         word, examples[kind]);
}

static int parse_value(FactorKind kind, const char *word, uint64_t *ret) {
        int r = -EINVAL;

        switch (kind) {
        case FACTOR_KIND_WEIGHT:
                r = settings_parse_decimal(word, strlen(word), N_PLACES, ret);
                return r == 0 && (*ret < 1 || *ret > WEIGHT_MAX) ? -EINVAL : r;
        case FACTOR_KIND_COUNT:
                r = units_parse_uint(word, 0, COUNT_MAX, ret, NULL);
                break;
        case FACTOR_KIND_SIZE:
                r = units_parse_bytes(word, ret, NULL);
                break;
        case FACTOR_KIND_TIME:
                r = units_parse_duration_us(word, ret, NULL);
                break;
        }
        if (strcmp(word, word_none) != 0)
                return r;
        *ret = LIMIT_NONE;
        return 0;
}

static int parse_one(FactorKind kind, char *word, UserFactor *ret, Error *error) {
        bool is_group = word[0] == '@';
        char *colon = strrchr(word, ':');

        if (!colon || parse_value(kind, colon + 1, &ret->value) < 0)
                return refuse_word(kind, word, error);
        *colon = '\0';
        ret->is_group = is_group;
        return settings_users_resolve(is_group ? word + 1 : word, is_group, &ret->id, error);
}

/* One that is for everybody else. */
static int set_others(UserFactors *list,
                      FactorKind kind,
                      const char *word,
                      bool *seen,
                      Error *error) {
        if (*seen)
                return error_set(error, -EINVAL, "'%s' is the second one for everybody", word);
        if (parse_value(kind, word, &list->others) < 0)
                return refuse_word(kind, word, error);
        *seen = true;
        return 0;
}

static int add_one(UserFactors *list, const UserFactor *one, const char *word, Error *error) {
        UserFactor *grown;

        for (size_t i = 0; i < list->n; i++)
                if (list->of[i].id == one->id && list->of[i].is_group == one->is_group)
                        return error_set(error, -EINVAL, "'%s' is there twice", word);
        if (list->n == FACTORS_MAX)
                return error_set(error, -EINVAL, "there are more than %d", FACTORS_MAX);

        grown = reallocarray(list->of, list->n + 1, sizeof(*grown));
        if (!grown)
                return error_set(error, -ENOMEM, "out of memory");
        grown[list->n++] = *one;
        list->of = grown;
        return 0;
}

static int add_all(UserFactors *list, FactorKind kind, char *rest, Error *error) {
        bool seen_others = false;

        while (rest) {
                char *word = settings_next_word(&rest);
                UserFactor one = {};
                int r;

                if (kind != FACTOR_KIND_WEIGHT && !strchr(word, ':')) {
                        r = set_others(list, kind, word, &seen_others, error);
                } else {
                        r = parse_one(kind, word, &one, error);
                        if (r == 0)
                                r = add_one(list, &one, word, error);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

int settings_factors_set(UserFactors *list, FactorKind kind, const char *value, Error *error) {
        _cleanup_free_ char *copy = strdup(value);
        UserFactors factors = { .others = kind == FACTOR_KIND_WEIGHT ? FACTOR_ONE : LIMIT_NONE };
        int r = 0;

        if (!copy)
                return error_set(error, -ENOMEM, "out of memory");
        if (strcmp(value, word_none) != 0)
                r = add_all(&factors, kind, copy, error);
        if (r < 0) {
                settings_factors_done(&factors);
                return r;
        }

        settings_factors_done(list);
        *list = factors;
        return 0;
}

uint64_t settings_factors_get(const UserFactors *list,
                              uid_t uid,
                              const gid_t *gids,
                              size_t n_gids) {
        uint64_t largest = 0;
        bool found = false;

        for (size_t i = 0; i < list->n; i++) {
                const UserFactor *one = &list->of[i];

                if (!one->is_group && one->id == uid)
                        return one->value;
                for (size_t k = 0; one->is_group && k < n_gids; k++)
                        if (gids[k] == one->id) {
                                largest = MAX(largest, one->value);
                                found = true;
                        }
        }
        return found ? largest : list->others;
}
