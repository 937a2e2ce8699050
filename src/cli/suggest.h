#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Suggestions
 *
 * What somebody may have meant by a word that is none of ours.
 */

typedef struct Suggestion {
        const char *name; /* the nearest so far; NULL: none is near enough. Borrowed */
        unsigned distance;
} Suggestion;

/**
 * suggestion_consider() - keep a name if it is nearer than the one before
 * @suggestion: starts as all zero
 * @word:       as typed
 * @name:       one that exists; borrowed
 *
 * Near is: it begins with the word, or takes few enough letters added, dropped, changed or swapped
 * with a neighbour.
 */
void suggestion_consider(Suggestion *suggestion, const char *word, const char *name);
