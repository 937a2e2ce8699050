/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/index-set.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/macro.h"

enum {
        RANGE_TEXT_MAX = 24, /* "4294967295-4294967295," and the NUL */
        MESSAGE_WORD_MAX = 40,
};

void index_set_done(IndexSet *set) {
        free(set->ranges);
        *set = (IndexSet){};
}

int index_set_copy(IndexSet *ret, const IndexSet *set) {
        IndexSet copy = {};

        if (set->n > 0) {
                copy.ranges = reallocarray(NULL, set->n, sizeof(IndexRange));
                if (!copy.ranges)
                        return -ENOMEM;
                memcpy(copy.ranges, set->ranges, set->n * sizeof(IndexRange));
                copy.n = set->n;
        }

        *ret = copy;
        return 0;
}

/* How many ranges end before @index. */
static size_t n_before(const IndexSet *set, uint32_t index) {
        size_t low = 0, high = set->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (set->ranges[middle].last < index)
                        low = middle + 1;
                else
                        high = middle;
        }

        return low;
}

/* Makes room for one more range at a place. */
static int open_gap(IndexSet *set, size_t at) {
        IndexRange *ranges = reallocarray(set->ranges, set->n + 1, sizeof(IndexRange));

        if (!ranges)
                return -ENOMEM;

        memmove(ranges + at + 1, ranges + at, (set->n - at) * sizeof(IndexRange));
        set->ranges = ranges;
        set->n++;
        return 0;
}

/* Drops the ranges from @at to before @end. */
static void close_gap(IndexSet *set, size_t at, size_t end) {
        memmove(set->ranges + at, set->ranges + end, (set->n - end) * sizeof(IndexRange));
        set->n -= end - at;
        if (set->n == 0)
                index_set_done(set);
}

int index_set_add(IndexSet *set, uint32_t first, uint32_t last) {
        size_t at = n_before(set, first > 0 ? first - 1 : 0); /* one that ends at first - 1 grows */
        size_t end = at;
        int r;

        while (end < set->n &&
               (set->ranges[end].first <= last || set->ranges[end].first - 1 == last))
                end++;

        if (end == at) {
                r = open_gap(set, at);
                if (r < 0)
                        return r;
                set->ranges[at] = (IndexRange){ first, last };
                return 0;
        }

        set->ranges[at].first = MIN(set->ranges[at].first, first);
        set->ranges[at].last = MAX(set->ranges[end - 1].last, last);
        close_gap(set, at + 1, end);
        return 0;
}

int index_set_remove(IndexSet *set, uint32_t index) {
        size_t at = n_before(set, index);
        IndexRange *range;
        int r;

        if (!index_set_contains(set, index))
                return -ENOENT;

        range = &set->ranges[at];
        if (range->first == range->last) {
                close_gap(set, at, at + 1);
                return 0;
        }
        if (index == range->first) {
                range->first++;
                return 0;
        }
        if (index == range->last) {
                range->last--;
                return 0;
        }

        r = open_gap(set, at);
        if (r < 0)
                return r;
        set->ranges[at].last = index - 1;
        set->ranges[at + 1].first = index + 1;
        return 0;
}

bool index_set_contains(const IndexSet *set, uint32_t index) {
        size_t at = n_before(set, index);

        return at < set->n && set->ranges[at].first <= index;
}

uint64_t index_set_count(const IndexSet *set) {
        uint64_t n = 0;

        for (size_t i = 0; i < set->n; i++)
                n += (uint64_t)set->ranges[i].last - set->ranges[i].first + 1;

        return n;
}

int64_t index_set_next(const IndexSet *set, uint32_t from) {
        size_t at = n_before(set, from);

        return at == set->n ? -1 : (int64_t)MAX(set->ranges[at].first, from);
}

/* -- in words -- */

/* The number at *s, which then points behind it. */
static int parse_number(const char **s, uint32_t max, uint32_t *ret, Error *error) {
        const char *start = *s;
        size_t n = strspn(start, "0123456789");
        uint64_t value = 0;

        if (n == 0)
                return error_set(error, -EINVAL, "'%.*s' is no set of numbers; write 0-9 or 1,2,5",
                                 MESSAGE_WORD_MAX, start);

        for (size_t i = 0; i < n && value <= max; i++)
                value = value * 10 + (uint64_t)(start[i] - '0');
        if (value > max)
                return error_set(error, -ERANGE, "'%.*s' is too large: at most %" PRIu32,
                                 (int)MIN(n, (size_t)MESSAGE_WORD_MAX), start, max);

        *s = start + n;
        *ret = (uint32_t)value;
        return 0;
}

static int parse_range(const char **s, uint32_t max, IndexRange *ret, Error *error) {
        const char *start = *s;
        int r;

        r = parse_number(s, max, &ret->first, error);
        if (r < 0)
                return r;
        ret->last = ret->first;
        if (**s != '-')
                return 0;

        (*s)++;
        r = parse_number(s, max, &ret->last, error);
        if (r < 0)
                return r;
        if (ret->last < ret->first)
                return error_set(error, -EINVAL, "'%.*s' ends before it begins",
                                 (int)MIN(*s - start, (ptrdiff_t)MESSAGE_WORD_MAX), start);
        return 0;
}

static int by_first(const void *a, const void *b) {
        const IndexRange *x = a, *y = b;

        return x->first < y->first ? -1 : x->first > y->first;
}

/* Sorts ranges of any kind and joins those that touch or overlap: how many are left. */
static size_t join_ranges(IndexRange *ranges, size_t n) {
        size_t n_joined = 0;

        qsort(ranges, n, sizeof(*ranges), by_first);
        for (size_t i = 0; i < n; i++) {
                IndexRange *former = n_joined > 0 ? &ranges[n_joined - 1] : NULL;

                if (former && (uint64_t)former->last + 1 >= ranges[i].first)
                        former->last = MAX(former->last, ranges[i].last);
                else
                        ranges[n_joined++] = ranges[i];
        }

        return n_joined;
}

int index_set_parse(const char *s, uint32_t max, IndexSet *ret, Error *error) {
        IndexSet set = {};
        size_t n_parts = 1;
        int r = 0;

        for (const char *comma = strchr(s, ','); comma; comma = strchr(comma + 1, ','))
                n_parts++;
        set.ranges = reallocarray(NULL, n_parts, sizeof(IndexRange));
        if (!set.ranges)
                return -ENOMEM;

        for (; r == 0 && set.n < n_parts; set.n++) {
                r = parse_range(&s, max, &set.ranges[set.n], error);
                if (r == 0 && *s != (set.n + 1 < n_parts ? ',' : '\0'))
                        r = error_set(error, -EINVAL,
                                      "'%.*s' is left over behind a set of numbers; write 0-9 or "
                                      "1,2,5",
                                      MESSAGE_WORD_MAX, s);
                s++;
        }
        if (r < 0) {
                index_set_done(&set);
                return r;
        }

        set.n = join_ranges(set.ranges, set.n);
        *ret = set;
        return 0;
}

char *index_set_format(const IndexSet *set) {
        size_t at = 0, n = set->n * RANGE_TEXT_MAX + 1;
        char *text = malloc(n);

        if (!text)
                return NULL;

        text[0] = '\0';
        for (size_t i = 0; i < set->n; i++) {
                const IndexRange *range = &set->ranges[i];

                at += (size_t)snprintf(text + at, n - at, "%s%" PRIu32, i > 0 ? "," : "",
                                       range->first);
                if (range->last > range->first)
                        at += (size_t)snprintf(text + at, n - at, "-%" PRIu32, range->last);
        }

        return text;
}
