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
#include <sys/queue.h>
#include <sys/types.h>
#include <uthash.h>

#include "core/policy.h"
#include "core/task.h"
#include "util/macro.h"

enum {
        ACCOUNT_PEERS_MAX = 4096, /* decisions.md 19 */
        ACCOUNT_IN_BYTES_MAX = 16 * 1024 * 1024,
        ACCOUNT_OUT_BYTES_MAX = 64 * 1024 * 1024,
        ACCOUNT_TASK_BYTES_MAX = 256 * 1024 * 1024,
        ACCOUNT_TASK_BYTES_EACH =
                1200, /* what a task takes beside its words: measured 1,180 with 60 bytes of them */
        ACCOUNTS_IN_BYTES_MAX = 8 * ACCOUNT_IN_BYTES_MAX, /* of all users together */
        ACCOUNTS_OUT_BYTES_MAX = 4 * ACCOUNT_OUT_BYTES_MAX,
        ACCOUNT_LINES_MAX = 20, /* of the log about its refusals, and then one a second */
};

struct Peer;
typedef TAILQ_HEAD(PeerQueue, Peer) PeerQueue;

typedef struct Account {
        uid_t uid;
        unsigned n_peers;
        size_t n_in_bytes; /* of memory, for messages that are not whole yet, or not yet served */
        size_t n_out_bytes; /* for what waits to be sent, and for what the answer to a call is made of */
        size_t n_task_bytes; /* for its tasks that are not over */
        UserRules rules;     /* what the settings say of it, by the groups of its last connection */

        /* service.c */
        int64_t credit_us; /* of the daemon's time; below 0: a debt */
        uint64_t credit_boot_us;
        int64_t turn_us; /* left of its turns; below 0: taken too much */
        PeerQueue waiting;
        TAILQ_ENTRY(Account) ring_link; /* while there are any */

        /* lines of the log that it may cause now, and those that it would have since */
        unsigned n_lines;
        uint64_t lines_boot_us;
        uint64_t n_unsaid;
        UT_hash_handle hh;
} Account;

typedef TAILQ_HEAD(AccountRing, Account) AccountRing;

typedef struct Accounts {
        Account *by_uid;
        size_t n_in_bytes; /* of all */
        size_t n_out_bytes;
} Accounts;

/* That of a user, made if there is none. NULL: out of memory. */
Account *accounts_get(Accounts *accounts, uid_t uid);
void accounts_done(Accounts *accounts);

/* What a task takes of memory, about. */
size_t account_task_size(const Task *task);

/**
 * account_may_log() - whether one more line of the log may be about what this user was refused
 * @ret_unsaid: how many were not written since the last one that was
 */
bool account_may_log(Account *account, uint64_t now_boot_us, uint64_t *ret_unsaid);
