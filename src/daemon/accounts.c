/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/accounts.h"

#include <stdlib.h>

#include "util/units.h"

Account *accounts_get(Accounts *accounts, uid_t uid) {
        Account *account = NULL;

        HASH_FIND(hh, accounts->by_uid, &uid, sizeof(uid), account);
        if (account)
                return account;
        account = calloc(1, sizeof(*account));
        if (!account)
                return NULL;
        account->uid = uid;
        account->n_lines = ACCOUNT_LINES_MAX;
        HASH_ADD(hh, accounts->by_uid, uid, sizeof(uid), account);
        return account;
}

void accounts_done(Accounts *accounts) {
        Account *account, *next;

        HASH_ITER(hh, accounts->by_uid, account, next) {
                HASH_DEL(accounts->by_uid, account);
                free(account);
        }
}

bool account_may_log(Account *account, uint64_t now_boot_us, uint64_t *ret_unsaid) {
        uint64_t n_seconds = (now_boot_us - account->lines_boot_us) / US_PER_SEC;

        if (n_seconds > 0) {
                account->n_lines =
                        (unsigned)MIN(account->n_lines + n_seconds, (uint64_t)ACCOUNT_LINES_MAX);
                account->lines_boot_us = now_boot_us;
        }
        if (account->n_lines == 0) {
                account->n_unsaid++;
                return false;
        }
        account->n_lines--;
        *ret_unsaid = account->n_unsaid;
        account->n_unsaid = 0;
        return true;
}
