/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/ids.h"

#include <errno.h>
#include <stdlib.h>

#include "cli/session.h"
#include "core/ref.h"

static bool contains(const IdList *ids, uint64_t id) {
        for (size_t i = 0; i < ids->n; i++)
                if (ids->ids[i] == id)
                        return true;
        return false;
}

int ids_parse(const Command *command, int n_operands, char **operands, IdList *ret) {
        IdList ids = { 0 };
        Error error;

        if (n_operands > WIRE_IDS_MAX)
                return cli_fail(CLI_STATUS_USAGE, "%s: more than %d ids", command->name,
                                WIRE_IDS_MAX);

        ids.ids = calloc((size_t)n_operands + 1, sizeof(*ids.ids));
        if (!ids.ids)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");

        for (int i = 0; i < n_operands; i++) {
                uint64_t id;

                if (cli_parse_id(operands[i], &id, &error) < 0) {
                        ids_done(&ids);
                        return cli_fail(CLI_STATUS_USAGE, "%s: %s", command->name, error.text);
                }
                if (!contains(&ids, id))
                        ids.ids[ids.n++] = id;
        }

        *ret = ids;
        return 0;
}

void ids_done(IdList *ids) {
        free(ids->ids);
        *ids = (IdList){ 0 };
}

bool ids_report(const IdResult *result, const char *verb) {
        char id[TASK_REF_FORMAT_MAX];

        (void)task_ref_format(id, sizeof(id), result->id);
        switch (result->outcome) {
        case ID_OUTCOME_DONE:
        case ID_OUTCOME_ENDING:
        case ID_OUTCOME_NO_RUNNER:
                return false;
        case ID_OUTCOME_NO_SUCH_TASK:
                (void)session_no_task(result->id);
                return true;
        case ID_OUTCOME_NOT_YOURS:
                (void)cli_fail(CLI_STATUS_REFUSED, "cannot %s task %s: it is not yours", verb, id);
                return true;
        case ID_OUTCOME_WRONG_STATE:
                (void)cli_fail(CLI_STATUS_REFUSED, "cannot %s task %s: it is %s", verb, id,
                               task_state_to_string(result->state));
                return true;
        case ID_OUTCOME_LIMIT:
                (void)cli_fail(CLI_STATUS_REFUSED,
                               "cannot %s task %s alone: its user has as many waiting tasks as "
                               "max_pending_per_user allows",
                               verb, id);
                return true;
        }
        return false;
}

static bool is_done(const IdResult *result) {
        return result->outcome == ID_OUTCOME_DONE;
}

/* Where the results end that are of one id: the next ones of an array are of those of its elements that are tasks of their own. */
static size_t end_of_one(const IdResult *results, size_t n, size_t at) {
        size_t end = at + 1;

        if (task_ref_index(results[at].id) >= 0)
                return end;
        while (end < n && task_ref_index(results[end].id) >= 0 &&
               task_ref_id(results[end].id) == results[at].id)
                end++;
        return end;
}

int ids_report_all(const Reply *reply, const char *verb) {
        const IdResult *results = reply->ids.results;
        int status = CLI_STATUS_DONE;

        for (size_t i = 0, end; i < reply->ids.n; i = end) {
                bool done = false;

                end = end_of_one(results, reply->ids.n, i);
                for (size_t k = i; k < end; k++)
                        done |= is_done(&results[k]);
                for (size_t k = i; k < end; k++) {
                        if (results[k].outcome == ID_OUTCOME_WRONG_STATE && (done || k > i))
                                continue; /* what has started of an array is not meant */
                        if (ids_report(&results[k], verb))
                                status = CLI_STATUS_REFUSED;
                }
        }
        return status;
}

int ids_call(CallType type, const IdList *ids, int signal, Client **ret_client, Reply *reply) {
        _cleanup_(client_freep) Client *client = NULL;
        Call call = { .type = type };
        int status;

        status = session_open(&client, SESSION_CHANGE);
        if (status != 0)
                return status;
        if (!client) {
                for (size_t i = 0; i < ids->n; i++)
                        (void)session_no_task(ids->ids[i]);
                return CLI_STATUS_REFUSED;
        }

        call.ids.ids = *ids;
        call.ids.signal = signal;
        status = session_change(client, &call, reply);
        if (status != 0)
                return status;

        if (ret_client)
                *ret_client = TAKE_PTR(client);
        return 0;
}
