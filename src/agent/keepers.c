/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * How a start ended is told by three, and the first one counts: the keeper's news; its record, when it is gone; and when there is no
 * end in that either, that nobody will ever know.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/resource.h>

#include "agent/conversation.h"
#include "agent/orders.h"
#include "agent/runs.h"
#include "agent/say.h"
#include "util/cleanup.h"
#include "util/fd.h"

#define KILL_AFTER_US (10 * US_PER_SEC) /* interface.md */

enum {
        KEPT_FDS_MAX = 32,
};

/* Some are kept for records, the daemon and people. */
static unsigned n_kept_fds(void) {
        struct rlimit limit = { 0 };

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        return (unsigned)MIN(limit.rlim_cur / 2, (rlim_t)KEPT_FDS_MAX);
}

void run_stop_watching(Run *run) {
        run->watch_source = sd_event_source_disable_unref(run->watch_source);
        run->watch_fd = fd_close(run->watch_fd);
}

int run_open_pidfd(const Run *run) {
        _cleanup_close_ int fd = -1;
        uint64_t ticks;
        int r;

        if (run->pid == 0)
                return -ESRCH;
        fd = pidfd_open(run->pid, 0);
        if (fd < 0)
                return -errno;
        r = proc_start_ticks(run->pid, &ticks, NULL);
        if (r < 0 || ticks != run->pid_start_ticks)
                return r < 0 ? r : -ESRCH;
        return TAKE_FD(fd);
}

/* The keeper has ended: its record says how its command did, or the command lives on without it. */
void run_on_keeper_gone(Run *run) {
        Record record = {};
        int fd, r;

        run_stop_watching(run);
        row_note_over(run);
        run->keeper_gone = true;
        r = run_read_record(run, &record);
        if (r < 0 && r != -ENOENT) {
                run_watch(run, r);
                return;
        }
        if (r == 0 && record.state == RECORD_STATE_ENDED) {
                run->end = record.end;
                run_finish(run, RUN_PHASE_ENDED);
                return;
        }
        if (r == -ENOENT && run->sent) { /* the next of a row, to which it did not come */
                run->keeper_gone = false;
                run->keeper = 0;
                run->sent = false;
                run_start(run);
                return;
        }
        if (r == 0 && record.has_command && run->pid == 0)
                run_note_running(run, record.pid, record.pid_start_ticks);
        fd = run_open_pidfd(run);
        if (fd != -ESRCH)
                run_watch(run, fd);
        else
                run_finish_lost(run, run->pid != 0 ?
                                             "its keeper was gone when it ended" :
                                             "it could not be started: its keeper was gone");
}

static int on_watched_end(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Run *run = userdata;

        if (run->phase == RUN_PHASE_CLAIMED) {
                run_stop_watching(run);
                row_note_over(run);
        } else if (run->keeper_gone) {
                run_finish_lost(run, "its keeper was gone when it ended");
        } else {
                run_on_keeper_gone(run);
        }
        return 0;
}

void run_move_watch(Run *run, Run *next) {
        run_stop_watching(next);
        next->watch_fd = TAKE_FD(run->watch_fd);
        next->watch_source = TAKE_PTR(run->watch_source);
        if (next->watch_source)
                (void)sd_event_source_set_userdata(next->watch_source, next);
}

void run_hand_over(Run *run, Run *next) {
        next->phase = RUN_PHASE_STARTING;
        next->keeper = run->keeper;
        next->unwatched = run->unwatched;
        run_move_watch(run, next);
        if (next->cancelled)
                run_cancel(next, next->cancel_signal);
}

void run_watch(Run *run, int fd) {
        int r;

        run_stop_watching(run);
        run->unwatched = fd < 0 || fd_is_short_of(fd, n_kept_fds());
        if (run->unwatched) {
                if (fd >= 0)
                        (void)fd_close(fd);
                adopt_arrange(run->agent);
                return;
        }
        run->watch_fd = fd;
        r = sd_event_add_io(run->agent->event, &run->watch_source, fd, EPOLLIN, on_watched_end,
                            run);
        if (r < 0)
                say_error("the keeper of task %" PRIu64 " can't be watched: %s",
                          task_ref_id(run->ref), strerror(-r));
        /* After its news, which were sent before it ended. */
        if (r >= 0)
                (void)sd_event_source_set_priority(run->watch_source,
                                                   SD_EVENT_PRIORITY_NORMAL + 10);
}

static int on_kill(sd_event_source *source, uint64_t usec, void *userdata) {
        Run *run = userdata;

        (void)pidfd_send_signal(run->watch_fd, SIGKILL, NULL, 0);
        return 0;
}

/* Of those that its keeper knew only the command itself can be found. */
static void cancel_without_keeper(Run *run, int signal) {
        (void)pidfd_send_signal(run->watch_fd, signal != 0 ? signal : SIGTERM, NULL, 0);
        (void)pidfd_send_signal(run->watch_fd, SIGCONT, NULL, 0);
        if (!run->kill_source)
                (void)sd_event_add_time_relative(run->agent->event, &run->kill_source,
                                                 CLOCK_MONOTONIC, KILL_AFTER_US, 0, on_kill, run);
}

void run_cancel(Run *run, int signal) {
        int r;

        if (!run_is_live(run))
                return;
        run->cancelled = true;
        run->cancel_signal = signal;
        if (run->watch_fd < 0)
                return; /* as soon as it has a keeper */
        if (run->keeper_gone) {
                cancel_without_keeper(run, signal);
                return;
        }
        r = keeper_cancel(run->watch_fd, run->ref, run->attempt, signal);
        if (r < 0 && r != -ESRCH)
                say_error("the keeper of task %" PRIu64 " can't be told to end it: %s",
                          task_ref_id(run->ref), strerror(-r));
}

static void on_taken(Run *run, const KeeperNews *news, int *fd) {
        if (run->phase != RUN_PHASE_STARTING)
                return;
        run->keeper = news->pid;
        run_watch(run, *fd >= 0 ? TAKE_FD(*fd) : -EMFILE); /* there was none to receive it with */
        if (run->cancelled)
                run_cancel(run, run->cancel_signal);
}

static void on_started(Run *run, const KeeperNews *news, int *fd) {
        if (run->phase != RUN_PHASE_STARTING)
                return;
        run_note_running(run, news->pid, news->start_ticks);
        run->started_fd = TAKE_FD(*fd);
        tell_later(run);
}

static void on_claimed(Run *run) {
        Record record = {};
        int r;

        if (run->phase != RUN_PHASE_STARTING)
                return;
        run_stop_watching(run);
        r = run_read_record(run, &record);
        if (r == 0)
                run_adopt(run, &record);
        else if (r == -ENOENT)
                run_note_untaken(run);
        else
                run_finish_lost(run, "it could not be started: its record can't be read");
        if (run->phase == RUN_PHASE_ENDED)
                run_finish(run, RUN_PHASE_ENDED);
        adopt_arrange(run->agent);
}

static void on_news(Agent *agent, const KeeperNews *news, int *fd) {
        Run *run = run_find(agent, news->ref, news->attempt);

        if (!run)
                return;
        if (news->type == KEEPER_NEWS_CLAIMED ||
            (news->type == KEEPER_NEWS_ENDED && !news->goes_on))
                row_note_over(run);
        switch (news->type) {
        case KEEPER_NEWS_TAKEN:
                on_taken(run, news, fd);
                return;
        case KEEPER_NEWS_CLAIMED:
                on_claimed(run);
                return;
        case KEEPER_NEWS_STARTED:
                on_started(run, news, fd);
                return;
        case KEEPER_NEWS_ENDED:
                if (!run_is_live(run))
                        return;
                run->end = news->end;
                run->noted = news->recorded;
                run->goes_on = news->goes_on;
                run_finish(run, RUN_PHASE_ENDED);
                return;
        }
}

/* It would have to be forked from what we have become: rather all begins anew, as after our own end. */
static int begin_anew(Agent *agent) {
        say_error("the process that starts tasks was killed: starting again");
        agent->restart = true;
        return sd_event_exit(agent->event, 0);
}

static int on_nursery(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Agent *agent = userdata;
        int r;

        do {
                _cleanup_close_ int news_fd = -1;
                KeeperNews news;

                r = nursery_next(agent->nursery, &news, &news_fd);
                if (r == 0)
                        on_news(agent, &news, &news_fd);
        } while (r == 0);
        if (r == NURSERY_E_GONE)
                return begin_anew(agent);
        if (r < 0) {
                say_error("cannot hear of keepers: %s", strerror(-r));
                return r;
        }
        orders_send(agent);
        tell_due(agent);
        agent_want_turn(agent);
        return 0;
}

static int on_nursery_gone(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        return begin_anew(userdata);
}

int runs_watch_nursery(Agent *agent) {
        int r;

        r = sd_event_add_io(agent->event, &agent->nursery_source, nursery_fd(agent->nursery),
                            EPOLLIN, on_nursery, agent);
        if (r < 0)
                return r;
        (void)sd_event_source_set_exit_on_failure(agent->nursery_source, true);
        return sd_event_add_io(agent->event, &agent->nursery_gone_source,
                               nursery_pidfd(agent->nursery), EPOLLIN, on_nursery_gone, agent);
}
