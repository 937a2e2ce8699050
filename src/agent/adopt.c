/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What starts of an earlier agent's time have come to, by their records. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/conversation.h"
#include "agent/epoch.h"
#include "agent/keeper.h"
#include "agent/orders.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"

enum {
        NOBODY = 1, /* who keeps what was claimed by an agent: init, which keeps no tasks */
};

#define ADOPT_AGAIN_US     (50 * US_PER_MSEC)
#define GARBAGE_US         (2 * US_PER_SEC) /* for a keeper that has claimed its record to write it */
#define UNTAKEN_US         (60 * US_PER_SEC) /* for a nursery that cannot fork */
#define TAKE_BACK_AGAIN_US US_PER_SEC        /* when no claim could be made */
#define WATCH_AGAIN_US     US_PER_SEC        /* when descriptors are short */

/* What its record says now. */
int run_read_record(const Run *run, Record *ret) {
        char name[RECORD_NAME_MAX];

        record_file_name(run->ref, run->attempt, name);
        return record_file_read(run->agent->run_fd, name, ret);
}

static bool record_is_of_this_boot(const Record *record) {
        char boot_id[BOOT_ID_SIZE];

        return boot_id_read(boot_id) < 0 || strcmp(boot_id, record->keeper.boot_id) == 0;
}

/* Its keeper lives: watches it, and whether it has started its command. */
static void adopt_keeper(Run *run, const Record *record, int fd) {
        run->keeper = record->keeper.pid;
        run_watch(run, fd);
        if (record->has_command)
                run_note_running(run, record->pid, record->pid_start_ticks);
        else
                run->phase = RUN_PHASE_STARTING;
        if (run->cancelled)
                run_cancel(run, run->cancel_signal);
}

/* Its keeper is gone: the end that it wrote, the command, or nothing is left. */
static void adopt_orphan(Run *run, Record *record) {
        int fd, r;

        run->keeper_gone = true;
        /* What we have read may be from before its end. */
        r = run_read_record(run, record);
        if (r == 0 && record->state == RECORD_STATE_ENDED) {
                run->end = record->end;
                run->phase = RUN_PHASE_ENDED;
                return;
        }
        run->pid = record->pid;
        run->pid_start_ticks = record->pid_start_ticks;
        fd = r < 0 && r != -ENOENT ? r : run_open_pidfd(run);
        if (fd != -ESRCH) {
                run_watch(run, fd);
                run_note_running(run, run->pid, run->pid_start_ticks);
                return;
        }
        run_finish_lost(run, record->has_command ? "its keeper was gone when it ended" :
                                                   "it could not be started: its keeper was gone");
}

/* Claims a start that will not happen. Return: as record_file_create(). */
static int claim(Agent *agent, uint64_t ref, unsigned attempt) {
        _cleanup_close_ int fd = -1;
        ProcId nobody = { .pid = NOBODY };

        (void)boot_id_read(nobody.boot_id);
        return record_file_create(&fd, agent->run_fd, ref, attempt, &nobody);
}

/*
 * Whether nothing was written to its record since the machine came up: what a power cut has left of it. If the clock was set since
 * then, it is waited for.
 */
static bool is_from_before_boot(const Run *run) {
        uint64_t up_at_us = clock_realtime_us() - clock_boottime_us();
        char name[RECORD_NAME_MAX];
        struct stat st;

        record_file_name(run->ref, run->attempt, name);
        return fstatat(run->agent->run_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               (uint64_t)st.st_ctim.tv_sec * US_PER_SEC < up_at_us - MIN(up_at_us, US_PER_SEC);
}

/* Return: pidfd; -ESRCH: it is gone; or another negative errno: it can't be looked at. */
static int open_keeper(const Record *record, bool by_pid_alone) {
        _cleanup_close_ int fd = pidfd_open(record->keeper.pid, 0);

        if (fd < 0)
                return -errno;
        return by_pid_alone || proc_id_is_alive(&record->keeper) ? TAKE_FD(fd) : -ESRCH;
}

void run_adopt(Run *run, Record *record) {
        int fd;

        if (record->state != RECORD_STATE_GARBAGE && record->keeper.pid == NOBODY) {
                run->phase = RUN_PHASE_CLAIMED;
                run->agent->n_claimed++;
                return;
        }
        run->adopted = true;
        if (record->state == RECORD_STATE_ENDED) {
                run->end = record->end;
                run->noted = true;
                run->phase = RUN_PHASE_ENDED;
                return;
        }
        if (record->state == RECORD_STATE_GARBAGE && is_from_before_boot(run)) {
                run->keeper_gone = true;
                run_finish_lost(run, "the machine went down");
                return;
        }
        if (record->state == RECORD_STATE_GARBAGE) { /* perhaps it is read while it is recycled */
                run->phase = RUN_PHASE_STARTING;
                run->ordered_boot_us = clock_boottime_us();
                return;
        }
        if (!record_is_of_this_boot(record)) {
                run->keeper_gone = true;
                run_finish_lost(run, "the machine went down");
                return;
        }
        fd = open_keeper(record, false);
        if (fd != -ESRCH)
                adopt_keeper(run, record, fd);
        else
                adopt_orphan(run, record);
}

/* What could not be watched for want of descriptors: how far it is by now, and whether it can be. */
static void watch_again(Run *run) {
        Record record = {};
        int fd, r;

        r = run_read_record(run, &record);
        if (r == 0 && record.state == RECORD_STATE_ENDED) {
                run->end = record.end;
                run->noted = true;
                run_finish(run, RUN_PHASE_ENDED);
                return;
        }
        if (r == -ENOENT) /* its keeper is about to make it, or is gone */
                record.keeper.pid = run->keeper;
        else if (r < 0 || record.state == RECORD_STATE_GARBAGE)
                return;
        fd = run->keeper_gone ? -ESRCH : open_keeper(&record, r == -ENOENT);
        if (fd == -ESRCH) {
                run_on_keeper_gone(run);
                return;
        }
        run->keeper = record.keeper.pid;
        if (fd >= 0 && run->cancelled &&
            keeper_cancel(fd, run->ref, run->attempt, run->cancel_signal) >= 0)
                run->cancelled = false;
        run_watch(run, fd);
}

/* It was given back, and its keeper has yet to come to that, or to end; and nobody watches it. */
static bool is_unwatched_claim(const Run *run) {
        return run->phase == RUN_PHASE_CLAIMED && run->unwatched && run->row && !run->row->over;
}

static bool has_unwatched_claims(const Agent *agent) {
        for (const Run *head = agent->n_claimed > 0 ? agent->runs : NULL; head;
             head = head->hh.next)
                for (const Run *run = head; run; run = run->older)
                        if (is_unwatched_claim(run))
                                return true;
        return false;
}

static void watch_claims_again(Agent *agent) {
        for (Run *head = agent->n_claimed > 0 ? agent->runs : NULL; head; head = head->hh.next)
                for (Run *run = head; run; run = run->older) {
                        int fd;

                        if (!is_unwatched_claim(run))
                                continue;
                        fd = open_keeper(&(Record){ .keeper.pid = run->keeper }, true);
                        if (fd == -ESRCH)
                                row_note_over(run);
                        else
                                run_watch(run, fd);
                }
}

/* One from an earlier agent's time, whose keeper's news went to that one: its record has the same. */
static void look_at_record(Run *run) {
        Conversation *conversation = run->agent->conversation;
        Record record = {};

        if (run_read_record(run, &record) < 0)
                return;
        if (record.state == RECORD_STATE_GARBAGE) {
                if (clock_boottime_us() - run->ordered_boot_us > GARBAGE_US)
                        run_finish_lost(run, "its record can't be read");
                return;
        }
        if (run->keeper == 0)
                run_adopt(run, &record);
        else if (record.has_command)
                run_note_running(run, record.pid, record.pid_start_ticks);
        if (run->phase == RUN_PHASE_RUNNING &&
            conversation_state(conversation) == CONVERSATION_READY)
                conversation_resume(conversation, run->ref, run->attempt, true);
        else if (run->phase == RUN_PHASE_ENDED)
                run_finish(run, RUN_PHASE_ENDED);
}

void run_note_untaken(Run *run) {
        run->keeper = 0;
        run->ordered_boot_us = 1; /* long ago */
        adopt_arrange(run->agent);
}

int run_claim_back(Run *run) {
        int r;

        r = claim(run->agent, run->ref, run->attempt);
        if (r != 0)
                return r;
        run->phase = RUN_PHASE_CLAIMED;
        run->agent->n_claimed++;
        conversation_resume(run->agent->conversation, run->ref, run->attempt, false);
        return 0;
}

/*
 * No keeper has said that it took the order: one that died before that leaves nothing, and any other is kept from it. Not by the claim
 * alone: it may come to that when the task has been started again, and is over.
 */
static void take_back_order(Run *run) {
        Record record = {};
        Error error = {};
        int r;

        if (run->keeper != 0 || run->ordering || run->ordered_boot_us == 0 ||
            clock_boottime_us() - run->ordered_boot_us < UNTAKEN_US)
                return;
        if (epoch_begin(run->agent->folder, 0, &run->agent->epoch, &error) < 0) {
                say_warning("%s", error.text);
                run->ordered_boot_us = clock_boottime_us(); /* and not again each second */
                return;
        }
        r = run_claim_back(run);
        if (r == RECORD_FILE_E_EXISTS && run_read_record(run, &record) == 0)
                run_adopt(run, &record);
        else if (r == 0)
                say_warning("task %" PRIu64
                            " was not started, since no keeper took it: it waits again",
                            task_ref_id(run->ref));
}

static int on_adopt(sd_event_source *source, uint64_t usec, void *userdata) {
        Agent *agent = userdata;
        Run *run, *next;

        orders_send(agent);
        HASH_ITER(hh, agent->runs, run, next) {
                if (run->unwatched && run_is_live(run))
                        watch_again(run);
                else if (run->phase != RUN_PHASE_STARTING)
                        continue;
                else if (run->adopted)
                        look_at_record(run);
                else
                        take_back_order(run);
        }
        watch_claims_again(agent);
        adopt_arrange(agent);
        return 0;
}

/* How long until take_back_order() may take its order back. */
static uint64_t untaken_for_us(const Run *run, uint64_t now_boot_us) {
        uint64_t until_us = run->ordered_boot_us + UNTAKEN_US;

        if (run->ordered_boot_us == 0)
                return UNTAKEN_US;
        return until_us > now_boot_us ? until_us - now_boot_us : TAKE_BACK_AGAIN_US;
}

void adopt_arrange(Agent *agent) {
        uint64_t now_us = clock_boottime_us();
        uint64_t in_us =
                agent->ordering || has_unwatched_claims(agent) ? WATCH_AGAIN_US : UINT64_MAX;

        for (const Run *run = agent->runs; run; run = run->hh.next)
                if (run->unwatched && run_is_live(run))
                        in_us = MIN(in_us, WATCH_AGAIN_US);
                else if (run->phase == RUN_PHASE_STARTING && (run->adopted || run->keeper == 0))
                        in_us = MIN(in_us,
                                    run->adopted ? ADOPT_AGAIN_US : untaken_for_us(run, now_us));
        if (in_us == UINT64_MAX)
                return;
        (void)sd_event_source_set_time_relative(agent->adopt_source, in_us);
        (void)sd_event_source_set_enabled(agent->adopt_source, SD_EVENT_ONESHOT);
}

/* Return: 0; -ENOENT: there is none; or another negative errno. */
static int load(Agent *agent, uint64_t ref, unsigned attempt, Run **ret) {
        char name[RECORD_NAME_MAX];
        Record record;
        Run *run;
        int r;

        record_file_name(ref, attempt, name);
        r = record_file_read(agent->run_fd, name, &record);
        if (r < 0)
                return r;
        run = run_new(agent, ref, attempt);
        if (!run)
                return -ENOMEM;
        run_adopt(run, &record);
        *ret = run;
        return 0;
}

Run *run_load(Agent *agent, uint64_t ref, unsigned attempt) {
        Run *run;

        if (load(agent, ref, attempt, &run) < 0)
                return NULL;
        adopt_arrange(agent);
        return run;
}

static int load_name(Agent *agent, const char *name) {
        unsigned attempt;
        bool left = false;
        uint64_t ref;
        Run *run;
        int r;

        if (record_file_parse_name(name, &ref, &attempt) < 0) {
                if (record_file_is_unfinished(name, &left) && left)
                        (void)unlinkat(agent->run_fd, name, 0);
                else if (!record_file_is_recycled(name) && !record_file_is_unfinished(name, &left))
                        say_warning("'%s/run/%s' is no record: left alone", agent->folder, name);
                return 0;
        }
        r = load(agent, ref, attempt, &run);
        return r == -ENOENT ? 0 : r;
}

int runs_load(Agent *agent) {
        _cleanup_close_ int fd = -1;
        struct dirent *entry;
        DIR *dir;
        int r = 0;

        fd = openat(agent->run_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir)
                return -errno;
        (void)TAKE_FD(fd); /* the stream's now */
        r = sd_event_add_time_relative(agent->event, &agent->adopt_source, CLOCK_MONOTONIC,
                                       ADOPT_AGAIN_US, 0, on_adopt, agent);
        if (r >= 0)
                r = sd_event_source_set_enabled(agent->adopt_source, SD_EVENT_OFF);
        while (r >= 0 && (errno = 0, entry = readdir(dir)))
                if (entry->d_name[0] != '.')
                        r = load_name(agent, entry->d_name);
        if (r >= 0 && errno != 0)
                r = -errno;
        (void)closedir(dir);
        adopt_arrange(agent);
        return r;
}

int run_claim(Agent *agent, uint64_t ref, unsigned attempt) {
        Run *run = run_find(agent, ref, attempt);
        int r;

        if (run)
                return run->phase == RUN_PHASE_CLAIMED ? 0 : RECORD_FILE_E_EXISTS;
        r = claim(agent, ref, attempt);
        if (r != 0)
                return r;
        run = run_new(agent, ref, attempt);
        if (!run)
                return -ENOMEM;
        run->phase = RUN_PHASE_CLAIMED;
        agent->n_claimed++;
        return 0;
}
