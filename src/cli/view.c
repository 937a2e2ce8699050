/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/view.h"

#include <stdio.h>

#include "cli/command.h"
#include "util/cleanup.h"
#include "util/clock.h"

enum {
        USER_MAX = 64,
};

uint64_t view_now_boot_us(const Reply *reply) {
        return reply->boot_us > 0 ? reply->boot_us : clock_boottime_us();
}

const char *view_reason(const TaskView *view,
                        uint64_t now_boot_us,
                        char buf[static VIEW_SENTENCE_MAX]) {
        if (!view->has_explain || !view->explain)
                return view->task->reason;

        explain_sentence(view->explain, now_boot_us, cli_user_name, NULL, buf, VIEW_SENTENCE_MAX);
        return buf;
}

int view_print_json(const TaskView *view, uint64_t now_boot_us) {
        _cleanup_free_ char *json = NULL;
        char sentence[VIEW_SENTENCE_MAX];
        char user[USER_MAX];
        int r;

        r = task_view_json(view, cli_user_name(view->task->uid, user, sizeof(user), NULL),
                           view_reason(view, now_boot_us, sentence), &json);
        if (r < 0)
                return r;

        (void)fputs(json, stdout);
        return 0;
}
