#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Recovery
 *
 * What can still be read of a damaged database, row by row.
 */

#include <stdbool.h>
#include <stdint.h>

#include "store/db.h"
#include "store/store.h"

typedef struct Recovered {
        uint64_t n_tasks; /* taken over */
        uint64_t
                n_damaged; /* rows that were there but made no sense, or are there in the new one already */
        bool whole;       /* the table of tasks could be read from end to end */
        uint64_t ids_end; /* larger than every id that could be known; 0: nothing could */
        bool ids_known;   /* and that is all that were reserved by then */
        char database_id[STORE_DATABASE_ID_CHARS + 1]; /* empty: could not be read */
} Recovered;

/**
 * recover_copy() - take over tasks and GPUs
 * @to:         the new database; in no transaction, and in none afterwards
 * @path:       the damaged one; left as it is
 * @ret:        overwritten on success
 *
 * What is in @to already stays.
 *
 * Return: 0, however little could be read; or negative errno of writing.
 */
int recover_copy(Db *to, const char *path, Recovered *ret);
