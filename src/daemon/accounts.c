/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/accounts.h"

#include <stdlib.h>
#include <string.h>

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
        account->rules = user_rules_default();
        TAILQ_INIT(&account->waiting);
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

static size_t text_size(const char *s) {
        return s ? strlen(s) + 1 : 0;
}

size_t account_task_size(const Task *task) {
        size_t n = ACCOUNT_TASK_BYTES_EACH;

        n += text_size(task->name) + text_size(task->command) + text_size(task->cwd);
        n += text_size(task->output) + text_size(task->reason);
        for (char **word = task->argv; word && *word; word++)
                n += sizeof(*word) + text_size(*word);
        n += task->needs.n_gpus * (sizeof(GpuNeed) + sizeof(GpuGrant) + sizeof(Usage));
        n += task->n_after * sizeof(TaskAfter);
        if (task->array)
                n += sizeof(*task->array) + task->array->waiting.n * sizeof(IndexRange);
        return n;
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
