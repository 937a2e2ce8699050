/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/ref.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/task.h"

enum {
        MAX_SHOWN = 40, /* of a word that is refused */
};

/* The number that @p begins with, and what stands behind it. One that is too large becomes @max + 1. */
static int read_number(const char **p, uint64_t max, uint64_t *ret) {
        const char *s = *p;
        uint64_t value = 0;

        if (*s < '0' || *s > '9' || (*s == '0' && s[1] >= '0' && s[1] <= '9'))
                return -EINVAL;

        for (; *s >= '0' && *s <= '9'; s++) {
                value = value * 10 + (uint64_t)(*s - '0');
                if (value > max)
                        value = max + 1;
        }

        *p = s;
        *ret = value;
        return 0;
}

static int refuse(Error *error, const char *s) {
        return error_set(error, -EINVAL, "'%.*s' is no task: they are written 12, or 12_3",
                         MAX_SHOWN, s);
}

int task_ref_parse(const char *s, uint64_t *ret, Error *error) {
        const char *p = s;
        uint64_t id, index = 0;
        bool is_element;

        if (read_number(&p, TASK_ID_MAX, &id) < 0 || id == 0)
                return refuse(error, s);
        is_element = *p == '_';
        if (is_element) {
                p++;
                if (read_number(&p, TASK_INDEX_MAX, &index) < 0)
                        return refuse(error, s);
        }
        if (*p != '\0')
                return refuse(error, s);

        if (id > TASK_ID_MAX)
                return error_set(error, -ERANGE, "'%.*s': no task has an id above %" PRIu64,
                                 MAX_SHOWN, s, TASK_ID_MAX);
        if (index > TASK_INDEX_MAX)
                return error_set(error, -ERANGE, "'%.*s': no element has an index above %d",
                                 MAX_SHOWN, s, TASK_INDEX_MAX);

        *ret = task_ref(id, is_element ? (int64_t)index : -1);
        return 0;
}

char *task_ref_format(char *buf, size_t n, uint64_t ref) {
        int64_t index = task_ref_index(ref);

        if (index < 0)
                (void)snprintf(buf, n, "%" PRIu64, task_ref_id(ref));
        else
                (void)snprintf(buf, n, "%" PRIu64 "_%" PRId64, task_ref_id(ref), index);
        return buf;
}
