#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Methods
 *
 * The table of what may be called, by whom. Forgetting to check is impossible: methods_serve() looks here first.
 */

#include "daemon/peers.h"

typedef enum Access {
        ACCESS_ANYONE, /* a method that acts on tasks by ids checks each (methods_may_act()) */
        ACCESS_OWNER,  /* the task's user, or an admin */
        ACCESS_ADMIN,
        ACCESS_RUNNER, /* the connection that submitted or attached the task */
        ACCESS_RUNNER_LATE, /* the same, or an agent and a task that is over: the method sees whose it was */
} Access;

/* Serves one call of a peer; the call may be taken (zeroed) by a method that keeps it. */
typedef void (*method_fn)(Peer *peer, Call *call, bool resumed);

typedef struct Method {
        CallType type;
        Access access;
        method_fn serve;
        bool of_denied; /* also for a user whom the settings keep out: what he has queued is seen to its end */
} Method;

/* Every CallType that a client may call has exactly one entry. */
extern const Method methods[];
extern const size_t n_methods;

/* @resumed: it was parked, and the GPUs were looked at since. */
void methods_serve(Peer *peer, Call *call, bool resumed);

/* Whether this peer may act on this user's tasks. */
bool methods_may_act(const Peer *peer, uid_t owner);

/* Says why: it is somebody else's, or not a task that waits or runs. */
void method_update_refuse(Peer *peer, uint64_t id);

void method_submit(Peer *peer, Call *call, bool resumed);
void method_dry_run(Peer *peer, Call *call, bool resumed);
void method_learned(Peer *peer, Call *call, bool resumed);
void method_attach(Peer *peer, Call *call, bool resumed);
void method_accept(Peer *peer, Call *call, bool resumed);
void method_decline(Peer *peer, Call *call, bool resumed);
void method_started(Peer *peer, Call *call, bool resumed);
void method_used(Peer *peer, Call *call, bool resumed);
void method_ended(Peer *peer, Call *call, bool resumed);
void method_away(Peer *peer, Call *call, bool resumed);
void method_withdraw(Peer *peer, Call *call, bool resumed);
void method_list(Peer *peer, Call *call, bool resumed);
void method_show(Peer *peer, Call *call, bool resumed);
void method_why(Peer *peer, Call *call, bool resumed);
void method_status(Peer *peer, Call *call, bool resumed);
void method_cancel(Peer *peer, Call *call, bool resumed);
void method_hold(Peer *peer, Call *call, bool resumed);
void method_release(Peer *peer, Call *call, bool resumed);
void method_update(Peer *peer, Call *call, bool resumed);
void method_drain(Peer *peer, Call *call, bool resumed);
void method_undrain(Peer *peer, Call *call, bool resumed);
void method_wait(Peer *peer, Call *call, bool resumed);
void method_submit_many(Peer *peer, Call *call, bool resumed);
void method_agent(Peer *peer, Call *call, bool resumed);
void method_resume(Peer *peer, Call *call, bool resumed);
void method_get_info(Peer *peer, Call *call, bool resumed);

/* The command's process, by its pidfd (taken; -1: unknown), after it was checked whose it is (decisions.md 15). */
void started_process(Record *record, int pid_fd);

/* Whether there is such a process, and it is one that this runner may call a command of its own. */
bool started_is_of(pid_t pid, uint64_t start_ticks, pid_t runner, uid_t uid);

/* A view of a task for this peer; what it must not see is hidden. The task is borrowed. */
TaskView view_task(Peer *peer, const Task *real, bool explain);
void view_done(TaskView *view);

/* The elements of an array (also NULL) that are tasks of their own and not over; to be freed. Return: how many, or -ENOMEM. */
ssize_t array_own_elements(Daemon *daemon, const Task *array, uint64_t **ret);

/* More of a list, when the last part was sent. */
void lister_continue(Peer *peer);

/* Answers a WAIT if what it waits for has come; returns whether it did. */
bool wait_try(Peer *peer);
