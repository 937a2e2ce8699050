/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * List, Show, Why, Status, Wait: what is asked about tasks and the machine.
 *
 * A list is sent in parts (`continues`): the next part is made when the last one was taken by the peer, so that a list of a million
 * tasks never lies in our memory as a whole.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/ref.h"
#include "daemon/agents.h"
#include "daemon/log.h"
#include "daemon/records.h"
#include "util/cleanup.h"
#include "util/clock.h"

#include "config.h"

enum {
        LIST_PART = 64, /* tasks in one reply at most */
        LIST_PART_BYTES =
                256 *
                1024, /* and about so much text: one task more is still far under a message's limit */
        STATUS_LOOK_MAX_US =
                1500 * 1000, /* a driver that is slow to wake up must not make people wait */
};

/* Views borrow their tasks from the core; reply_done() is never called on what holds them. */
static Task *borrow(const Task *task) {
        union {
                const Task *in;
                Task *out;
        } cast = { .in = task };

        return cast.out;
}

/* One that stands behind another one in a row has been accepted, but nothing of it has started. NULL: no memory. */
static Task *copy_as_pending(const Task *task) {
        Task *copy = malloc(sizeof(*copy));

        if (!copy)
                return NULL;
        *copy = *task;
        copy->state = TASK_STATE_PENDING;
        copy->started_at_us = 0;
        return copy;
}

TaskView view_task(Peer *peer, const Task *real, bool explain) {
        Daemon *daemon = peer_daemon(peer);
        Task *own = core_is_behind(daemon->core, real->id) ? copy_as_pending(real) : NULL;
        const Task *task = own ? own : real;
        TaskView view = {
                .task = borrow(task),
                .own = own,
                .hidden = daemon->settings.show_commands_to_owner_only &&
                          !methods_may_act(peer, task->uid),
        };
        uint64_t end_us;

        if (task->state == TASK_STATE_RUNNING && task->started_boot_us > 0) {
                if (__builtin_add_overflow(task->started_boot_us, task->delay_us, &end_us))
                        end_us = TASK_TIME_INF;
                view.settle_until_boot_us = end_us > clock_boottime_us() ? end_us : 0;
        }
        if (explain && !task_state_is_final(task->state))
                view.share = core_share_of(daemon->core, task->uid, clock_boottime_us());
        if (explain && (task->state == TASK_STATE_PENDING || task->state == TASK_STATE_HELD)) {
                view.explain = malloc(sizeof(*view.explain));
                /* an element that still waits in its array waits for what that waits for */
                view.has_explain =
                        view.explain &&
                        core_explain(daemon->core,
                                     core_find(daemon->core, task->id) ? task->id :
                                                                         task_ref_id(task->id),
                                     clock_boottime_us(), view.explain) == 0;
        }
        return view;
}

/* For one task: it costs as much as a plan. */
static void add_start(Peer *peer, TaskView *view) {
        if (view->has_explain)
                (void)core_explain_start(peer_daemon(peer)->core, view->task->id,
                                         clock_boottime_us(), view->explain);
}

void view_done(TaskView *view) {
        free(view->explain);
        free(view->own);
        *view = (TaskView){};
}

/* What a view takes in a message, at the most: a byte may become six (\u001b). */
static size_t view_bytes(const TaskView *view) {
        const Task *task = view->task;
        size_t n = 1024;

        n += 6 * (task->command ? strlen(task->command) : 0);
        n += 6 * (task->name ? strlen(task->name) : 0);
        n += 6 * (task->cwd ? strlen(task->cwd) : 0);
        n += 6 * (task->reason ? strlen(task->reason) : 0);
        n += 6 * (task->output ? strlen(task->output) : 0);
        n += task->n_after * 48UL;
        if (task->array)
                n += MIN(task->array->waiting.n * 18, (size_t)WIRE_SET_BYTES_MAX);
        for (char **word = task->argv; word && *word; word++)
                n += 6 * strlen(*word) + 4;
        n += task->needs.n_gpus * 1024UL + task->n_strays * 256UL;
        if (view->explain)
                n += view->explain->n_lacks * 2048 + 256;
        return n;
}

static void lister_end(Peer *peer) {
        Lister *lister = peer->lister;

        peer->lister = NULL;
        free(lister->ids);
        free(lister);
}

/* An array shows what waits in it, or was cancelled there; its other elements are shown by themselves. */
static bool is_listed(const Task *task) {
        return !task->array || task->array->waiting.n > 0 ||
               (task_state_is_final(task->state) && task->array->n_cancelled > 0);
}

/* Adds the next active tasks. */
static size_t add_active(Peer *peer, TaskView *views, size_t n) {
        Daemon *daemon = peer_daemon(peer);
        Lister *lister = peer->lister;
        size_t n_bytes = 0;

        while (n < LIST_PART && n_bytes < LIST_PART_BYTES && lister->next < lister->n_ids) {
                uint64_t *id = &lister->ids[lister->next++];
                const Task *task = core_find(daemon->core, *id);

                /* One that ended since comes with the ended ones, if those were asked for. */
                if (!task || (task_state_is_final(task->state) && !lister->ended) ||
                    !is_listed(task)) {
                        *id = 0;
                        continue;
                }
                views[n] = view_task(peer, task, lister->explain);
                n_bytes += view_bytes(&views[n++]);
        }
        return n;
}

typedef struct EndedPage {
        size_t n;
        Task *tasks[LIST_PART];
        Daemon *daemon;
} EndedPage;

static int take_ended(Task *task, void *userdata) {
        EndedPage *page = userdata;

        /* not written yet: it was listed with the active ones */
        page->tasks[page->n++] = task;
        return 0;
}

static int compare_ids(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* Whether the list has it among the active ones: it has ended since. */
static bool was_sent(Lister *lister, uint64_t id) {
        if (!lister->sorted)
                qsort(lister->ids, lister->n_ids, sizeof(*lister->ids), compare_ids);
        lister->sorted = true;
        return bsearch(&id, lister->ids, lister->n_ids, sizeof(id), compare_ids) != NULL;
}

/* A page of ended ones from the store; those that the core still has were listed already. */
static int send_ended(Peer *peer, bool *ret_more) {
        Daemon *daemon = peer_daemon(peer);
        Lister *lister = peer->lister;
        EndedPage page = { .daemon = daemon };
        TaskView views[LIST_PART];
        size_t n = 0, n_bytes = 0, i;
        int r;

        r = store_load_ended(daemon->store, lister->ended_before,
                             lister->has_uid ? lister->uid : (uid_t)-1, LIST_PART, take_ended,
                             &page);
        for (i = 0; i < page.n && n_bytes < LIST_PART_BYTES; i++) {
                lister->ended_before = page.tasks[i]->id;
                if (core_find(daemon->core, page.tasks[i]->id) || !is_listed(page.tasks[i]) ||
                    was_sent(lister, page.tasks[i]->id))
                        continue;
                views[n] = view_task(peer, page.tasks[i], false);
                n_bytes += view_bytes(&views[n++]);
        }
        *ret_more = r >= 0 && (page.n == LIST_PART || i < page.n);
        if (r >= 0)
                peer_reply(peer, &(Reply){ .to = CALL_LIST,
                                           .continues = *ret_more,
                                           .list = { .n = n, .tasks = views } });
        for (i = 0; i < page.n; i++)
                (void)task_free(page.tasks[i]);
        return r;
}

void lister_continue(Peer *peer) {
        Lister *lister = peer->lister;
        TaskView views[LIST_PART];
        Reply reply = { .to = CALL_LIST };
        bool more = false;
        size_t n;

        if (lister->type == CALL_AGENT) {
                more = agents_list(peer);
        } else if (lister->next < lister->n_ids || !lister->ended) {
                n = add_active(peer, views, 0);
                more = lister->next < lister->n_ids || lister->ended;
                reply.continues = more;
                reply.boot_us = clock_boottime_us();
                reply.list.n = n;
                reply.list.tasks = views;
                peer_reply(peer, &reply);
                for (size_t i = 0; i < n; i++)
                        view_done(&views[i]);
        } else if (send_ended(peer, &more) < 0) {
                more = false;
                peer_refuse(peer, CALL_LIST, ERROR_FAILED,
                            "the record of ended tasks can't be read");
        }
        if (!more || peer->ending)
                lister_end(peer);
}

void method_list(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        _cleanup_free_ const Task **tasks = NULL;
        Lister *lister;
        ssize_t n;

        n = call->list.has_uid ? core_list_of(daemon->core, call->list.uid, &tasks) :
                                 core_list(daemon->core, &tasks);
        lister = calloc(1, sizeof(*lister));
        if (n < 0 || !lister) {
                free(lister);
                peer_refuse(peer, CALL_LIST, ERROR_FAILED, "the daemon is out of memory");
                return;
        }
        lister->ids = calloc((size_t)n + 1, sizeof(*lister->ids));
        lister->type = CALL_LIST;
        lister->explain = call->list.explain;
        lister->ended = call->list.ended;
        lister->has_uid = call->list.has_uid;
        lister->uid = call->list.uid;
        lister->ended_before = UINT64_MAX;
        for (ssize_t i = 0; lister->ids && i < n; i++)
                lister->ids[lister->n_ids++] = tasks[i]->id;
        peer->lister = lister;
        if (call->list.explain)
                daemon_look_at_ram(daemon);
        lister_continue(peer);
}

/* An element that nothing has happened to yet, as it would be. To be freed; NULL: there is no such one. */
static Task *copy_waiting_element(Daemon *daemon, uint64_t id) {
        const Task *array = core_find(daemon->core, task_ref_id(id));
        int64_t index = task_ref_index(id);
        Task *task;

        if (!array || !array->array || index < 0 ||
            !index_set_contains(&array->array->waiting, (uint32_t)index))
                return NULL;
        task = task_copy(array);
        if (!task)
                return NULL;
        task->id = id;
        task->array = task_array_free(task->array);
        return task;
}

/* A task wherever it is: borrowed from the core, or loaded into *ret_stored (to be freed). NULL: refused. */
static const Task *find_task(Peer *peer, CallType type, uint64_t id, Task **ret_stored) {
        Daemon *daemon = peer_daemon(peer);
        const Task *task = core_find(daemon->core, id);
        char name[TASK_REF_FORMAT_MAX];

        if (task)
                return task;
        if (store_load_task(daemon->store, id, ret_stored) == 0)
                return *ret_stored;
        *ret_stored = copy_waiting_element(daemon, id);
        task = *ret_stored;
        if (task)
                return task;
        (void)task_ref_format(name, sizeof(name), id);
        peer_refuse(peer, type, ERROR_NO_SUCH_TASK,
                    "there is no task %s; 'taskflow ps -a' shows all", name);
        return NULL;
}

void method_show(Peer *peer, Call *call, bool resumed) {
        _cleanup_(task_freep) Task *stored = NULL;
        const Task *task;
        TaskView view;

        task = find_task(peer, CALL_SHOW, call->show.id, &stored);
        if (!task)
                return;
        daemon_look_at_ram(peer_daemon(peer));
        view = view_task(peer, task, true);
        add_start(peer, &view);
        peer_reply(peer, &(Reply){ .to = CALL_SHOW,
                                   .boot_us = clock_boottime_us(),
                                   .list = { .n = 1, .tasks = &view } });
        view_done(&view);
}

void method_why(Peer *peer, Call *call, bool resumed) {
        _cleanup_(task_freep) Task *stored = NULL;
        Reply reply = { .to = CALL_WHY };
        const Task *task;
        TaskView view;

        task = find_task(peer, CALL_WHY, call->show.id, &stored);
        if (!task)
                return;
        daemon_look_at_ram(peer_daemon(peer));
        view = view_task(peer, task, true);
        add_start(peer, &view);
        reply.explain = view.has_explain ? view.explain : NULL;
        reply.boot_us = clock_boottime_us();
        reply.why.id = task->id;
        reply.why.state = view.task->state;
        peer_reply(peer, &reply);
        view_done(&view);
}

static void count_cpus(const Daemon *daemon, MachineStatus *status) {
        for (const Record *record = daemon->records; record; record = record->hh.next) {
                const Task *task = core_find(daemon->core, record->task_id);

                if (task && !core_is_behind(daemon->core, task->id) &&
                    (task->state == TASK_STATE_RUNNING || core_is_offered(daemon->core, task->id)))
                        status->n_cpus_promised += task->needs.cpus;
        }
        status->n_cpus = core_policy(daemon->core)->n_cpus;
}

/*
 * Whether the GPUs are to be looked at before they are shown: while somebody needs them, or if they never were. Otherwise the
 * last figures are shown with their age, so that looking at the queue does not wake a GPU that sleeps (decisions.md 32).
 */
static bool wants_look(const Daemon *daemon) {
        return core_uses_gpus(daemon->core) ? !daemon_gpus_are_fresh(daemon, clock_boottime_us()) :
                                              !daemon->gpus_looked;
}

static int compare_shares(const void *a, const void *b) {
        const UserView *x = a, *y = b;

        if (x->share != y->share)
                return x->share < y->share ? 1 : -1;
        return (x->uid > y->uid) - (x->uid < y->uid);
}

static int add_users(const Daemon *daemon, uint64_t now_us, MachineStatus *status) {
        ssize_t n = core_view_users(daemon->core, now_us, &status->users);

        if (n < 0)
                return (int)n;
        qsort(status->users, (size_t)n, sizeof(*status->users), compare_shares);
        status->n_users = MIN((size_t)n, (size_t)STATUS_USERS_MAX);
        status->n_more_users = (size_t)n - status->n_users;
        return 0;
}

static int add_tokens(const Daemon *daemon, MachineStatus *status) {
        ssize_t n = core_view_tokens(daemon->core, &status->tokens);

        if (n < 0)
                return (int)n;
        status->n_tokens = (size_t)n;
        return 0;
}

void method_status(Peer *peer, Call *call, bool resumed) {
        Daemon *daemon = peer_daemon(peer);
        CoreCounts counts = core_counts(daemon->core);
        uint64_t now_us = clock_boottime_us();
        Reply reply = { .to = CALL_STATUS, .boot_us = now_us };
        MachineStatus *status = &reply.status;
        Health health;
        KeepView keep;
        ssize_t n_gpus;
        int r;

        if (!resumed && wants_look(daemon) &&
            gpu_watch_ask(daemon->gpu_watch, core_n_offers(daemon->core)) == 0) {
                peer_park(peer, call, STATUS_LOOK_MAX_US);
                return;
        }
        daemon_look_at_ram(daemon);
        n_gpus = core_view_gpus(daemon->core, now_us, &status->gpus);
        r = n_gpus < 0 ? -ENOMEM : add_users(daemon, now_us, status);
        if (r == 0)
                r = add_tokens(daemon, status);
        if (r == 0)
                r = core_view_keep(daemon->core, now_us, &keep);
        if (r < 0) {
                free(status->users);
                free(status->tokens);
                core_gpu_views_free(status->gpus, n_gpus < 0 ? 0 : (size_t)n_gpus);
                peer_refuse(peer, CALL_STATUS, ERROR_FAILED, "the daemon is out of memory");
                return;
        }
        status->n_gpus = (size_t)n_gpus;
        status->ram = core_view_ram(daemon->core, now_us);
        status->gpus_known = daemon->gpus_known;
        (void)snprintf(status->gpu_text, sizeof(status->gpu_text), "%s", daemon->gpu_text);
        status->gpu_age_us = daemon->gpus_boot_us ? now_us - daemon->gpus_boot_us : TASK_TIME_INF;
        status->n_pending = counts.pending;
        status->n_held = counts.held;
        status->n_running = counts.running;
        count_cpus(daemon, status);
        status->drain = *core_drain(daemon->core);
        status->keep = r > 0 ? &keep : NULL;
        status->personal = daemon->personal;
        status->daemon_uid = getuid();
        status->daemon_pid = getpid();
        (void)snprintf(status->version, sizeof(status->version), "%s", TASKFLOW_VERSION);
        (void)snprintf(status->state_dir, sizeof(status->state_dir), "%s", daemon->state_dir);
        daemon_health(daemon, &health);
        status->health = &health;
        peer_reply(peer, &reply);
        core_gpu_views_free(status->gpus, status->n_gpus);
        free(status->users);
        free(status->tokens);
        if (status->keep)
                core_keep_view_done(status->keep);
        daemon_want_turn(daemon);
}

/* How many of the tasks waited for are not over. */
static size_t n_not_over(Daemon *daemon, const Call *call) {
        size_t n = 0;

        for (size_t i = 0; i < call->wait.ids.n; i++) {
                const Task *task = core_find(daemon->core, call->wait.ids.ids[i]);

                n += task && !task_state_is_final(task->state);
        }
        return n;
}

/* The ended ones among the tasks waited for; each to be freed. */
static size_t collect_ended(Daemon *daemon, const Call *call, Task **ret) {
        size_t n = 0;

        for (size_t i = 0; i < call->wait.ids.n; i++) {
                const Task *task = core_find(daemon->core, call->wait.ids.ids[i]);

                if (task && !task_state_is_final(task->state))
                        continue;
                if (task) /* over, and not written yet */
                        (void)store_put_task(daemon->store, task);
                if (store_load_task(daemon->store, call->wait.ids.ids[i], &ret[n]) == 0)
                        n++;
        }
        return n;
}

static void send_waited(Peer *peer, Task **tasks, size_t n) {
        _cleanup_free_ TaskView *views = calloc(n + 1, sizeof(*views));

        if (!views)
                return;
        for (size_t i = 0; i < n; i++)
                views[i] = view_task(peer, tasks[i], false);
        peer_reply(peer, &(Reply){ .to = CALL_WAIT, .wait = { .n = n, .tasks = views } });
}

bool wait_try(Peer *peer) {
        Daemon *daemon = peer_daemon(peer);
        const Call *call = &peer->waiting;
        size_t n, n_wanted = call->wait.any ? MIN((size_t)1, call->wait.ids.n) : call->wait.ids.n;
        _cleanup_free_ Task **tasks = NULL;
        bool answered = false;

        /* looked at first: to load those that are over takes a hundred times as long */
        if (call->wait.ids.n - n_not_over(daemon, call) < n_wanted)
                return false;
        tasks = calloc(call->wait.ids.n + 1, sizeof(*tasks));
        if (!tasks)
                return false;
        n = collect_ended(daemon, call, tasks);
        if (n >= n_wanted) {
                size_t first = 0;

                for (size_t i = 1; call->wait.any && i < n; i++)
                        if (tasks[i]->ended_at_us < tasks[first]->ended_at_us)
                                first = i;
                peer->is_waiting = false;
                send_waited(peer, call->wait.any && n > 0 ? &tasks[first] : tasks,
                            call->wait.any ? n_wanted : n);
                call_done(&peer->waiting);
                answered = true;
        }
        for (size_t i = 0; i < n; i++)
                (void)task_free(tasks[i]);
        return answered;
}

/* All the caller's own that are not over. */
static bool name_own_tasks(Peer *peer, Call *call) {
        Daemon *daemon = peer_daemon(peer);
        const Record *record;

        call->wait.ids.ids = calloc(HASH_COUNT(daemon->records) + 1, sizeof(uint64_t));
        if (!call->wait.ids.ids)
                return false;
        for (record = daemon->records; record; record = record->hh.next) {
                const Task *task = core_find(daemon->core, record->task_id);

                /* an array stands for its elements */
                if (task && task->uid == peer->uid && !task_state_is_final(task->state) &&
                    task_ref_index(task->id) < 0)
                        call->wait.ids.ids[call->wait.ids.n++] = record->task_id;
        }
        return true;
}

void method_wait(Peer *peer, Call *call, bool resumed) {
        if (call->wait.ids.n == 0 && !name_own_tasks(peer, call)) {
                peer_refuse(peer, CALL_WAIT, ERROR_FAILED, "the daemon is out of memory");
                return;
        }
        for (size_t i = 0; i < call->wait.ids.n; i++) {
                _cleanup_(task_freep) Task *stored = NULL;

                if (!find_task(peer, CALL_WAIT, call->wait.ids.ids[i], &stored))
                        return;
        }
        peer->waiting = *call;
        peer->is_waiting = true;
        *call = (Call){};
        (void)wait_try(peer);
}
