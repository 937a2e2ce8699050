/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include <systemd/sd-event.h>

#include "links.h"
#include "system.h"
#include "world.h"

typedef enum SourceType {
        SOURCE_IO,
        SOURCE_TIME,
        SOURCE_DEFER,
} SourceType;

struct sd_event_source {
        SourceType type;
        sd_event_source *next;
        sd_event_source **pprev;
        int enabled;
        int64_t priority;
        int fd;
        uint32_t events;
        uint64_t boot_us;
        sd_event_io_handler_t on_io;
        sd_event_time_handler_t on_time;
        sd_event_handler_t on_defer;
        void *userdata;
};

static struct {
        sd_event_source *first;
        bool exited;
} loop;

void loop_begin(void) {
        loop.exited = false;
}

bool loop_has_exited(void) {
        return loop.exited;
}

/* -- sd-event -- */

int sd_event_new(sd_event **event) {
        *event = (sd_event *)&loop;
        return 0;
}

sd_event *sd_event_unref(sd_event *event) {
        return NULL;
}

int sd_event_exit(sd_event *event, int code) {
        loop.exited = true;
        return 0;
}

static sd_event_source *source_new(SourceType type, void *userdata) {
        sd_event_source *source = calloc(1, sizeof(*source));

        if (!source)
                abort();
        source->type = type;
        source->userdata = userdata;
        source->enabled = type == SOURCE_IO ? SD_EVENT_ON : SD_EVENT_ONESHOT;
        source->next = loop.first;
        source->pprev = &loop.first;
        if (source->next)
                source->next->pprev = &source->next;
        loop.first = source;
        return source;
}

int sd_event_add_io(sd_event *event,
                    sd_event_source **source,
                    int fd,
                    uint32_t events,
                    sd_event_io_handler_t callback,
                    void *userdata) {
        sd_event_source *added = source_new(SOURCE_IO, userdata);

        added->fd = fd;
        added->events = events;
        added->on_io = callback;
        *source = added;
        return 0;
}

/* NOLINTBEGIN(readability-function-size): they take what systemd's take */
int sd_event_add_time(sd_event *event,
                      sd_event_source **source,
                      clockid_t clock,
                      uint64_t usec,
                      uint64_t accuracy,
                      sd_event_time_handler_t callback,
                      void *userdata) {
        sd_event_source *added = source_new(SOURCE_TIME, userdata);

        added->boot_us = usec;
        added->on_time = callback;
        *source = added;
        return 0;
}

int sd_event_add_time_relative(sd_event *event,
                               sd_event_source **source,
                               clockid_t clock,
                               uint64_t usec,
                               uint64_t accuracy,
                               sd_event_time_handler_t callback,
                               void *userdata) {
        return sd_event_add_time(event, source, clock, world_boot_us() + usec, accuracy, callback,
                                 userdata);
}

/* NOLINTEND(readability-function-size) */

int sd_event_add_defer(sd_event *event,
                       sd_event_source **source,
                       sd_event_handler_t callback,
                       void *userdata) {
        sd_event_source *added = source_new(SOURCE_DEFER, userdata);

        added->on_defer = callback;
        *source = added;
        return 0;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *source) {
        if (!source)
                return NULL;
        *source->pprev = source->next;
        if (source->next)
                source->next->pprev = source->pprev;
        free(source);
        return NULL;
}

int sd_event_source_set_description(sd_event_source *source, const char *description) {
        return 0;
}

int sd_event_source_set_exit_on_failure(sd_event_source *source, int b) {
        return 0;
}

int sd_event_source_set_enabled(sd_event_source *source, int enabled) {
        if (source)
                source->enabled = enabled;
        return 0;
}

int sd_event_source_get_enabled(sd_event_source *source, int *enabled) {
        if (!source)
                return -EINVAL;
        *enabled = source->enabled;
        return source->enabled != SD_EVENT_OFF;
}

int sd_event_source_set_time(sd_event_source *source, uint64_t usec) {
        if (source)
                source->boot_us = usec;
        return 0;
}

int sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec) {
        return sd_event_source_set_time(source, world_boot_us() + usec);
}

int sd_event_source_set_io_events(sd_event_source *source, uint32_t events) {
        if (source)
                source->events = events;
        return 0;
}

int sd_event_source_set_priority(sd_event_source *source, int64_t priority) {
        if (source)
                source->priority = priority;
        return 0;
}

/* -- the loop -- */

static uint32_t ready_events(const sd_event_source *source) {
        if (source->fd >= FD_PIDFD)
                return proc_is_alive((Proc)(source->fd - FD_PIDFD)) ? 0 : EPOLLIN;
        return links_events(source->fd) & (source->events | EPOLLHUP | EPOLLERR);
}

/* When it is due, on the daemon's clock; 0: at once. */
static uint64_t due_us(const sd_event_source *source) {
        if (source->enabled == SD_EVENT_OFF)
                return UINT64_MAX;
        switch (source->type) {
        case SOURCE_DEFER:
                return 0;
        case SOURCE_TIME:
                return source->boot_us;
        case SOURCE_IO:
                break;
        }
        if (ready_events(source) != 0)
                return 0;
        if (source->fd >= FD_PIDFD || links_next_us(source->fd) <= world.now_us ||
            links_next_us(source->fd) == UINT64_MAX)
                return UINT64_MAX;
        return world_boot_us() + (links_next_us(source->fd) - world.now_us);
}

uint64_t loop_next_us(void) {
        uint64_t next_us = UINT64_MAX, now_us = world_boot_us();

        for (const sd_event_source *source = loop.first; source; source = source->next)
                next_us = MIN(next_us, due_us(source));
        if (next_us == UINT64_MAX)
                return UINT64_MAX;
        return world.now_us + (next_us > now_us ? next_us - now_us : 0);
}

bool loop_dispatch(void) {
        sd_event_source *chosen = NULL;
        unsigned n = 0;

        for (sd_event_source *source = loop.first; source; source = source->next) {
                if (due_us(source) > world_boot_us() ||
                    (chosen && source->priority > chosen->priority))
                        continue;
                if (!chosen || source->priority < chosen->priority)
                        n = 0;
                if (rng_below(&world.rng, ++n) == 0)
                        chosen = source;
        }
        if (!chosen)
                return false;
        if (chosen->enabled == SD_EVENT_ONESHOT)
                chosen->enabled = SD_EVENT_OFF;
        switch (chosen->type) {
        case SOURCE_DEFER:
                (void)chosen->on_defer(chosen, chosen->userdata);
                break;
        case SOURCE_TIME:
                (void)chosen->on_time(chosen, chosen->boot_us, chosen->userdata);
                break;
        case SOURCE_IO:
                (void)chosen->on_io(chosen, chosen->fd, ready_events(chosen), chosen->userdata);
                break;
        }
        return true;
}
