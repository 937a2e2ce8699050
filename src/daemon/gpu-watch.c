/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * There is one probe process that is asked (daemon/gpu-probe.h), and at times an elder one beside it. A first answer initialises
 * GPUs, which may take seconds for each, or never come: nothing tells the one from the other. So a probe that does not answer for
 * a while becomes the elder and has all the time there is, while another one is started. Whichever answers first is the one from
 * then on, and the other is ended. What hangs in the driver is thus two processes, and never more.
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
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/gpu-probe.h"
#include "util/cleanup.h"

/* Who waits for a GPU is to have it within 10 s of the driver's return. */
#define BACK_OFF_MAX_US (4 * US_PER_SEC)

/*
 * A process that somebody traces ends for its tracer first: its descriptor says that it ended, and
 * waiting for it does not.
 */
#define REAP_AGAIN_US (100 * US_PER_MSEC)

enum {
        WHY_MAX = 240,
        FIRST_ANSWER_FACTOR = 3,
};

static const GpuWatchTimes default_times = {
        .first_answer_us = 90 * US_PER_SEC, /* initialising takes seconds for each GPU */
        .answer_us = 5 * US_PER_SEC,
        .idle_us = 60 * US_PER_SEC,
        .back_off_us = 1 * US_PER_SEC,
};

struct GpuWatch {
        sd_event *event;
        char *library; /* NVML's */
        gpu_watch_fn on_report;
        void *userdata;
        GpuWatchTimes times;

        Probe probes[2];
        Probe *probe; /* that is asked */
        Probe *elder; /* that was asked for its first answer before, and has not answered yet */

        bool is_asking; /* a look is under way, for `ticket` */
        uint64_t ticket;
        bool is_wanted; /* a look is to begin, for `wanted_ticket` */
        uint64_t wanted_ticket;
        bool was_told;     /* those who want it know that the GPUs are unknown */
        char why[WHY_MAX]; /* they are */
        bool is_idle;

        uint64_t first_us; /* the longest that a probe needed for its first answer; 0: none yet */
        bool is_late;      /* the last one that should have given its first answer did not */
        uint64_t back_off_us;   /* 0: the last probe did well */
        uint64_t next_start_us; /* CLOCK_MONOTONIC */

        sd_event_source *deadline_source;
        sd_event_source *elder_source; /* the deadline of the elder */
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

/* How long an answer may take until another probe is tried. */
static uint64_t limit_us(const GpuWatch *watch) {
        const GpuWatchTimes *times = &watch->times;

        return watch->probe->has_answered ?
                       times->answer_us :
                       MIN(MAX(times->answer_us, watch->first_us), times->first_answer_us);
}

/*
 * How long a first answer may take in all. A driver that was never seen to give one has all the time there is. One that was needs
 * about as long again: what takes longer hangs. If it was wrong to think so the next one has all the time.
 */
static uint64_t first_limit_us(const GpuWatch *watch) {
        const GpuWatchTimes *times = &watch->times;

        if (watch->first_us == 0 || watch->is_late)
                return times->first_answer_us;
        return MIN(MAX(times->answer_us, FIRST_ANSWER_FACTOR * watch->first_us),
                   times->first_answer_us);
}

/* The first answer may come yet, so that there is nothing to tell. */
static bool is_patient(const GpuWatch *watch) {
        return watch->elder->state == PROBE_STATE_ALIVE && !watch->is_late;
}

static void tell(GpuWatch *watch) {
        if (watch->was_told || is_patient(watch))
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

static void end_probe(GpuWatch *watch, bool well) {
        disarm(watch->deadline_source);
        disarm(watch->idle_source);
        probe_end(watch->probe, well);
}

static void end_elder(GpuWatch *watch) {
        disarm(watch->elder_source);
        if (watch->elder->state == PROBE_STATE_ALIVE)
                probe_end(watch->elder, false);
}

/* The probe could not start, or failed; watch->why says how. */
static void fail(GpuWatch *watch) {
        if (watch->is_asking || watch->probe->state == PROBE_STATE_ALIVE)
                watch->was_told = false; /* of this failure */
        want_again(watch);
        watch->back_off_us = watch->back_off_us == 0 ? watch->times.back_off_us :
                                                       MIN(watch->back_off_us * 2, BACK_OFF_MAX_US);
        watch->next_start_us = now_us(watch) + watch->back_off_us;

        if (watch->probe->state == PROBE_STATE_ALIVE)
                end_probe(watch, false);
}

/* The elder has failed; watch->why says how. */
static void fail_elder(GpuWatch *watch) {
        end_elder(watch);
        watch->was_told = false;
        tell(watch);
}

static void swap_probes(GpuWatch *watch) {
        Probe *probe = watch->probe;

        watch->probe = watch->elder;
        watch->elder = probe;
}

static void set_late(GpuWatch *watch, uint64_t after_us) {
        set_why(watch, "the GPU driver has not answered for %u s",
                (unsigned)(after_us / US_PER_SEC));
}

/* The time is over in which an answer mostly comes. */
static void give_up(GpuWatch *watch) {
        uint64_t so_far_us = limit_us(watch), most_us = first_limit_us(watch);

        if (!watch->probe->has_answered && so_far_us < most_us &&
            watch->elder->state == PROBE_STATE_ABSENT) {
                swap_probes(watch);
                arm(watch->elder_source, most_us - so_far_us);
                want_again(watch);
                return;
        }
        set_late(watch, so_far_us);
        watch->is_late |= !watch->probe->has_answered && so_far_us >= most_us;
        fail(watch);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        GpuWatch *watch = userdata;

        if (watch->probe->state == PROBE_STATE_ENDING) {
                set_why(watch, "the GPU driver does not let go of the former probe");
                watch->probe->ended_well = false;
        } else {
                give_up(watch);
        }
        pursue(watch);
        return 0;
}

static int on_elder_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        GpuWatch *watch = userdata;

        set_late(watch, first_limit_us(watch));
        watch->is_late = true;
        fail_elder(watch);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        pursue(userdata);
        return 0;
}

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        GpuWatch *watch = userdata;

        end_probe(watch, true);
        return 0;
}

/* Who wanted an answer has one. */
static void rest(GpuWatch *watch) {
        watch->is_wanted = false;
        disarm(watch->retry_source);
        if (watch->probe->state == PROBE_STATE_ENDING)
                disarm(watch->deadline_source);
}

static int on_tell(sd_event_source *source, void *userdata) {
        GpuWatch *watch = userdata;

        watch->on_report(NULL, watch->why, watch->wanted_ticket, watch->userdata);
        if (watch->is_idle)
                rest(watch);
        return 0;
}

/* Nobody needs GPUs: let the probe go in a while. */
static void arm_idle(GpuWatch *watch) {
        if (watch->is_idle && watch->probe->state == PROBE_STATE_ALIVE && !watch->is_asking)
                arm(watch->idle_source, watch->times.idle_us);
}

static void take_report(GpuWatch *watch, const GpuReport *report) {
        disarm(watch->deadline_source);
        disarm(watch->tell_source);
        end_elder(watch);
        watch->is_asking = false;
        if (!watch->probe->has_answered)
                watch->first_us = MAX(watch->first_us, now_us(watch) - watch->probe->asked_us + 1);
        watch->probe->has_answered = true;
        watch->was_told = false;
        watch->is_late = false;
        watch->back_off_us = 0;
        watch->next_start_us = 0;

        watch->on_report(report, report->text, watch->ticket, watch->userdata);
        pursue(watch);
        arm_idle(watch);
}

/* The elder answers after all: whom we tried meanwhile is not needed. */
static void take_elder_report(GpuWatch *watch, const GpuReport *report) {
        want_again(watch);
        swap_probes(watch);
        watch->is_asking = true;
        watch->ticket = watch->probe->ticket;
        if (watch->wanted_ticket == watch->ticket)
                watch->is_wanted = false;
        take_report(watch, report);
}

static int on_report_fd(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_free_ GpuReport *report = NULL;
        GpuWatch *watch = userdata;
        Probe *probe;
        int r;

        probe = source == watch->elder->report_source ? watch->elder : watch->probe;
        r = gpu_process_receive(&probe->process, &report);
        if (r == GPU_PROCESS_E_AGAIN)
                return 0;
        if (r == GPU_PROCESS_E_GONE) {
                /* Its end comes next and tells why; if it lives on, its deadline comes. */
                probe_mute(probe);
                return 0;
        }
        if (r == 0 && probe == watch->elder) {
                take_elder_report(watch, report);
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
        if (probe == watch->elder)
                fail_elder(watch);
        else
                fail(watch);
        pursue(watch);
        return 0;
}

static void set_end(GpuWatch *watch, int wait_status) {
        if (WIFSIGNALED(wait_status))
                set_why(watch, "the GPU probe was ended by SIG%s: a fault of the driver's library?",
                        sigabbrev_np(WTERMSIG(wait_status)));
        else
                set_why(watch, "the GPU probe ended by itself, with status %d",
                        WEXITSTATUS(wait_status));
}

static void try_reap(GpuWatch *watch, Probe *probe) {
        bool was_alive = probe->state == PROBE_STATE_ALIVE;

        if (!probe_reap(probe)) {
                arm(watch->reap_source, REAP_AGAIN_US);
                return;
        }

        if (was_alive)
                set_end(watch, probe->process.wait_status);
        if (was_alive && probe == watch->elder)
                fail_elder(watch);
        if (was_alive && probe == watch->probe)
                fail(watch);
        if (probe == watch->probe)
                disarm(watch->deadline_source);
        pursue(watch);
}

static int on_end(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        GpuWatch *watch = userdata;

        try_reap(watch, source == watch->elder->end_source ? watch->elder : watch->probe);
        return 0;
}

static int on_reap_again(sd_event_source *source, uint64_t usec, void *userdata) {
        GpuWatch *watch = userdata;

        for (size_t i = 0; i < ELEMENTSOF(watch->probes); i++)
                if (watch->probes[i].has_ended)
                        try_reap(watch, &watch->probes[i]);
        return 0;
}

/* Ask the probe that is ALIVE. */
static void begin_look(GpuWatch *watch) {
        int r;

        watch->ticket = watch->wanted_ticket;
        watch->is_wanted = false;
        watch->is_asking = true;
        disarm(watch->idle_source);

        r = gpu_process_ask(&watch->probe->process);
        if (r < 0) {
                set_why(watch, "cannot ask the GPU probe: %s", strerror(-r));
                fail(watch);
                tell(watch);
                return;
        }
        watch->probe->asked_us = now_us(watch);
        watch->probe->ticket = watch->ticket;
        arm(watch->deadline_source, limit_us(watch));
}

/* Start a probe, unless the back-off says later. */
static void begin_probe(GpuWatch *watch) {
        const ProbeHandlers handlers = { on_report_fd, on_end, watch };
        uint64_t now = now_us(watch);
        int r;

        if (now >= watch->next_start_us) {
                r = probe_start(watch->probe, watch->event,
                                &(GpuSources){ .nvml_library = watch->library }, &handlers);
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

        switch (watch->probe->state) {
        case PROBE_STATE_ABSENT:
                begin_probe(watch);
                break;
        case PROBE_STATE_ALIVE:
                begin_look(watch);
                break;
        case PROBE_STATE_ENDING:
                if (watch->probe->ended_well)
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
        r = add_timer(watch, &watch->elder_source, on_elder_deadline, "gpu-watch-elder");
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
        watch->probes[0] = watch->probes[1] = PROBE_NULL;
        watch->probe = &watch->probes[0];
        watch->elder = &watch->probes[1];
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

        sd_event_source_disable_unref(watch->deadline_source);
        sd_event_source_disable_unref(watch->elder_source);
        sd_event_source_disable_unref(watch->retry_source);
        sd_event_source_disable_unref(watch->idle_source);
        sd_event_source_disable_unref(watch->tell_source);
        sd_event_source_disable_unref(watch->reap_source);

        for (size_t i = 0; i < ELEMENTSOF(watch->probes); i++)
                probe_end_for_good(&watch->probes[i]);
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
        if (watch->was_told)
                rest(watch);
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
        watch->is_late = false;
        watch->back_off_us = 0;
        watch->next_start_us = 0;
        disarm(watch->retry_source);
        want_again(watch);
        end_elder(watch);
        if (watch->probe->state == PROBE_STATE_ALIVE)
                end_probe(watch, true);
        pursue(watch);
        return 0;
}

void gpu_watch_set_times(GpuWatch *watch, const GpuWatchTimes *times) {
        watch->times = *times;
}
