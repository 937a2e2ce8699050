#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Accounts
 *
 * What each user has of the daemon, by uid, and how much of it there may be. Users are numbers here, and stay numbers: their
 * names are looked up by whoever shows them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uthash.h>

#include "util/macro.h"

enum {
        ACCOUNT_PEERS_MAX = 4096, /* decisions.md 19 */
        ACCOUNT_LINES_MAX = 20,   /* of the log about its refusals, and then one a second */
};

typedef struct Account {
        uid_t uid;
        unsigned n_peers;

        /* lines of the log that it may cause now, and those that it would have since */
        unsigned n_lines;
        uint64_t lines_boot_us;
        uint64_t n_unsaid;
        UT_hash_handle hh;
} Account;

typedef struct Accounts {
        Account *by_uid;
} Accounts;

/* That of a user, made if there is none. NULL: out of memory. */
Account *accounts_get(Accounts *accounts, uid_t uid);
void accounts_done(Accounts *accounts);

/**
 * account_may_log() - whether one more line of the log may be about what this user was refused
 * @ret_unsaid: how many were not written since the last one that was
 */
bool account_may_log(Account *account, uint64_t now_boot_us, uint64_t *ret_unsaid);
