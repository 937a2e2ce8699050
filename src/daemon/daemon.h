#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The daemon
 *
 * One object owns the loop and everything that lives in it. A turn of the loop is: messages and other events are applied to the
 * core as they come; then, once, turn.c samples, plans, carries out, and writes down what changed.
 *
 *   main.c      options, signals
 *   setup.c     where everything is; folders, lock
 *   daemon.c    the object; settings, start after a restart, end when idle
 *   server.c    listening, accepting
 *   peers.c     connections and their limits
 *   service.c   whose messages are served next
 *   limits.c    what connections may take of memory, and how long they are waited for
 *   accounts.c  what each user has of the daemon
 *   audit.c     who did what to whose task, in the log
 *   methods.c   the table of methods, who may call which; method-*.c: what each does
 *   agents.c    the connections of agents, and the detached tasks that they own
 *   after.c     tasks that wait for the end of others
 *   records.c   what the daemon knows of a task beside the core: its connection, its process, whether it is on the disk
 *   pasts.c     what users had of the machine, over a restart
 *   turn.c      sample -> plan -> carry out -> commit
 *   health.c    how the daemon itself does, for `status`, `doctor` and `metrics`
 *   gpus.c      from the probe's reports to the core: attribution, figures
 *   gpu-watch.c the probe process
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "core/core.h"
#include "daemon/accounts.h"
#include "daemon/gpu-watch.h"
#include "probe/ram.h"
#include "settings/settings.h"
#include "store/store.h"
#include "util/boot.h"
#include "util/error.h"
#include "util/macro.h"
#include "util/steady-clock.h"
#include "wire/message.h"

typedef struct Server Server;
typedef struct Peers Peers;
typedef struct Peer Peer;
typedef struct Record Record;
typedef struct Daemon Daemon;

enum {
        OFFER_TIMEOUT_US =
                5 * 1000000, /* an offer that nobody accepted is taken back (architecture.md) */
        START_PATIENCE_US =
                2 * 1000000, /* how long the first offers wait for known runners to attach */
        ATTACH_DEADLINE_US =
                30 * 1000000, /* when a task whose runner did not come back is judged */
        ENDED_GRACE_US =
                5 *
                1000000, /* after the end of a process without a runner: it may still bring a status */
        QUIET_LOOK_US = 10 * 1000000, /* how often running tasks are measured while nothing waits */
        AGENT_GRACE_US =
                30 *
                1000000, /* the same of a detached task: its keeper starts an agent, which says how it ended */
        STORE_RETRY_US = 5 * 1000000, /* after the disk was full */
        WRITE_SOON_US =
                50 * 1000, /* what a runner would bring back with its Attach is written no later */
};

struct Daemon {
        sd_event *event;
        Core *core;
        Store *store;
        Settings settings;
        char *settings_path; /* NULL: none */
        bool settings_required;
        bool personal;
        char *state_dir;
        char boot_id[BOOT_ID_SIZE];

        RamSource ram_source;
        GpuWatch *gpu_watch;
        bool gpus_known;  /* the last look at the GPUs brought figures */
        bool gpus_looked; /* the probe has answered, or failed, at least once since the start */
        char gpu_text[GPU_REPORT_TEXT_MAX]; /* why not, for people */
        uint64_t gpus_boot_us;              /* when the figures came; 0: never */
        uint64_t gpus_ticket;               /* core_n_offers() when they were asked for */

        Server *server;
        Accounts accounts; /* of all users */
        Peers *peers;
        Record *records;   /* by task id */
        Record *dirty;     /* those to be written */
        uint64_t rows[64]; /* first of their rows since this turn, see rows.h */
        size_t n_rows;
        uint64_t n_offers_made; /* numbers the offers */

        bool starting; /* no offers yet: runners known from before may still come back (decisions.md 17) */
        uint64_t attach_until_us; /* CLOCK_BOOTTIME: so long may they come back */
        uint64_t n_turns;         /* this one is, from 1 */
        bool turn_wanted;
        unsigned n_served;      /* peers, since it was wanted */
        bool write_wanted;      /* at the end of this turn; what is said until then waits for it */
        bool write_due;         /* likewise, but nobody waits for it */
        bool sync_wanted;       /* and to the disk (decisions.md 16) */
        int store_error;        /* why it can't be written: negative errno; 0: it can */
        bool write_failed;      /* in this turn: what agents were to be told may not be so */
        bool drain_dirty;       /* whether the machine is drained is to be written */
        uint64_t pasts_boot_us; /* when what users had was written last */
        bool ending;            /* what is written now is the last */
        uint64_t look_interval_us; /* that runners were told last */
        SteadyClock purge_clock;

        /* for method_status(): since the start */
        uint64_t started_at_us, settings_at_us; /* CLOCK_REALTIME */
        char *settings_text; /* why they could not be read again; NULL: they could */
        uint64_t n_submitted, n_started;
        uint64_t n_ended[N_TASK_STATES]; /* tasks and elements, no arrays */

        sd_event_source *turn_source;   /* runs once after the messages of a turn */
        sd_event_source *sample_source; /* looks regularly while something waits */
        sd_event_source *wake_source;   /* when time alone changes the plan */
        sd_event_source *starting_source;
        sd_event_source *judge_source;
        sd_event_source *
                write_source; /* writes what could wait a little, or again after the disk was full */
        sd_event_source *idle_source;
        sd_event_source *purge_source;
};

/* What a daemon is made of; the strings are copied. */
typedef struct DaemonOptions {
        const char *settings_path; /* NULL: defaults alone */
        bool settings_required;    /* the file was named by hand and must be there */
        bool personal;             /* its owner's alone */
        const char *state_dir;     /* exists and is locked by us */
        bool recover;              /* take over what can be read of a damaged database */
} DaemonOptions;

/**
 * daemon_new() - with settings, state and the tasks of last time; nothing is listened on yet
 *
 * Return: 0, or negative errno with @error.
 */
int daemon_new(Daemon **ret, const DaemonOptions *options, Error *error);
Daemon *daemon_free(Daemon *daemon);
DEFINE_CLEANUP(Daemon *, daemon_free);

/* Reads the settings again; keeps what was if they are wrong, and says so. */
void daemon_reload(Daemon *daemon);

/* Something changed that may let a task start, or must be written: a turn follows the messages that are there. */
void daemon_want_turn(Daemon *daemon);

/* A peer was served: the turn that is wanted must not wait for ever for a moment without messages. */
void daemon_hurry_turn(Daemon *daemon);

/*
 * Looks, plans and carries out now. Used at the end of a turn, and to answer a Submit with its grant. @now_boot_us: for the first plan;
 * what was fresh then is fresh for it.
 */
void daemon_plan(Daemon *daemon, uint64_t now_boot_us);

/* Applies a look at RAM to the core. */
void daemon_look_at_ram(Daemon *daemon);

/* How often running tasks are to be measured now. */
uint64_t daemon_look_interval_us(const Daemon *daemon);

/* Ends the daemon if there is nothing to do for anybody; called when the last task or peer went. */
void daemon_check_idle(Daemon *daemon);

/* turn.c */
int daemon_turn_init(Daemon *daemon);

/* Whether figures of the GPUs are fresh enough to start a task by at that time. */
bool daemon_gpus_are_fresh(const Daemon *daemon, uint64_t now_boot_us);

/* health.c */
void daemon_health(const Daemon *daemon, Health *ret);

/* gpus.c: the callback of the watch */
void daemon_on_gpus(const GpuReport *report, const char *why, uint64_t ticket, void *userdata);

/* Whether a task sees its GPUs alone: its own word, or the setting pin_gpus. */
bool daemon_pins(const Daemon *daemon, const Task *task);

/* An event for the core, of now, about a task. */
Event daemon_event(EventType type, uint64_t task_id);
