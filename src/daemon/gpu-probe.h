#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * One probe process on the loop
 *
 *    ABSENT ──start──► ALIVE ──end──► ENDING ──reaped──► ABSENT
 *                        └────────── died ──────────────────┘
 *
 * One that is ENDING was killed, but may sit in a driver call that nothing interrupts; then it stays so.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "probe/gpu-process.h"

typedef enum ProbeState {
        PROBE_STATE_ABSENT,
        PROBE_STATE_ALIVE,
        PROBE_STATE_ENDING,
} ProbeState;

typedef struct Probe {
        ProbeState state;
        GpuProcessHandle process;
        sd_event_source *report_source; /* ALIVE, until its pipe ends */
        sd_event_source *end_source;    /* ALIVE, ENDING */
        bool has_answered;              /* once */
        bool ended_well;                /* ENDING because we wanted it: it will be quick */
        bool has_ended;                 /* its end was seen, but not reaped yet */
        uint64_t asked_us;              /* CLOCK_MONOTONIC: its last look */
        uint64_t ticket;                /* of that */
} Probe;

#define PROBE_NULL ((Probe){ .process = GPU_PROCESS_HANDLE_NULL })

/* @userdata is theirs; the probe is where it was started. */
typedef struct ProbeHandlers {
        sd_event_io_handler_t on_report;
        sd_event_io_handler_t on_end; /* comes after what it still sent */
        void *userdata;
} ProbeHandlers;

/* One that is ABSENT. Return: 0, or negative errno; it is ABSENT still. */
int probe_start(Probe *probe,
                sd_event *event,
                const GpuSources *sources,
                const ProbeHandlers *handlers);

/* One that is ALIVE. */
void probe_end(Probe *probe, bool well);

/* One that has ended, be it ALIVE. Return: false if it can't be reaped yet. */
bool probe_reap(Probe *probe);

/* No more reports are wanted of it, or there are none. */
void probe_mute(Probe *probe);

/* In whatever state it is: it is killed, and no zombie is left unless it hangs in the driver. */
void probe_end_for_good(Probe *probe);
