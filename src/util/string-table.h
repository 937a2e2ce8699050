#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * String tables
 *
 * An enum and its names: `static const char *const foo_table[]`, indexed by the enum, becomes
 * foo_to_string() and foo_from_string(). The names are what stands on the wire, in the database
 * and in front of people; renaming one is a migration.
 *
 * foo_from_string() returns an int, because an enum without negative values is unsigned and its
 * `< 0` is never true.
 */

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "util/macro.h"

#define DECLARE_STRING_TABLE(name, type)          \
        const char *name##_to_string(type value); \
        int name##_from_string(const char *s)

/* foo_to_string(): NULL if out of range. foo_from_string(): the value, or -EINVAL. */
#define DEFINE_STRING_TABLE(name, type)                                                       \
        const char *name##_to_string(type value) {                                            \
                return (size_t)value < ELEMENTSOF(name##_table) ? name##_table[value] : NULL; \
        }                                                                                     \
        int name##_from_string(const char *s) {                                               \
                for (size_t i = 0; s && i < ELEMENTSOF(name##_table); i++)                    \
                        if (name##_table[i] && strcmp(name##_table[i], s) == 0)               \
                                return (int)i;                                                \
                return -EINVAL;                                                               \
        }                                                                                     \
        _Static_assert(1, "swallow the semicolon")
