#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Messages
 *
 * What is said on the socket, as values: a Call (from either side) and the Reply to it. JSON in Varlink's form,
 *
 *     {"method":"io.taskflow.v1.Submit","parameters":{…},"oneway":true}
 *     {"parameters":{…},"continues":true}      {"error":"io.taskflow.v1.Refused","parameters":{"message":"…"}}
 *
 * read strictly: unknown and duplicate keys, wrong types, numbers out of range and texts that are too long are refused with a
 * sentence. Replies come in the order of their calls; a oneway call has none. docs/protocol.md has every key, and a test holds it
 * against the table of methods.
 *
 * Durations on the wire are microseconds, sizes bytes; null stands for "inf", "whole" and "unknown".
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/explain.h"
#include "core/task.h"
#include "util/error.h"
#include "util/macro.h"
#include "util/string-table.h"

#define WIRE_INTERFACE       "io.taskflow.v1"
#define WIRE_AGENT_INTERFACE "io.taskflow.agent.v1" /* what an agent's own socket speaks */

typedef enum CallType {
        /* client to daemon */
        CALL_SUBMIT,
        CALL_DRY_RUN,
        CALL_LEARNED, /* what runs of the same took */
        CALL_ATTACH,
        CALL_ACCEPT,
        CALL_DECLINE, /* oneway: the offer can't be taken (no room in the runner's own cgroup) */
        CALL_STARTED, /* oneway, with a pidfd */
        CALL_USED,    /* oneway */
        CALL_ENDED,
        CALL_AWAY, /* oneway */
        CALL_WITHDRAW,
        CALL_LIST, /* more: tasks come in several replies */
        CALL_SHOW,
        CALL_WHY,
        CALL_STATUS,
        CALL_CANCEL,
        CALL_HOLD,
        CALL_RELEASE,
        CALL_UPDATE,
        CALL_DRAIN,
        CALL_UNDRAIN,
        CALL_WAIT,     /* answered when they have ended */
        CALL_GET_INFO, /* org.varlink.service.GetInfo */
        /* an agent to the daemon */
        CALL_SUBMIT_MANY, /* detached tasks, all or nothing */
        CALL_AGENT, /* more: this connection is the agent of its user; answered with what it has to mind */
        CALL_RESUME, /* with a pidfd: how far a detached task that was accepted is */
        /* daemon to client, all oneway */
        CALL_OFFER,
        CALL_END,       /* end this running task */
        CALL_WITHDRAWN, /* this waiting task was cancelled, or is another connection's now */
        CALL_LOOK,      /* how often to measure running tasks */
        /* a command to its user's agent, on the agent's own socket */
        CALL_QUEUE, /* with a memfd: a bundle (runner/bundle.h) of what the daemon must not see */
        CALL_AGENT_STATUS, /* answered when the agent has said to the daemon all that it knows */
        CALL_AGENT_STOP,
} CallType;

enum {
        N_CALL_TYPES = CALL_AGENT_STOP + 1,
        WIRE_IDS_MAX = 10000,  /* ids in one call */
        WIRE_TASKS_MAX = 1000, /* tasks in one SUBMIT_MANY or QUEUE, if they fit a message */
        WIRE_AGENT_PART = 500, /* tasks in one reply to AGENT */
        WIRE_SET_BYTES_MAX = 64 * 1024, /* of an array's set of elements, as text */
        WIRE_NOTICES_MAX = 8,
};

/* The short name, "Submit": for people, and no two the same. */
DECLARE_STRING_TABLE(call_type, CallType);

/* Whether a call of this type never has a reply; call_encode() says so by itself. */
bool call_type_is_oneway(CallType type);

typedef struct IdList {
        size_t n;
        uint64_t *ids; /* owned */
} IdList;

/* One of a list of tasks. */
typedef struct TaskItem {
        Task *task;       /* owned */
        bool immediate;   /* QUEUE: -w 0 */
        uint64_t wait_us; /* QUEUE: it is given up if it has not started by then; 0: never */
} TaskItem;

/* A task that an agent has to mind, as the daemon has it. */
typedef struct AgentTask {
        uint64_t id;
        uint8_t key[TASK_KEY_BYTES]; /* of an element: its array's */
        TaskState state;             /* pending, held or running */
        unsigned attempt;
} AgentTask;

typedef struct Call {
        CallType type;
        bool oneway;
        bool more;
        union {
                struct {
                        Task *task; /* owned; what the submitter says (task.h, first half, without id and uid) */
                        bool immediate;      /* -w 0: now or not at all */
                        uint64_t room_bytes; /* of the runner's own cgroup; UINT64_MAX: no limit */
                } submit;                    /* SUBMIT, DRY_RUN */
                struct {
                        char database[33]; /* that gave the id */
                        Task *task; /* owned; whole: so that a daemon that has forgotten it knows it again */
                        bool started; /* running; a pidfd comes along */
                        uint64_t room_bytes;
                } attach;
                struct {
                        uint64_t id;
                        uint64_t offer;
                } accept; /* ACCEPT, DECLINE */
                struct {
                        uint64_t id;
                } started; /* STARTED */
                struct {
                        uint64_t id;
                        uint64_t memory_bytes;
                } used;
                struct {
                        uint64_t id;
                        unsigned attempt; /* of which start; 0: there is only one */
                        TaskState state;  /* done, failed, timeout, cancelled, lost */
                        int exit_status;  /* -1: none */
                        int signal;       /* 0: none */
                        uint64_t ended_at_us;
                        char *reason; /* owned; NULL: none ("could not be started: …") */
                } ended;
                struct {
                        uint64_t id;
                        bool away;
                } away;
                struct {
                        uint64_t id;
                        char *reason; /* owned; NULL: none. "not started within 10s" */
                } withdraw;           /* WITHDRAW; also WITHDRAWN */
                struct {
                        bool ended; /* ended ones too */
                        bool has_uid;
                        uid_t uid;
                        bool explain; /* the waiting ones with why they wait */
                } list;
                struct {
                        uint64_t id;
                } show; /* SHOW, WHY */
                struct {
                        IdList ids;
                        int signal; /* CANCEL: 0 the usual; END and the rest: ids unused */
                } ids;              /* CANCEL, HOLD, RELEASE */
                struct {
                        uint64_t id;
                        bool set_needs_memory, set_needs_gpus, set_needs_cpus, set_needs_tokens,
                                set_priority, set_time_limit, set_name;
                        Needs needs; /* owned; what is set of it */
                        unsigned priority;
                        uint64_t time_limit_us;
                        char *name; /* owned */
                } update;
                struct {
                        char reason[DRAIN_REASON_MAX]; /* empty: none */
                } drain;
                struct {
                        IdList ids; /* none: all the caller's own */
                        bool any;
                } wait;
                struct {
                        uint64_t id;
                        uint64_t offer;
                        unsigned n_gpus;
                        GpuGrant *gpus; /* owned */
                        bool pin;
                        uint64_t
                                time_limit_us; /* it may have been changed while it waited; or TASK_TIME_INF */
                        unsigned attempt; /* what its number will be if it is accepted, from 1 */
                        char *name;       /* owned; as it is now; NULL: none */
                        bool granted;     /* it counts as accepted, and has no number */
                        uint64_t
                                behind; /* granted: starts when this one of the agent's has ended; 0: now */
                } offer;
                struct {
                        uint64_t id;
                        int signal; /* first; 0: SIGTERM */
                } end;
                struct {
                        uint64_t interval_us;
                } look;
                struct {
                        size_t n;
                        TaskItem *items; /* owned; at least one, each as in SUBMIT, detached */
                        pid_t pid;       /* QUEUE: as the process itself has it; 0: not said */
                        char *here;      /* QUEUE: owned; of where_write(); NULL: not said */
                } submit_many;           /* SUBMIT_MANY, QUEUE */
                struct {
                        uint64_t id;
                        unsigned attempt;
                        bool running; /* false: it was not started, and will not be on this attempt */
                } resume;
        };
} Call;

typedef enum ErrorName {
        ERROR_NONE,
        ERROR_BAD_REQUEST,      /* the message makes no sense; the connection is ended after it */
        ERROR_METHOD_NOT_FOUND, /* org.varlink.service.MethodNotFound: a newer client */
        ERROR_NO_SUCH_TASK,
        ERROR_NOT_PERMITTED,    /* not yours */
        ERROR_IMPOSSIBLE,       /* the machine can never meet it */
        ERROR_CANNOT_START_NOW, /* -w 0 */
        ERROR_LIMIT,            /* of this user; the sentence names it */
        ERROR_WRONG_STATE,      /* running already, over already */
        ERROR_NOT_AVAILABLE,    /* this version has it not yet */
        ERROR_FAILED,           /* the daemon could not: disk full … */
} ErrorName;

enum {
        N_ERROR_NAMES = ERROR_FAILED + 1,
};

DECLARE_STRING_TABLE(error_name, ErrorName); /* full names, interface included */

/* What became of one task of a CANCEL, HOLD or RELEASE. */
typedef enum IdOutcome {
        ID_OUTCOME_DONE,   /* as asked */
        ID_OUTCOME_ENDING, /* CANCEL: it runs, its runner was told */
        ID_OUTCOME_NO_RUNNER, /* CANCEL: it runs, but its runner is gone or silent: the caller may end it by its pid */
        ID_OUTCOME_NO_SUCH_TASK,
        ID_OUTCOME_NOT_YOURS,
        ID_OUTCOME_WRONG_STATE, /* HOLD of a running one, anything of one that is over */
        ID_OUTCOME_LIMIT, /* HOLD of an element: its user has as many waiting tasks as he may */
} IdOutcome;

enum {
        N_ID_OUTCOMES = ID_OUTCOME_LIMIT + 1,
};

DECLARE_STRING_TABLE(id_outcome, IdOutcome);

typedef struct IdResult {
        uint64_t id;
        IdOutcome outcome;
        TaskState state;
        /* of a running one, so that its owner can end it (decisions.md 22) */
        pid_t pid;
        uint64_t pid_start_ticks;
        char boot_id[37];
        pid_t runner_pid;
} IdResult;

/* A task as it is shown. */
typedef struct TaskView {
        Task *task;  /* owned; key and runner left out */
        Task *own;   /* the daemon's: what @task is a copy in, to be freed with free(); else NULL */
        bool hidden; /* command, name, folder are kept back (show_commands = owner) */
        bool has_explain;
        Explain *explain;              /* owned; of a waiting one, if asked for */
        uint64_t settle_until_boot_us; /* running: until when its delay lasts; 0: over */
        uint64_t
                share; /* of its user, of CORE_WHOLE, if `explain` was asked for; 0: none, or unknown */
} TaskView;

/* How the daemon itself does, since it was started. */
typedef struct Health {
        uint64_t started_at_us;     /* CLOCK_REALTIME */
        char settings_path[256];    /* "": it reads none */
        uint64_t settings_at_us;    /* when they were read, CLOCK_REALTIME */
        char settings_text[240];    /* why they could not be read again; "": they could */
        uint64_t state_total_bytes; /* of the file system that the state is on; 0: unknown */
        uint64_t state_free_bytes;
        char state_text[240]; /* why nothing can be written there; "": it can */
        unsigned n_damaged;   /* records there that make no sense */
        bool memory_limited;  /* RAM is that of the container which the daemon is in */
        size_t n_connections;
        uint64_t n_submitted,
                n_started; /* an array is one task, of which each element is started */
        uint64_t n_ended[N_TASK_STATES]; /* by final state; of an array each element by itself */
} Health;

enum {
        STATUS_USERS_MAX = 1024, /* all of it must fit into a message */
};

typedef struct MachineStatus {
        RamView ram;
        size_t n_gpus;
        GpuView *gpus; /* owned */
        bool gpus_known;
        char gpu_text[240];  /* why not, for people */
        uint64_t gpu_age_us; /* of the GPUs' figures; TASK_TIME_INF: none yet */
        size_t n_pending, n_held, n_running;
        unsigned n_cpus, n_cpus_promised;
        Drain drain;
        size_t n_tokens;
        TokenView *tokens; /* owned */
        KeepView *keep;    /* owned; NULL: room is kept for nobody */
        size_t n_users;
        UserView *users; /* owned; those with the largest shares, the largest first */
        size_t n_more_users;
        bool personal; /* this queue is one user's alone */
        uid_t daemon_uid;
        pid_t daemon_pid;
        char version[32];
        char state_dir[256];
        Health *health; /* owned; NULL: the daemon is older than this */
} MachineStatus;

typedef struct Reply {
        CallType to; /* what it answers */
        bool continues;
        ErrorName
                error; /* not NONE: only `message` and, for CANNOT_START_NOW and IMPOSSIBLE, `explain` may be set */
        char *message;    /* owned; a sentence for people */
        Explain *explain; /* owned; SUBMIT of a waiting one, DRY_RUN, WHY, errors: why; else NULL */
        uint64_t boot_us; /* the daemon's CLOCK_BOOTTIME when it spoke; goes with explain */
        union {
                struct {
                        uint64_t id;
                        char database[33];
                        bool granted; /* offer and accept in one: it may exec now (decisions.md 14) */
                        unsigned n_gpus;
                        GpuGrant *gpus; /* owned; granted */
                        bool pin;
                        uint64_t delay_us; /* what counts of the delay asked for */
                        uint64_t look_interval_us;
                        size_t n_notices;
                        char *notices
                                [WIRE_NOTICES_MAX]; /* owned; for the user: "the delay was cut to 10m" */
                } submit;
                struct {
                        bool could_start; /* else it would wait: explain says why */
                        unsigned n_gpus;
                        GpuGrant *gpus; /* owned */
                } dry_run;
                struct {
                        unsigned n_runs;
                        uint64_t memory_peak_bytes; /* 0: not known */
                        uint64_t gpu_peak_bytes;    /* of one GPU; 0: not known */
                } learned;
                struct {
                        uint64_t id;
                        TaskState state; /* as the daemon has it now */
                        uint64_t look_interval_us;
                } attach;
                struct {
                        size_t n_notices;
                        char *notices[WIRE_NOTICES_MAX]; /* owned; for the user */
                        char *hint; /* owned; for one at a terminal; NULL: none */
                } ended;
                struct {
                        size_t n;
                        TaskView *tasks; /* owned */
                } list;                  /* LIST, SHOW (one) */
                struct {
                        uint64_t id;
                        TaskState state;
                } why;
                MachineStatus status;
                struct {
                        size_t n;
                        IdResult *results; /* owned */
                } ids;                     /* CANCEL, HOLD, RELEASE */
                struct {
                        size_t n;
                        TaskView *
                                tasks; /* owned; those that have ended: in the order of the call's ids; ANY: the first */
                } wait;
                struct {
                        char version[32];
                } get_info;
                struct {
                        IdList ids; /* in the order of the call's tasks */
                        size_t n_notices;
                        char *notices[WIRE_NOTICES_MAX]; /* owned; for the user */
                } submit_many;                           /* SUBMIT_MANY, QUEUE */
                struct {
                        char database[33];
                        uint64_t look_interval_us;
                        uint64_t
                                log_limit_bytes; /* settings: of taskflow's own logs; UINT64_MAX: none */
                        uint64_t
                                log_keep_us; /* how long they are kept after the end; or TASK_TIME_INF */
                        size_t n;
                        AgentTask *tasks; /* owned */
                } agent;
                struct {
                        TaskState state; /* as the daemon has it now */
                } resume;
                struct {
                        pid_t pid;
                        bool connected;      /* to the daemon; else `text` says why not */
                        char daemon[256];    /* path of its socket */
                        char state_dir[256]; /* the agent's folder */
                        char lives[32];      /* where: "systemd", "session", "detached" */
                        char text[240];
                        unsigned n_waiting; /* tasks; an array is one */
                        unsigned n_running;
                        uint64_t n_undelivered; /* ends that the daemon does not know yet */
                        char version[32];       /* "": it is older than this */
                } agent_status;
        };
} Reply;

/**
 * call_encode() - as the bytes of a message
 * @ret:        to be freed with free(); no NUL inside, NUL-terminated
 *
 * Return: 0, -ENOMEM, or -E2BIG beyond FRAME_MESSAGE_MAX or what the other side would take of a call.
 */
int call_encode(const Call *call, char **ret, size_t *ret_n);

/* call_decode() */
enum {
        MESSAGE_E_BAD = 1,          /* @error says what is wrong with it */
        MESSAGE_E_METHOD_NOT_FOUND, /* well-formed, but no method of ours */
};

/**
 * call_decode() - a message from the other side, hostile
 * @ret:        release with call_done(); untouched unless 0
 *
 * Return: 0, an outcome, or -ENOMEM.
 */
int call_decode(const char *bytes, size_t n, Call *ret, Error *error);
void call_done(Call *call);

/* As call_encode(). */
int reply_encode(const Reply *reply, char **ret, size_t *ret_n);

/* As call_decode(); @to: the type of the call that it answers. */
int reply_decode(CallType to, const char *bytes, size_t n, Reply *ret, Error *error);
void reply_done(Reply *reply);

/* Whether these bytes are a call (have a "method") and not a reply. */
bool message_is_call(const char *bytes, size_t n);

/**
 * task_view_json() - a task in the form of `ps --json` and `show --json` (interface.md)
 * @reason:     of a waiting one: the sentence of `why`; NULL: the task's own
 * @user:       its owner's name; NULL: unknown
 * @ret:        the JSON text, to be freed with free()
 *
 * Return: 0, or -ENOMEM.
 */
int task_view_json(const TaskView *view, const char *user, const char *reason, char **ret);

/* What the client knows beside the daemon's numbers. */
typedef struct StatusNames {
        explain_user_fn user;
        const char *(*program)(const OutsideProcess *outsider,
                               char *buf,
                               size_t n); /* NULL: unknown */
        const Outsiders *ram;             /* who holds RAM outside taskflow; NULL: not known */
} StatusNames;

/* `status --json`; @ret as above. @names: NULL: nothing of that is known */
int machine_status_json(const MachineStatus *status, const StatusNames *names, char **ret);
