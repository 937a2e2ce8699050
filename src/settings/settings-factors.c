/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "settings/settings-factors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "settings/settings-users.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum {
        FACTORS_MAX = 4096, /* more than a file has lines */
        FACTOR_ONE = 1000,
        N_PLACES = 3,
};

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

static int parse_one(char *word, uint64_t min, uint64_t max, UserFactor *ret, Error *error) {
        bool is_group = word[0] == '@';
        char *colon = strrchr(word, ':');
        uint64_t permille = 0;
        int r;

        if (!colon ||
            settings_parse_decimal(colon + 1, strlen(colon + 1), N_PLACES, &permille) < 0 ||
            permille < min || permille > max)
                return error_set(
                        error, -EINVAL,
                        "'%s' is none of these: a user or @group, a colon, and a number from "
                        "0.001 to 1000, such as 'alice:1.5'",
                        word);
        *colon = '\0';
        r = settings_users_resolve(is_group ? word + 1 : word, is_group, &ret->id, error);
        if (r < 0)
                return r;

        ret->is_group = is_group;
        ret->permille = (unsigned)permille;
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

static int add_all(UserFactors *list, char *rest, uint64_t min, uint64_t max, Error *error) {
        while (rest) {
                char *word = settings_next_word(&rest);
                UserFactor one = {};
                int r;

                r = parse_one(word, min, max, &one, error);
                if (r == 0)
                        r = add_one(list, &one, word, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int settings_factors_set(UserFactors *list,
                         const char *value,
                         uint64_t min,
                         uint64_t max,
                         Error *error) {
        _cleanup_free_ char *copy = strdup(value);
        UserFactors factors = {};
        int r = 0;

        if (!copy)
                return error_set(error, -ENOMEM, "out of memory");
        if (strcmp(value, "none") != 0)
                r = add_all(&factors, copy, min, max, error);
        if (r < 0) {
                settings_factors_done(&factors);
                return r;
        }

        settings_factors_done(list);
        *list = factors;
        return 0;
}

unsigned settings_factors_get(const UserFactors *list,
                              uid_t uid,
                              const gid_t *gids,
                              size_t n_gids) {
        unsigned largest = 0;

        for (size_t i = 0; i < list->n; i++) {
                const UserFactor *one = &list->of[i];

                if (!one->is_group && one->id == uid)
                        return one->permille;
                for (size_t k = 0; one->is_group && k < n_gids; k++)
                        if (gids[k] == one->id)
                                largest = MAX(largest, one->permille);
        }
        return largest > 0 ? largest : FACTOR_ONE;
}
