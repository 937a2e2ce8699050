/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "daemon/pasts.h"

#include <errno.h>
#include <stdlib.h>

#include "util/cleanup.h"
#include "util/clock.h"

#define PUT_EVERY_US (60 * US_PER_SEC)

int pasts_load(Daemon *daemon) {
        _cleanup_free_ UserPast *pasts = calloc(CORE_USERS_MAX, sizeof(*pasts));
        uint64_t now_us = clock_realtime_us();
        ssize_t n;

        if (!pasts)
                return -ENOMEM;
        n = store_get_pasts(daemon->store, pasts, CORE_USERS_MAX);
        for (ssize_t i = 0; i < n; i++) {
                Event event = daemon_event(EVENT_HISTORY, 0);
                int r;

                event.history.uid = pasts[i].uid;
                event.history.had = pasts[i].had;
                event.history.age_us = now_us > pasts[i].at_us ? now_us - pasts[i].at_us : 0;
                r = core_apply(daemon->core, &event);
                if (r < 0)
                        return r;
        }
        return n < 0 ? (int)n : 0;
}

int pasts_put(Daemon *daemon, bool now) {
        _cleanup_free_ UserView *views = NULL;
        _cleanup_free_ UserPast *pasts = NULL;
        uint64_t boot_us = clock_boottime_us(), at_us = clock_realtime_us();
        size_t n = 0;
        ssize_t n_views;

        if (!now && boot_us - daemon->pasts_boot_us < PUT_EVERY_US)
                return 0;
        n_views = core_view_users(daemon->core, boot_us, &views);
        if (n_views < 0)
                return (int)n_views;
        pasts = calloc((size_t)n_views + 1, sizeof(*pasts));
        if (!pasts)
                return -ENOMEM;

        for (ssize_t i = 0; i < n_views; i++)
                if (views[i].had > 0)
                        pasts[n++] = (UserPast){ views[i].uid, views[i].had, at_us };
        daemon->pasts_boot_us = boot_us;
        if (n == 0)
                return 0; /* what is there was more, and fades by itself */
        return store_put_pasts(daemon->store, pasts, n);
}
