/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Sizes, times and numbers as people write them
 *
 * A decimal number is kept as a whole part and a fraction over a power of ten, and multiplied with
 * its unit in 128 bits: what is reserved or charged never goes through a double.
 */

#include "util/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "util/macro.h"

enum {
        /* 10^18 times the largest unit (2^50) fits 128 bits, and nobody means a longer one. */
        MAX_DECIMALS = 18,
        /* How much of a word a message shows, so that the end of the sentence still fits. */
        MAX_SHOWN = 100,
};

#define SEC_PER_MIN  UINT64_C(60)
#define SEC_PER_HOUR UINT64_C(3600)
#define SEC_PER_DAY  UINT64_C(86400)

typedef struct Decimal {
        uint64_t whole;
        uint64_t fraction; /* in units of 1 / scale */
        uint64_t scale;    /* a power of ten; 1 if there is no fraction */
} Decimal;

typedef struct Unit {
        const char *name;
        uint64_t factor;
} Unit;

/* The letters K M G T P are handled by parse_size_unit(). */
static const char size_letters[] = "kmgtp";

/* From large to small: the parts of a duration must come in this order. */
static const Unit duration_units[] = {
        { "d", SEC_PER_DAY *US_PER_SEC },
        { "h", SEC_PER_HOUR *US_PER_SEC },
        { "m", SEC_PER_MIN *US_PER_SEC },
        { "s", US_PER_SEC },
        { "ms", US_PER_MSEC },
};

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Reads digits and moves *@s behind them: 0, -EINVAL if there is none, -ERANGE. */
static int read_digits(const char **s, uint64_t *ret) {
        const char *p = *s;
        uint64_t value = 0;

        if (!is_digit(*p))
                return -EINVAL;

        for (; is_digit(*p); p++)
                if (__builtin_mul_overflow(value, 10U, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
                        return -ERANGE;

        *s = p;
        *ret = value;
        return 0;
}

static int read_decimal(const char **s, Decimal *ret) {
        Decimal decimal = { .scale = 1 };
        const char *p = *s;
        int r;

        r = read_digits(&p, &decimal.whole);
        if (r < 0)
                return r;

        if (*p == '.') {
                const char *start = ++p;

                if (strspn(start, "0123456789") > MAX_DECIMALS)
                        return -ERANGE;
                r = read_digits(&p, &decimal.fraction);
                if (r < 0)
                        return r;
                for (; start < p; start++)
                        decimal.scale *= 10;
        }

        *s = p;
        *ret = decimal;
        return 0;
}

/* False if it does not fit; a fraction of one is cut off. */
static bool decimal_times(const Decimal *decimal, uint64_t factor, uint64_t *ret) {
        unsigned __int128 value = (unsigned __int128)decimal->whole * factor +
                                  (unsigned __int128)decimal->fraction * factor / decimal->scale;

        if (value > UINT64_MAX)
                return false;

        *ret = (uint64_t)value;
        return true;
}

/* Returns 0 where @s is no unit of size. */
static uint64_t parse_size_unit(const char *s) {
        const char *letter;
        uint64_t base = 1024;
        uint64_t factor = 1;

        if (*s == '\0' || strcasecmp(s, "b") == 0)
                return 1;

        letter = strchr(size_letters, *s | 0x20);
        if (!letter || *letter == '\0')
                return 0;

        if (strcasecmp(s + 1, "b") == 0)
                base = 1000;
        else if (s[1] != '\0' && strcasecmp(s + 1, "ib") != 0)
                return 0;

        for (const char *l = size_letters; l <= letter; l++)
                factor *= base;
        return factor;
}

/* What a number in front of a unit can be wrong in. */
static int refuse_number(const char *s, const char *what, int r, Error *error) {
        if (*s == '\0')
                return error_set(error, -EINVAL, "'' is no %s: it is empty", what);
        if (r == -ERANGE)
                return error_set(error, r,
                                 "'%.*s' is no %s: it is too large, or has more than %d decimals",
                                 MAX_SHOWN, s, what, MAX_DECIMALS);
        return error_set(
                error, r,
                "'%.*s' is no %s: it must start with a digit, and a point must stand between two",
                MAX_SHOWN, s, what);
}

int units_parse_bytes(const char *s, uint64_t *ret, Error *error) {
        const char *p = s;
        Decimal decimal;
        uint64_t factor;
        uint64_t bytes;
        int r;

        r = read_decimal(&p, &decimal);
        if (r < 0)
                return refuse_number(s, "size", r, error);

        factor = parse_size_unit(p);
        if (factor == 0)
                return error_set(
                        error, -EINVAL,
                        "'%.*s' is no size: '%.*s' is no unit; use K, M, G, T or P as in 512M, or GB for 10^9",
                        MAX_SHOWN, s, MAX_SHOWN, p);
        if (factor == 1 && decimal.scale > 1)
                return error_set(
                        error, -EINVAL,
                        "'%.*s' is no size: there is no fraction of a byte; use K, M, G, T or P as in 1.5G",
                        MAX_SHOWN, s);
        if (!decimal_times(&decimal, factor, &bytes))
                return error_set(error, -ERANGE, "'%.*s' is no size: it is too large", MAX_SHOWN,
                                 s);

        *ret = bytes;
        return 0;
}

/* Moves *@s behind the unit, which must be smaller than the one before: *@i is the first allowed. */
static const Unit *read_duration_unit(const char **s, size_t *i) {
        size_t n = strspn(*s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

        for (; *i < ELEMENTSOF(duration_units); (*i)++) {
                const Unit *unit = &duration_units[*i];

                if (strlen(unit->name) == n && strncasecmp(unit->name, *s, n) == 0) {
                        *s += n;
                        (*i)++;
                        return unit;
                }
        }
        return NULL;
}

int units_parse_duration_us(const char *s, uint64_t *ret, Error *error) {
        const char *p = s;
        uint64_t total = 0;
        size_t i = 0;
        int r;

        if (strcasecmp(s, "inf") == 0) {
                *ret = UNITS_INF;
                return 0;
        }

        do {
                bool is_bare;
                Decimal decimal;
                const Unit *unit = NULL;
                const char *word = p;
                uint64_t part;

                r = read_decimal(&p, &decimal);
                if (r < 0)
                        return refuse_number(s, "time", r, error);

                is_bare = word == s && *p == '\0';
                if (!is_bare)
                        unit = read_duration_unit(&p, &i);
                if (!is_bare && !unit)
                        return error_set(
                                error, -EINVAL,
                                "'%.*s' is no time: use d, h, m, s or ms, the larger first, as in 1h30m, or inf",
                                MAX_SHOWN, s);
                if (!decimal_times(&decimal, unit ? unit->factor : US_PER_SEC, &part) ||
                    __builtin_add_overflow(total, part, &total) || total == UNITS_INF)
                        return error_set(error, -ERANGE,
                                         "'%.*s' is no time: it is too large; inf is for ever",
                                         MAX_SHOWN, s);
        } while (*p != '\0');

        *ret = total;
        return 0;
}

int units_parse_uint(const char *s, uint64_t min, uint64_t max, uint64_t *ret, Error *error) {
        const char *p = s;
        uint64_t value;
        int r;

        r = read_digits(&p, &value);
        if (r == -EINVAL || (r == 0 && *p != '\0'))
                return error_set(error, -EINVAL, "'%.*s' is no whole number", MAX_SHOWN, s);
        if (r < 0 || value < min || value > max)
                return error_set(error, -ERANGE,
                                 "'%.*s' is out of bounds: it must be from %" PRIu64 " to %" PRIu64,
                                 MAX_SHOWN, s, min, max);

        *ret = value;
        return 0;
}

/* The letter of a power of 1024, from 1 for K; nothing for bytes. */
static const char *size_suffix(size_t power) {
        static const char *const suffixes[] = { "", "K", "M", "G", "T", "P" };

        return suffixes[power];
}

char *units_format_bytes(char *buf, size_t n, uint64_t bytes) {
        size_t max_power = strlen(size_letters);
        size_t power = 0;
        unsigned __int128 tenths;
        uint64_t unit = 1;

        while (power < max_power && bytes / unit >= 1024) {
                unit *= 1024;
                power++;
        }

        tenths = ((unsigned __int128)bytes * 10 + unit / 2) / unit;
        if (tenths >= UINT64_C(10240) && power < max_power) {
                /* 1023.97M is nearer to 1G than to 1023.9M */
                tenths = 10;
                power++;
        }

        if (tenths % 10 == 0)
                (void)snprintf(buf, n, "%" PRIu64 "%s", (uint64_t)(tenths / 10),
                               size_suffix(power));
        else
                (void)snprintf(buf, n, "%" PRIu64 ".%u%s", (uint64_t)(tenths / 10),
                               (unsigned)(tenths % 10), size_suffix(power));
        return buf;
}

char *units_format_bytes_exact(char *buf, size_t n, uint64_t bytes) {
        size_t power = 0;

        while (bytes > 0 && bytes % 1024 == 0 && power < strlen(size_letters)) {
                bytes /= 1024;
                power++;
        }
        (void)snprintf(buf, n, "%" PRIu64 "%s", bytes, size_suffix(power));
        return buf;
}

char *units_format_duration(char *buf, size_t n, uint64_t us) {
        uint64_t seconds = us / US_PER_SEC;
        uint64_t large;
        uint64_t small;
        const char *names;

        if (us == UNITS_INF) {
                (void)snprintf(buf, n, "inf");
                return buf;
        }

        if (seconds < SEC_PER_MIN) {
                (void)snprintf(buf, n, "%" PRIu64 "s", seconds);
                return buf;
        }

        if (seconds < SEC_PER_HOUR) {
                large = seconds / SEC_PER_MIN;
                small = seconds % SEC_PER_MIN;
                names = "ms";
        } else if (seconds < SEC_PER_DAY) {
                large = seconds / SEC_PER_HOUR;
                small = seconds / SEC_PER_MIN % 60;
                names = "hm";
        } else {
                large = seconds / SEC_PER_DAY;
                small = seconds / SEC_PER_HOUR % 24;
                names = "dh";
        }

        if (small == 0)
                (void)snprintf(buf, n, "%" PRIu64 "%c", large, names[0]);
        else
                (void)snprintf(buf, n, "%" PRIu64 "%c%02" PRIu64 "%c", large, names[0], small,
                               names[1]);
        return buf;
}
