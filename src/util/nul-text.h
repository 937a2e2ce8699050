#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Lists of strings with a NUL behind each
 *
 * How bytes of a user travel whose content is nobody's business: arguments and environments hold any byte but NUL. A number is a
 * string of decimal digits, a list is its count and then its strings. A reader believes nothing: it never looks beyond the end,
 * and a count is held against what is left before anything is allocated for it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Grows as it is written; zero-initialised. Running out of memory is remembered and told at the end. */
typedef struct NulWriter {
        char *bytes;
        size_t n;
        size_t n_room;
        bool failed;
} NulWriter;

void nul_put_text(NulWriter *writer, const char *s);
void nul_put_number(NulWriter *writer, uint64_t number);
void nul_put_vector(NulWriter *writer, char *const *v); /* ended by NULL; NULL is empty */

/* Their number, then the bytes themselves, which may hold NULs. */
void nul_put_bytes(NulWriter *writer, const void *bytes, size_t n);

/**
 * nul_writer_take() - what was written
 * @ret:        set to the bytes, to be freed with free(); never NULL
 *
 * The writer is empty afterwards, also on failure.
 *
 * Return: 0, or -ENOMEM.
 */
int nul_writer_take(NulWriter *writer, char **ret, size_t *ret_n);
void nul_writer_done(NulWriter *writer);

/* What is still to be read; borrowed. */
typedef struct NulReader {
        const char *at;
        const char *end;
} NulReader;

static inline NulReader nul_reader(const void *bytes, size_t n) {
        return (NulReader){ .at = bytes, .end = (const char *)bytes + n };
}

static inline bool nul_reader_is_over(const NulReader *reader) {
        return reader->at == reader->end;
}

/* Each: whether there was such a thing. What they set lies in the reader's bytes. */
bool nul_get_text(NulReader *reader, const char **ret);
bool nul_get_number(NulReader *reader, uint64_t min, uint64_t max, uint64_t *ret);
bool nul_get_bytes(NulReader *reader, const char **ret, size_t *ret_n);

/**
 * nul_get_vector() - a list
 * @ret:        set to a vector ended by NULL, whose strings are borrowed and which itself is to be freed with free()
 * @max:        most strings to take
 *
 * Return: whether there was one, and memory for it.
 */
bool nul_get_vector(NulReader *reader, size_t max, char ***ret);
