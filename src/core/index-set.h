#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Sets of numbers
 *
 * The elements of an array that wait: as many as one likes in a few bytes, because they come as
 * ranges and mostly go from the front.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

typedef struct IndexRange {
        uint32_t first, last; /* both included */
} IndexRange;

/* A value: ascending ranges that neither touch nor overlap. {} is the empty one. */
typedef struct IndexSet {
        size_t n;
        IndexRange *ranges; /* owned */
} IndexSet;

/* Frees what it owns and leaves it empty. */
void index_set_done(IndexSet *set);

/* Return: 0, or -ENOMEM. @ret is overwritten. */
int index_set_copy(IndexSet *ret, const IndexSet *set);

/* Adds first to last, both included. Return: 0, or -ENOMEM with the set unchanged. */
int index_set_add(IndexSet *set, uint32_t first, uint32_t last);

/*
 * Takes one number out. Return: 0; -ENOENT if it is not in; or -ENOMEM (a range would become two)
 * with the set unchanged.
 */
int index_set_remove(IndexSet *set, uint32_t index);

bool index_set_contains(const IndexSet *set, uint32_t index);

/* How many numbers are in it. */
uint64_t index_set_count(const IndexSet *set);

/* The smallest that is at least @from, or -1. */
int64_t index_set_next(const IndexSet *set, uint32_t from);

/**
 * index_set_parse() - read "0-9,12,20-29"
 * @max:        largest number allowed
 * @ret:        overwritten on success; release with index_set_done()
 *
 * Ranges may come in any order and overlap. An empty text is refused.
 *
 * Return: 0, -EINVAL or -ERANGE with @error, or -ENOMEM.
 */
int index_set_parse(const char *s, uint32_t max, IndexSet *ret, Error *error);

/* The same form, to be freed; "" for the empty set. NULL when out of memory. */
char *index_set_format(const IndexSet *set);
