#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Macros
 *
 * What a function cannot do: attributes, ownership that moves in an expression, sizes of arrays.
 * The few units that every layer counts in are here as well.
 */

#include <stddef.h>
#include <stdint.h>

#define _cleanup_(func)      __attribute__((cleanup(func)))
#define _printf_(fmt, first) __attribute__((format(printf, fmt, first)))
#define _must_check_         __attribute__((warn_unused_result))
#define _unused_             __attribute__((unused))

#define KIB         (UINT64_C(1) << 10)
#define MIB         (UINT64_C(1) << 20)
#define GIB         (UINT64_C(1) << 30)
#define US_PER_SEC  UINT64_C(1000000)
#define US_PER_MSEC UINT64_C(1000)
#define NS_PER_USEC UINT64_C(1000)

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))

/* Each argument is evaluated once; the counter keeps the names of nested ones apart. */
#define MIN(a, b) SELECT_ONE(a, <, b, __COUNTER__)
#define MAX(a, b) SELECT_ONE(a, >, b, __COUNTER__)

#define SELECT_ONE(a, op, b, id) SELECT_NAMED(a, op, b, id)
#define SELECT_NAMED(a, op, b, id)                                              \
        ({                                                                      \
                typeof(a) _select_a##id = (a);                                  \
                typeof(b) _select_b##id = (b);                                  \
                _select_a##id op _select_b##id ? _select_a##id : _select_b##id; \
        })

/* Hand over ownership: evaluates to @p and leaves NULL (or -1) behind. */
#define TAKE_PTR(p)                      \
        ({                               \
                typeof(p) *_pp = &(p);   \
                typeof(p) _taken = *_pp; \
                *_pp = NULL;             \
                _taken;                  \
        })
#define TAKE_FD(fd)                 \
        ({                          \
                int *_fdp = &(fd);  \
                int _taken = *_fdp; \
                *_fdp = -1;         \
                _taken;             \
        })

/* Define foo_freep() for use with _cleanup_(), from a NULL-safe foo_free(). */
#define DEFINE_CLEANUP(type, func)            \
        static inline void func##p(type *p) { \
                if (*p)                       \
                        func(*p);             \
        }                                     \
        _Static_assert(1, "swallow the semicolon")
