/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * There is at most one probe process. Its life:
 *
 *    ABSENT ──ask──► ALIVE ──deadline, nonsense, idle, other sources──► ENDING ──reaped──► ABSENT
 *
 * A probe that is ENDING was killed, but may sit in a driver call that nothing interrupts; then it
 * stays so, and no other one is started beside it.
 *
 * An answer is wanted from gpu_watch_ask() until somebody was asked for it, and again when that one
 * failed. While one is wanted, pursue() does whatever the state allows, so each handler only says
 * what happened and calls it. Nobody who asks is left without a word: when a look fails, or when
 * one cannot begin now, the callback says once that the GPUs are unknown. It comes from the loop,
 * never out of gpu_watch_ask().
 */

#include "daemon/gpu-watch.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>

#include "probe/gpu-process.h"
#include "util/cleanup.h"

/* Who waits for a GPU is to have it within 10 s of the driver's return. */
#define BACK_OFF_MAX_US (4 * US_PER_SEC)

/*
 * A process that somebody traces ends for its tracer first: its descriptor says that it ended, and
 * waiting for it does not.
 */
#define REAP_AGAIN_US (100 * US_PER_MSEC)

enum {
        /* One that was killed needs milliseconds to be gone, unless it hangs: a second in all. */
        FREE_STEP_MS = 2,
        FREE_TRIES = 500,
        WHY_MAX = 240,
        FIRST_ANSWER_FACTOR = 3,
        PATIENT_AFTER = 8, /* failures in a row */
};

static const char probe_program[] = "/proc/self/exe"; /* ourselves, also after an upgrade */

static const GpuWatchTimes default_times = {
        .first_answer_us = 90 * US_PER_SEC, /* initialising takes seconds for each GPU */
        .answer_us = 5 * US_PER_SEC,
        .idle_us = 60 * US_PER_SEC,
        .back_off_us = 1 * US_PER_SEC,
};

typedef enum ProbeState {
        PROBE_STATE_ABSENT,
        PROBE_STATE_ALIVE,
        PROBE_STATE_ENDING,
} ProbeState;

struct GpuWatch {
        sd_event *event;
        char *library; /* NVML's */
        gpu_watch_fn on_report;
        void *userdata;
        GpuWatchTimes times;

        ProbeState state;
        GpuProcessHandle probe;
        sd_event_source *report_source; /* ALIVE, until its pipe ends */
        sd_event_source *end_source;    /* ALIVE, ENDING */
        bool has_answered;              /* this probe, once */
        bool ended_well;                /* ENDING because we wanted it: it will be quick */

        bool is_asking; /* a look is under way, for `ticket` */
        uint64_t ticket;
        bool is_wanted; /* a look is to begin, for `wanted_ticket` */
        uint64_t wanted_ticket;
        bool was_told;     /* those who want it know that the GPUs are unknown */
        char why[WHY_MAX]; /* they are */
        bool is_idle;

        uint64_t asked_us;   /* CLOCK_MONOTONIC: when the look began that is under way */
        uint64_t first_us;   /* the longest that a probe needed for its first answer; 0: none yet */
        unsigned n_failures; /* in a row */
        uint64_t back_off_us;   /* 0: the last probe did well */
        uint64_t next_start_us; /* CLOCK_MONOTONIC */

        sd_event_source *deadline_source;
        sd_event_source *retry_source;
        sd_event_source *idle_source;
        sd_event_source *tell_source;
        sd_event_source *reap_source;
};

static void pursue(GpuWatch *watch);

static void set_why(GpuWatch *watch, const char *fmt, ...) _printf_(2, 3);
static void set_why(GpuWatch *watch, const char *fmt, ...) {
        va_list args;

        va_start(args, fmt);
        (void)vsnprintf(watch->why, sizeof(watch->why), fmt, args);
        va_end(args);
}

static uint64_t now_us(const GpuWatch *watch) {
        uint64_t now = 0;

        (void)sd_event_now(watch->event, CLOCK_MONOTONIC, &now);
        return now;
}

/* The longer the time the less it matters when exactly it is over, and fewer wake-ups are better. */
static void arm(sd_event_source *timer, uint64_t after_us) {
        (void)sd_event_source_set_time_accuracy(timer, MAX(after_us / 16, UINT64_C(1)));
        (void)sd_event_source_set_time_relative(timer, after_us);
        (void)sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void disarm(sd_event_source *source) {
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

/*
 * How long an answer may take. A first one initialises GPUs, for which a driver that was never seen
 * to do it has all the time there is. One that was needs about as long again: what takes longer
 * hangs, and the sooner it is replaced the sooner the GPUs are back. But once in a while, the more
 * rarely the longer it goes on, it has all the time again, lest we end it each time that it would
 * have come.
 */
static uint64_t limit_us(const GpuWatch *watch) {
        const GpuWatchTimes *times = &watch->times;
        unsigned n = watch->n_failures;

        if (watch->has_answered)
                return times->answer_us;
        if (watch->first_us == 0 || (n >= PATIENT_AFTER && (n & (n - 1)) == 0))
                return times->first_answer_us;
        return MIN(MAX(times->answer_us, FIRST_ANSWER_FACTOR * watch->first_us),
                   times->first_answer_us);
}

static void tell(GpuWatch *watch) {
        if (watch->was_told)
                return;
        watch->was_told = true;
        (void)sd_event_source_set_enabled(watch->tell_source, SD_EVENT_ONESHOT);
}

static void want(GpuWatch *watch, uint64_t ticket) {
        watch->is_wanted = true;
        watch->wanted_ticket = ticket;
}

/*
 * Whoever wanted what was under way wants it still. A newer wish stands already where there is one.
 */
static void want_again(GpuWatch *watch) {
        if (watch->is_asking && !watch->is_wanted)
                want(watch, watch->ticket);
        watch->is_asking = false;
}

static void end_probe(GpuWatch *watch) {
        assert(watch->state == PROBE_STATE_ALIVE);

        watch->report_source = sd_event_source_disable_unref(watch->report_source);
        disarm(watch->deadline_source);
        disarm(watch->idle_source);
        gpu_process_stop(&watch->probe);
        watch->state = PROBE_STATE_ENDING;
}

/* The probe could not start, or failed; watch->why says how. */
static void fail(GpuWatch *watch) {
        if (watch->is_asking || watch->state == PROBE_STATE_ALIVE)
                watch->was_told = false; /* of this failure */
        want_again(watch);
        watch->n_failures++;
        watch->back_off_us = watch->back_off_us == 0 ? watch->times.back_off_us :
                                                       MIN(watch->back_off_us * 2, BACK_OFF_MAX_US);
        watch->next_start_us = now_us(watch) + watch->back_off_us;

        if (watch->state == PROBE_STATE_ALIVE) {
                end_probe(watch);
                watch->ended_well = false;
        }
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        GpuWatch *watch = userdata;

        if (watch->state == PROBE_STATE_ENDING) {
                set_why(watch, "the GPU driver does not let go of the former probe");
                watch->ended_well = false;
        } else {
                set_why(watch, "the GPU driver has not answered for %u s",
                        (unsigned)(limit_us(watch) / US_PER_SEC));
                fail(watch);
        }
        pursue(watch);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        pursue(userdata);
        return 0;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        GpuWatch *watch = userdata;

        end_probe(watch);
        watch->ended_well = true;
        return 0;
}

static int on_tell(sd_event_source *source, void *userdata) {
        GpuWatch *watch = userdata;

        watch->on_report(NULL, watch->why, watch->wanted_ticket, watch->userdata);
        return 0;
}

/* Nobody needs GPUs: let the probe go in a while. */
static void arm_idle(GpuWatch *watch) {
        if (watch->is_idle && watch->state == PROBE_STATE_ALIVE && !watch->is_asking)
                arm(watch->idle_source, watch->times.idle_us);
}

static void take_report(GpuWatch *watch, const GpuReport *report) {
        disarm(watch->deadline_source);
        disarm(watch->tell_source);
        watch->is_asking = false;
        if (!watch->has_answered)
                watch->first_us = MAX(watch->first_us, now_us(watch) - watch->asked_us + 1);
        watch->has_answered = true;
        watch->was_told = false;
        watch->n_failures = 0;
        watch->back_off_us = 0;
        watch->next_start_us = 0;

        watch->on_report(report, report->text, watch->ticket, watch->userdata);
        pursue(watch);
        arm_idle(watch);
}

static int on_report_fd(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_free_ GpuReport *report = NULL;
        GpuWatch *watch = userdata;
        int r;

        r = gpu_process_receive(&watch->probe, &report);
        if (r == GPU_PROCESS_E_AGAIN)
                return 0;
        if (r == GPU_PROCESS_E_GONE) {
                /* Its end comes next and tells why; if it lives on, its deadline comes. */
                watch->report_source = sd_event_source_disable_unref(watch->report_source);
                return 0;
        }
        if (r == 0 && watch->is_asking) {
                take_report(watch, report);
                return 0;
        }

        if (r < 0)
                set_why(watch, "cannot read from the GPU probe: %s", strerror(-r));
        else
                set_why(watch, "the GPU probe sent what makes no sense");
        fail(watch);
        pursue(watch);
        return 0;
}

static void note_end(GpuWatch *watch) {
        int status = watch->probe.wait_status;

        if (WIFSIGNALED(status))
                set_why(watch, "the GPU probe was ended by SIG%s: a fault of the driver's library?",
                        sigabbrev_np(WTERMSIG(status)));
        else
                set_why(watch, "the GPU probe ended by itself, with status %d",
                        WEXITSTATUS(status));
        fail(watch);
}

static void try_reap(GpuWatch *watch) {
        /* Reaping closes both descriptors: they must have left the loop. */
        disarm(watch->end_source);
        watch->report_source = sd_event_source_disable_unref(watch->report_source);
        if (!gpu_process_reap(&watch->probe)) {
                arm(watch->reap_source, REAP_AGAIN_US);
                return;
        }

        if (watch->state == PROBE_STATE_ALIVE)
                note_end(watch);
        disarm(watch->deadline_source);
        watch->end_source = sd_event_source_disable_unref(watch->end_source);
        watch->state = PROBE_STATE_ABSENT;
        pursue(watch);
}

static int on_end(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        try_reap(userdata);
        return 0;
}

static int on_reap_again(sd_event_source *source, uint64_t usec, void *userdata) {
        try_reap(userdata);
        return 0;
}

static int add_sources(GpuWatch *watch) {
        int r;

        r = sd_event_add_io(watch->event, &watch->report_source, watch->probe.report_fd, EPOLLIN,
                            on_report_fd, watch);
        if (r < 0)
                return r;
        r = sd_event_add_io(watch->event, &watch->end_source, watch->probe.pid_fd, EPOLLIN, on_end,
                            watch);
        if (r < 0)
                return r;

        (void)sd_event_source_set_description(watch->report_source, "gpu-watch-report");
        (void)sd_event_source_set_description(watch->end_source, "gpu-watch-end");
        /* What it still sent comes before its end. */
        return sd_event_source_set_priority(watch->end_source, SD_EVENT_PRIORITY_NORMAL + 1);
}

/* Kill it, and leave no zombie unless it hangs in the driver. */
static void end_for_good(GpuProcessHandle *probe) {
        gpu_process_stop(probe);
        for (int i = 0; i < FREE_TRIES && !gpu_process_reap(probe); i++)
                (void)poll(NULL, 0, FREE_STEP_MS);
        probe->pid_fd = fd_close(probe->pid_fd);
}

static int start(GpuWatch *watch) {
        int r;

        r = gpu_process_start(&watch->probe, probe_program,
                              &(GpuSources){ .nvml_library = watch->library });
        if (r < 0)
                return r;
        r = add_sources(watch);
        if (r < 0) {
                /*
                 * Out of memory or descriptors. It waits for its first request, so it dies at once.
                 */
                watch->report_source = sd_event_source_disable_unref(watch->report_source);
                watch->end_source = sd_event_source_disable_unref(watch->end_source);
                end_for_good(&watch->probe);
                return r;
        }

        watch->state = PROBE_STATE_ALIVE;
        watch->has_answered = false;
        return 0;
}

/* Ask the probe that is ALIVE. */
static void begin_look(GpuWatch *watch) {
        int r;

        watch->ticket = watch->wanted_ticket;
        watch->is_wanted = false;
        watch->is_asking = true;
        disarm(watch->idle_source);

        r = gpu_process_ask(&watch->probe);
        if (r < 0) {
                set_why(watch, "cannot ask the GPU probe: %s", strerror(-r));
                fail(watch);
                tell(watch);
                return;
        }
        watch->asked_us = now_us(watch);
        arm(watch->deadline_source, limit_us(watch));
}

/* Start a probe, unless the back-off says later. */
static void begin_probe(GpuWatch *watch) {
        uint64_t now = now_us(watch);
        int r;

        if (now >= watch->next_start_us) {
                r = start(watch);
                if (r >= 0) {
                        begin_look(watch);
                        return;
                }
                set_why(watch, "cannot start the GPU probe: %s", strerror(-r));
                fail(watch);
        }

        arm(watch->retry_source, watch->next_start_us - now);
        tell(watch);
}

/* Do what can be done now for an answer that is wanted. */
static void pursue(GpuWatch *watch) {
        if (!watch->is_wanted || watch->is_asking)
                return;

        switch (watch->state) {
        case PROBE_STATE_ABSENT:
                begin_probe(watch);
                break;
        case PROBE_STATE_ALIVE:
                begin_look(watch);
                break;
        case PROBE_STATE_ENDING:
                if (watch->ended_well)
                        arm(watch->deadline_source, watch->times.answer_us);
                else
                        tell(watch);
                break;
        }
}

/* A timer that is off. It exists from the start, so that arming it later cannot fail. */
static int add_timer(GpuWatch *watch,
                     sd_event_source **ret,
                     sd_event_time_handler_t handler,
                     const char *name) {
        int r;

        r = sd_event_add_time(watch->event, ret, CLOCK_MONOTONIC, UINT64_MAX, 0, handler, watch);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(*ret, name);
        return sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int add_own_sources(GpuWatch *watch) {
        int r;

        r = add_timer(watch, &watch->deadline_source, on_deadline, "gpu-watch-deadline");
        if (r < 0)
                return r;
        r = add_timer(watch, &watch->retry_source, on_retry, "gpu-watch-retry");
        if (r < 0)
                return r;
        r = add_timer(watch, &watch->idle_source, on_idle, "gpu-watch-idle");
        if (r < 0)
                return r;
        r = add_timer(watch, &watch->reap_source, on_reap_again, "gpu-watch-reap");
        if (r < 0)
                return r;
        r = sd_event_add_defer(watch->event, &watch->tell_source, on_tell, watch);
        if (r < 0)
                return r;
        (void)sd_event_source_set_description(watch->tell_source, "gpu-watch-tell");
        return sd_event_source_set_enabled(watch->tell_source, SD_EVENT_OFF);
}

int gpu_watch_new(GpuWatch **ret,
                  sd_event *event,
                  const GpuSources *sources,
                  gpu_watch_fn on_report,
                  void *userdata) {
        _cleanup_(gpu_watch_freep) GpuWatch *watch = NULL;
        int r;

        watch = calloc(1, sizeof(*watch));
        if (!watch)
                return -ENOMEM;
        watch->event = sd_event_ref(event);
        watch->probe = GPU_PROCESS_HANDLE_NULL;
        watch->on_report = on_report;
        watch->userdata = userdata;
        watch->times = default_times;
        watch->is_idle = true;
        watch->library = strdup(sources->nvml_library);
        if (!watch->library)
                return -ENOMEM;

        r = add_own_sources(watch);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(watch);
        return 0;
}

GpuWatch *gpu_watch_free(GpuWatch *watch) {
        if (!watch)
                return NULL;

        sd_event_source_disable_unref(watch->report_source);
        sd_event_source_disable_unref(watch->end_source);
        sd_event_source_disable_unref(watch->deadline_source);
        sd_event_source_disable_unref(watch->retry_source);
        sd_event_source_disable_unref(watch->idle_source);
        sd_event_source_disable_unref(watch->tell_source);
        sd_event_source_disable_unref(watch->reap_source);

        end_for_good(&watch->probe);
        sd_event_unref(watch->event);
        free(watch->library);
        free(watch);
        return NULL;
}

int gpu_watch_ask(GpuWatch *watch, uint64_t ticket) {
        watch->is_idle = false;
        disarm(watch->idle_source);
        want(watch, ticket);
        pursue(watch);
        return 0;
}

bool gpu_watch_is_asking(const GpuWatch *watch) {
        return watch->is_asking || (watch->is_wanted && !watch->was_told);
}

void gpu_watch_idle(GpuWatch *watch) {
        if (watch->is_idle)
                return;
        watch->is_idle = true;
        watch->is_wanted = false;
        disarm(watch->retry_source);
        if (watch->state == PROBE_STATE_ENDING)
                disarm(watch->deadline_source);
        arm_idle(watch);
}

int gpu_watch_set_sources(GpuWatch *watch, const GpuSources *sources) {
        char *copy;

        if (strcmp(watch->library, sources->nvml_library) == 0)
                return 0;
        copy = strdup(sources->nvml_library);
        if (!copy)
                return -ENOMEM;
        free(watch->library);
        watch->library = copy;

        /* What the former one did is nothing to hold against this one. */
        watch->first_us = 0;
        watch->n_failures = 0;
        watch->back_off_us = 0;
        watch->next_start_us = 0;
        disarm(watch->retry_source);
        want_again(watch);
        if (watch->state == PROBE_STATE_ALIVE) {
                end_probe(watch);
                watch->ended_well = true;
        }
        pursue(watch);
        return 0;
}

void gpu_watch_set_times(GpuWatch *watch, const GpuWatchTimes *times) {
        watch->times = *times;
}
