#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * People: what the settings say of the users of a workload
 *
 * Their groups are those that this machine's user database has them in: that of the machine whose history is tried.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "core/policy.h"
#include "settings/settings.h"
#include "sim/workload.h"

typedef struct Person {
        uid_t uid;
        bool is_admin;
        UserRules rules;
} Person;

/**
 * people_make() - by the number of the user in the workload
 * @ret:        overwritten on success; to be freed
 *
 * Users that the trace does not tell have the numbers from 1000 on. Looks up groups (NSS), if the settings name any.
 *
 * Return: 0 or -ENOMEM.
 */
int people_make(Person **ret, const Workload *workload, const Settings *settings);
