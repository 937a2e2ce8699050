/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow cancel: withdraw waiting tasks, end running ones.
 *
 * Waiting ones are gone with the daemon's answer. Running ones are ended by their runner, which the
 * daemon has told: SIGTERM, 10 s later SIGKILL. This command waits for that, and helps where the
 * runner cannot (decisions.md 22):
 *
 *      at once         detached ones whose agent has gone get one, which is told then; a runner that is
 *                      stopped is continued; where there is none any more the processes get the signal
 *                      from here
 *      after 2 s       runners are looked at again: one may have been stopped meanwhile, or have ended
 *                      just when it was told; what only an agent can end, that could not be had, is named:
 *                      status 1
 *      after 12 s      what is left gets SIGKILL from here
 *      after 15 s      what is left is named: status 1
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "cli/agent.h"
#include "cli/commands.h"
#include "cli/end-task.h"
#include "cli/ids.h"
#include "cli/session.h"
#include "core/ref.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define WAKE_US    (2 * US_PER_SEC)
#define KILL_US    (12 * US_PER_SEC) /* two seconds behind the runner's own SIGKILL */
#define GIVE_UP_US (15 * US_PER_SEC)
#define GRACE_US   US_PER_SEC /* for the daemon to tell of an end that can be seen already */

enum {
        LOOK_MS = 200,
};

typedef struct Values {
        int signal; /* 0: the usual */
} Values;

static const char *const signal_words[] = { "TERM", "INT",  "HUP",  "QUIT",
                                            "USR1", "USR2", "KILL", NULL };

static const Opt opts[] = {
        { 's', "signal", "SIGNAL", "send this to running ones first, in place of TERM",
          opt_parse_signal, offsetof(Values, signal), signal_words },
        { 0 },
};

/* A running task that has not ended yet. */
typedef struct Ending {
        IdResult task;
        bool ended;
        uint64_t gone_boot_us; /* since when its command is seen to be gone; 0: it is there */
        bool lacks_agent;      /* it is detached, and its agent can't be had from here */
        Error error;           /* why the last attempt from here failed; empty: it did not */
} Ending;

typedef struct Endings {
        size_t n;
        Ending *items; /* owned */
        size_t n_left;
        int signal;
        Client *client; /* owned; NULL: the daemon has gone */
        bool asked;     /* for the next end, and not answered yet */
} Endings;

static void endings_done(Endings *endings) {
        free(endings->items);
        (void)client_free(endings->client);
}

static void signal_from_here(Ending *ending, int signal) {
        ending->error.text[0] = '\0';
        (void)end_task_signal(&ending->task, signal, &ending->error);
}

/* The first step, for each that runs. A keeper does nothing that its agent does not tell it. */
static void help_now(Ending *ending, int signal) {
        bool has_runner;

        if (ending->task.outcome != ID_OUTCOME_NO_RUNNER)
                return;
        has_runner = end_task_wake_runner(&ending->task) || end_task_has_runner(&ending->task);
        if (!has_runner || ending->lacks_agent)
                signal_from_here(ending, signal ? signal : SIGTERM);
}

static void mark_ended(Endings *endings, uint64_t id) {
        for (size_t i = 0; i < endings->n; i++)
                if (endings->items[i].task.id == id && !endings->items[i].ended) {
                        endings->items[i].ended = true;
                        endings->n_left--;
                }
}

static int ask_for_next_end(const Endings *endings) {
        _cleanup_(ids_done) IdList ids = { 0 };
        Call call = { .type = CALL_WAIT };

        ids.ids = calloc(endings->n_left, sizeof(*ids.ids));
        if (!ids.ids)
                return -ENOMEM;
        for (size_t i = 0; i < endings->n && ids.n < WIRE_IDS_MAX; i++)
                if (!endings->items[i].ended)
                        ids.ids[ids.n++] = endings->items[i].task.id;

        call.wait.ids = ids;
        call.wait.any = true;
        return client_send(endings->client, &call, -1, NULL);
}

/* Waits for the next ends that the daemon tells of. False: it can't be asked any more. */
static bool hear_of_ends(Endings *endings, uint64_t until_boot_us) {
        Reply reply;
        bool heard;
        int r;

        if (!endings->asked && ask_for_next_end(endings) != 0)
                return false;
        endings->asked = true;

        r = session_receive(endings->client, until_boot_us, &reply, NULL);
        if (r != 0)
                return r == SESSION_E_TIMEOUT;

        endings->asked = false;
        heard = reply.error == ERROR_NONE && reply.wait.n > 0;
        for (size_t i = 0; heard && i < reply.wait.n; i++)
                mark_ended(endings, reply.wait.tasks[i].task->id);
        reply_done(&reply);
        return heard;
}

/*
 * Looks whether their commands are still there. The daemon's word comes first, because it is the end
 * in the records too; but it gives a runner that died some time to come back, and may be gone itself.
 */
static void look_for_ends(Endings *endings) {
        const uint64_t grace_us = endings->client ? GRACE_US : 0;
        const uint64_t now_us = clock_boottime_us();

        for (size_t i = 0; i < endings->n; i++) {
                Ending *ending = &endings->items[i];

                if (ending->task.pid == 0 || end_task_is_alive(&ending->task))
                        ending->gone_boot_us = 0;
                else if (ending->gone_boot_us == 0)
                        ending->gone_boot_us = now_us;
                if (ending->gone_boot_us > 0 && now_us - ending->gone_boot_us >= grace_us)
                        mark_ended(endings, ending->task.id);
        }
}

/* Takes note of ends until none is left or the time is over. */
static void collect_ends(Endings *endings, uint64_t until_boot_us) {
        uint64_t now_us;

        while (endings->n_left > 0 && (now_us = clock_boottime_us()) < until_boot_us) {
                if (!endings->client)
                        (void)poll(NULL, 0, LOOK_MS);
                else if (!hear_of_ends(endings, MIN(until_boot_us, now_us + LOOK_MS * US_PER_MSEC)))
                        endings->client = client_free(endings->client);
                look_for_ends(endings);
        }
}

static void wake_all(Endings *endings) {
        for (size_t i = 0; i < endings->n; i++)
                if (!endings->items[i].ended)
                        (void)end_task_wake_runner(&endings->items[i].task);
}

static void kill_all(Endings *endings) {
        for (size_t i = 0; i < endings->n; i++)
                if (!endings->items[i].ended)
                        signal_from_here(&endings->items[i], SIGKILL);
}

/* Those that are out of reach: somebody else's, or without a process that is known. Their agent will be told by the daemon. */
static bool is_left_to_agent(const Ending *ending) {
        return ending->lacks_agent && ending->task.outcome == ID_OUTCOME_NO_RUNNER &&
               (ending->task.pid == 0 || ending->error.text[0]);
}

static bool is_all_left_to_agents(const Endings *endings) {
        for (size_t i = 0; i < endings->n; i++)
                if (!endings->items[i].ended && !is_left_to_agent(&endings->items[i]))
                        return false;
        return true;
}

/* Names what could not be ended; an exit status. */
static int report(Endings *endings) {
        char id[TASK_REF_FORMAT_MAX];
        int status = CLI_STATUS_DONE;

        for (size_t i = 0; i < endings->n; i++) {
                const Ending *ending = &endings->items[i];

                /* Without its processes a task is over, though the daemon may not know it yet. */
                if (ending->ended || (ending->task.pid > 0 && !end_task_is_alive(&ending->task)))
                        continue;
                (void)task_ref_format(id, sizeof(id), ending->task.id);
                if (is_left_to_agent(ending))
                        status = cli_fail(
                                CLI_STATUS_REFUSED,
                                "task %s has not ended%s%s: it ends as soon as its agent runs again, which "
                                "'taskflow agent' of its user starts",
                                id, ending->error.text[0] ? ", " : "", ending->error.text);
                else if (ending->error.text[0])
                        status = cli_fail(CLI_STATUS_REFUSED, "cannot end task %s: %s", id,
                                          ending->error.text);
                else if (ending->task.pid == 0)
                        status = cli_fail(CLI_STATUS_REFUSED, "task %s has not ended", id);
                else
                        status = cli_fail(CLI_STATUS_REFUSED,
                                          "task %s has not ended: process %d is still there", id,
                                          (int)ending->task.pid);
        }
        return status;
}

static void take_second(Endings *endings, const IdResult *result) {
        for (size_t i = 0; i < endings->n; i++) {
                if (endings->items[i].task.id != result->id)
                        continue;
                if (result->outcome == ID_OUTCOME_ENDING || result->outcome == ID_OUTCOME_NO_RUNNER)
                        endings->items[i].task = *result;
                else /* the agent knew that it is over */
                        mark_ended(endings, result->id);
        }
}

/* Nobody was there to be told, or whoever was has gone since. */
static bool lacks_runner(const IdResult *task) {
        return task->outcome == ID_OUTCOME_NO_RUNNER || end_task_runner_is_gone(task);
}

/*
 * What nobody is there to end may be detached: then its agent is started, and told. Results of the second call take the place of the
 * first one's; what fails leaves them as they are.
 */
static void ask_again(Endings *endings) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(reply_done) Reply reply = { 0 };
        _cleanup_(ids_done) IdList ids = { 0 };
        Call call = { .type = CALL_CANCEL };
        Error error;

        ids.ids = calloc(endings->n + 1, sizeof(*ids.ids));
        for (size_t i = 0; ids.ids && i < endings->n && ids.n < WIRE_IDS_MAX; i++)
                if (!endings->items[i].ended && lacks_runner(&endings->items[i].task))
                        ids.ids[ids.n++] = endings->items[i].task.id;
        if (ids.n == 0 || !agent_rouse() || session_connect(&client, 0, &error) != 0)
                return; /* not on the first connection, where the next end may be waited for */

        call.ids.ids = ids;
        call.ids.signal = endings->signal;
        if (session_call(client, &call, &reply) != 0)
                return;
        for (size_t i = 0; i < reply.ids.n; i++)
                take_second(endings, &reply.ids.results[i]);
}

static bool is_detached(Client *client, uint64_t id) {
        const Call call = { .type = CALL_SHOW, .show = { .id = id } };
        _cleanup_(reply_done) Reply reply = { 0 };

        return session_call(client, &call, &reply) == 0 && reply.list.n == 1 &&
               reply.list.tasks[0].task->detached;
}

static void look_who_lacks_an_agent(Endings *endings) {
        for (size_t i = 0; i < endings->n; i++) {
                Ending *ending = &endings->items[i];

                if (!ending->ended && ending->task.outcome == ID_OUTCOME_NO_RUNNER)
                        ending->lacks_agent = is_detached(endings->client, ending->task.id);
        }
}

static int wait_for_ends(Endings *endings) {
        uint64_t start_us;

        ask_again(endings);
        look_who_lacks_an_agent(endings);
        start_us = clock_boottime_us();
        for (size_t i = 0; i < endings->n; i++)
                help_now(&endings->items[i], endings->signal);
        collect_ends(endings, start_us + WAKE_US);
        ask_again(endings);
        if (is_all_left_to_agents(endings))
                return report(endings);
        wake_all(endings);
        collect_ends(endings, start_us + KILL_US);
        kill_all(endings);
        collect_ends(endings, start_us + GIVE_UP_US);
        return report(endings);
}

static int take_results(const Reply *reply, Endings *ret, int *status) {
        ret->items = calloc(reply->ids.n + 1, sizeof(*ret->items));
        if (!ret->items)
                return -ENOMEM;

        for (size_t i = 0; i < reply->ids.n; i++) {
                const IdResult *result = &reply->ids.results[i];

                if (ids_report(result, "cancel"))
                        *status = CLI_STATUS_REFUSED;
                else if (result->outcome != ID_OUTCOME_DONE)
                        ret->items[ret->n++] = (Ending){ .task = *result };
        }
        ret->n_left = ret->n;
        return 0;
}

static int cancel_run(const Command *command, void *v, int n_operands, char **operands) {
        _cleanup_(reply_done) Reply reply = { 0 };
        _cleanup_(endings_done) Endings endings = { 0 };
        _cleanup_(ids_done) IdList ids = { 0 };
        const Values *values = v;
        int ends_status;
        int status;

        status = ids_parse(command, n_operands, operands, &ids);
        if (status == 0)
                status = ids_call(CALL_CANCEL, &ids, values->signal, &endings.client, &reply);
        if (status != 0)
                return status;

        endings.signal = values->signal;
        if (take_results(&reply, &endings, &status) < 0)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");
        if (endings.n == 0)
                return status;

        ends_status = wait_for_ends(&endings);
        return ends_status != 0 ? ends_status : status;
}

const Command command_cancel = {
        .name = "cancel",
        .operands = "ID...",
        .summary = "withdraw waiting tasks, end running ones and all their processes",
        .description =
                "Running ones get SIGTERM and, 10 seconds later, SIGKILL; 'cancel' returns when "
                "they have ended. Their state is 'cancelled' whatever status they leave with. An array is cancelled "
                "with all of its elements, 12_3 is one of them.",
        .opts = opts,
        .min_operands = 1,
        .max_operands = -1,
        .usage_status = CLI_STATUS_USAGE,
        .values_size = sizeof(Values),
        .run = cancel_run,
};
