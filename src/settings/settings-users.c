/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "settings/settings-users.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/macro.h"
#include "util/units.h"

enum {
        /* A group with very many members needs more at a time; NSS asks by ERANGE. */
        NSS_BYTES_MIN = 1024,
        NSS_BYTES_MAX = 16 * 1024 * 1024,
};

/* The one word that lets in, or keeps out, everybody. */
static const char word_all[] = "all";

void settings_users_done(UserList *list) {
        free(list->uids);
        free(list->gids);
        *list = (UserList){};
}

/* uid_t and gid_t are the same type. */
static int add_id(unsigned **ids, size_t *n, unsigned id) {
        unsigned *grown = reallocarray(*ids, *n + 1, sizeof(**ids));

        if (!grown)
                return -ENOMEM;
        grown[(*n)++] = id;
        *ids = grown;
        return 0;
}

int settings_users_add_uid(UserList *list, uid_t uid) {
        return add_id(&list->uids, &list->n_uids, uid);
}

/* Return: 0, ERANGE if @n bytes are too few, ENOENT, or what NSS says; as positive errno. */
static int look_up(const char *name, bool is_group, char *buf, size_t n, unsigned *ret) {
        struct passwd passwd;
        struct passwd *user = NULL;
        struct group entry;
        struct group *group = NULL;
        int e;

        if (is_group)
                e = getgrnam_r(name, &entry, buf, n, &group);
        else
                e = getpwnam_r(name, &passwd, buf, n, &user);

        /* what getpwnam(3) says may stand for "not found" */
        if (e == ENOENT || e == ESRCH || e == EBADF || e == EPERM)
                return ENOENT;
        if (e != 0)
                return e;
        if (!user && !group)
                return ENOENT;
        *ret = group ? group->gr_gid : user->pw_uid;
        return 0;
}

static int find_id(const char *name, bool is_group, unsigned *ret) {
        for (size_t n = NSS_BYTES_MIN; n <= NSS_BYTES_MAX; n *= 4) {
                _cleanup_free_ char *buf = malloc(n);
                int e;

                if (!buf)
                        return -ENOMEM;
                e = look_up(name, is_group, buf, n, ret);
                if (e != ERANGE)
                        return -e;
        }
        return -ERANGE;
}

int settings_users_resolve(const char *name, bool is_group, unsigned *ret, Error *error) {
        const char *what = is_group ? "group" : "user";
        uint64_t number = 0;
        int r;

        if (name[0] == '\0')
                return error_set(error, -EINVAL,
                                 "a name is missing; users and @groups, with commas between");
        if (strspn(name, "0123456789") == strlen(name)) {
                r = units_parse_uint(name, 0, UINT32_MAX - 1, &number, error);
                *ret = (unsigned)number;
                return r;
        }
        /* where it is the default it must not fail for lack of a user database */
        if (strcmp(name, "root") == 0) {
                *ret = 0;
                return 0;
        }

        r = find_id(name, is_group, ret);
        if (r == -ENOENT)
                return error_set(error, -EINVAL, "there is no %s '%s'", what, name);
        if (r < 0)
                return error_set(error, r, "cannot look up %s '%s': %s", what, name, strerror(-r));
        return 0;
}

static int add_name(UserList *list, const char *word, Error *error) {
        bool is_group = word[0] == '@';
        unsigned id = 0;
        int r;

        r = settings_users_resolve(is_group ? word + 1 : word, is_group, &id, error);
        if (r < 0)
                return r;

        r = is_group ? add_id(&list->gids, &list->n_gids, id) :
                       add_id(&list->uids, &list->n_uids, id);
        return r < 0 ? error_set(error, r, "out of memory") : 0;
}

char *settings_next_word(char **list) {
        char *word = *list;
        char *end = strchr(word, ',');

        *list = end ? end + 1 : NULL;
        if (!end)
                end = word + strlen(word);
        while (end > word && strchr(" \t", end[-1]))
                end--;
        *end = '\0';
        return word + strspn(word, " \t");
}

/* The names of a list, each looked up. */
static int add_names(UserList *list, const char *value, Error *error) {
        _cleanup_free_ char *copy = strdup(value);
        char *rest = copy;
        int r;

        if (!copy)
                return error_set(error, -ENOMEM, "out of memory");
        while (rest) {
                r = add_name(list, settings_next_word(&rest), error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int settings_users_set(UserList *list, const char *word, const char *value, Error *error) {
        _cleanup_(settings_users_done) UserList users = {};
        int r = 0;

        if (word && strcmp(value, word) == 0)
                users.everybody = strcmp(word, word_all) == 0;
        else
                r = add_names(&users, value, error);
        if (r < 0)
                return r;

        settings_users_done(list);
        *list = users;
        users = (UserList){};
        return 0;
}

bool settings_users_contain(const UserList *list, uid_t uid, const gid_t *gids, size_t n_gids) {
        if (list->everybody)
                return true;

        for (size_t i = 0; i < list->n_uids; i++)
                if (list->uids[i] == uid)
                        return true;

        for (size_t i = 0; i < list->n_gids; i++)
                for (size_t k = 0; k < n_gids; k++)
                        if (list->gids[i] == gids[k])
                                return true;
        return false;
}
