/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/gpu-probe.h"

#include <assert.h>
#include <poll.h>
#include <sys/epoll.h>

#include "util/fd.h"
#include "util/macro.h"

enum {
        /* One that was killed needs milliseconds to be gone, unless it hangs: a second in all. */
        FREE_STEP_MS = 2,
        FREE_TRIES = 500,
};

static const char probe_program[] = "/proc/self/exe"; /* ourselves, also after an upgrade */

void probe_mute(Probe *probe) {
        probe->report_source = sd_event_source_disable_unref(probe->report_source);
}

static int add_sources(Probe *probe, sd_event *event, const ProbeHandlers *handlers) {
        int r;

        r = sd_event_add_io(event, &probe->report_source, probe->process.report_fd, EPOLLIN,
                            handlers->on_report, handlers->userdata);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &probe->end_source, probe->process.pid_fd, EPOLLIN,
                            handlers->on_end, handlers->userdata);
        if (r < 0)
                return r;

        (void)sd_event_source_set_description(probe->report_source, "gpu-probe-report");
        (void)sd_event_source_set_description(probe->end_source, "gpu-probe-end");
        return sd_event_source_set_priority(probe->end_source, SD_EVENT_PRIORITY_NORMAL + 1);
}

int probe_start(Probe *probe,
                sd_event *event,
                const GpuSources *sources,
                const ProbeHandlers *handlers) {
        int r;

        assert(probe->state == PROBE_STATE_ABSENT);

        *probe = PROBE_NULL;
        r = gpu_process_start(&probe->process, probe_program, sources);
        if (r < 0)
                return r;
        r = add_sources(probe, event, handlers);
        if (r < 0) {
                /* Out of memory or descriptors. It waits for its first request: it dies at once. */
                probe_end_for_good(probe);
                return r;
        }
        probe->state = PROBE_STATE_ALIVE;
        return 0;
}

void probe_end(Probe *probe, bool well) {
        assert(probe->state == PROBE_STATE_ALIVE);

        probe_mute(probe);
        gpu_process_stop(&probe->process);
        probe->state = PROBE_STATE_ENDING;
        probe->ended_well = well;
}

bool probe_reap(Probe *probe) {
        /* Reaping closes both descriptors: they must have left the loop. */
        (void)sd_event_source_set_enabled(probe->end_source, SD_EVENT_OFF);
        probe_mute(probe);
        probe->has_ended = !gpu_process_reap(&probe->process);
        if (probe->has_ended)
                return false;

        probe->end_source = sd_event_source_disable_unref(probe->end_source);
        probe->state = PROBE_STATE_ABSENT;
        return true;
}

void probe_end_for_good(Probe *probe) {
        probe_mute(probe);
        probe->end_source = sd_event_source_disable_unref(probe->end_source);
        gpu_process_stop(&probe->process);
        for (int i = 0; i < FREE_TRIES && !gpu_process_reap(&probe->process); i++)
                (void)poll(NULL, 0, FREE_STEP_MS);
        probe->process.pid_fd = fd_close(probe->process.pid_fd);
        probe->state = PROBE_STATE_ABSENT;
}
