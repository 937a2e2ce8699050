/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A look into NSS may go over the network: each user is looked up once. A list of tasks has few
 * different users, so that a small table that forgets on collision does.
 */

#include "cli/names.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/command.h"
#include "util/macro.h"
#include "util/units.h"

enum {
        N_REMEMBERED = 256,
        NAME_MAX_BYTES = 64,
};

static struct {
        bool known;
        uid_t uid;
        char name[NAME_MAX_BYTES];
} remembered[N_REMEMBERED];

const char *cli_user_name(uid_t uid, char *buf, size_t n, _unused_ void *userdata) {
        typeof(remembered[0]) *slot = &remembered[uid % N_REMEMBERED];

        if (!slot->known || slot->uid != uid) {
                const struct passwd *user = getpwuid(uid);

                if (user)
                        (void)snprintf(slot->name, sizeof(slot->name), "%s", user->pw_name);
                else
                        (void)snprintf(slot->name, sizeof(slot->name), "%u", uid);
                slot->uid = uid;
                slot->known = true;
        }

        (void)snprintf(buf, n, "%s", slot->name);
        return buf;
}

int names_find_user(const char *word, uid_t *ret) {
        const struct passwd *user = getpwnam(word);
        uint64_t number;

        if (user) {
                *ret = user->pw_uid;
                return 0;
        }

        /* The largest uid stands for "none" in the kernel's calls. */
        if (units_parse_uint(word, 0, UINT32_MAX - 1, &number, NULL) < 0)
                return -ENOENT;

        *ret = (uid_t)number;
        return 0;
}
