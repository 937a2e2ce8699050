/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/people.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "util/cleanup.h"
#include "util/macro.h"

enum {
        FIRST_UID = 1000,
        GROUPS_MAX = 65536, /* as many as the kernel lets one have */
};

static bool names_groups(const UserFactors *factors) {
        for (size_t i = 0; i < factors->n; i++)
                if (factors->of[i].is_group)
                        return true;
        return false;
}

/* Whether it matters who is in which group: to look that up may take long. */
static bool groups_matter(const Settings *settings) {
        const UserFactors *lists[] = {
                &settings->weights,  &settings->max_running,    &settings->max_memory,
                &settings->max_gpus, &settings->max_gpu_memory, &settings->max_time,
        };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                if (names_groups(lists[i]))
                        return true;
        return settings->admins.n_gids > 0;
}

/* Who is not in the database is in no group. Return: how many, or -ENOMEM. */
static int list_groups(uid_t uid, gid_t **ret) {
        const struct passwd *user = getpwuid(uid);
        int n = GROUPS_MAX;

        *ret = NULL;
        if (!user)
                return 0;
        *ret = calloc(GROUPS_MAX, sizeof(**ret));
        if (!*ret)
                return -ENOMEM;
        return getgrouplist(user->pw_name, user->pw_gid, *ret, &n) < 0 ? GROUPS_MAX : n;
}

static int judge(Person *person, const Settings *settings, bool with_groups) {
        _cleanup_free_ gid_t *gids = NULL;
        int n = with_groups ? list_groups(person->uid, &gids) : 0;

        if (n < 0)
                return n;
        person->is_admin = settings_is_admin(settings, person->uid, gids, (size_t)n);
        person->rules = settings_rules(settings, person->uid, gids, (size_t)n);
        return 0;
}

int people_make(Person **ret, const Workload *workload, const Settings *settings) {
        bool with_groups = groups_matter(settings);
        Person *people = calloc((size_t)workload->n_users + 1, sizeof(*people));
        int r = people ? 0 : -ENOMEM;

        for (unsigned i = 0; i < workload->n_users && r == 0; i++) {
                people[i].uid = workload->uids ? (uid_t)workload->uids[i] : FIRST_UID + i;
                r = judge(&people[i], settings, with_groups);
        }
        if (r < 0) {
                free(people);
                return r;
        }
        *ret = people;
        return 0;
}
