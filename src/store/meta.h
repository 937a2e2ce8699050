#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What a database knows of itself
 */

#include <stdint.h>

#include "store/db.h"
#include "store/store.h"
#include "util/boot.h"
#include "util/error.h"

enum {
        META_NAME_MAX = 64,
};

typedef struct Meta {
        char database_id[STORE_DATABASE_ID_CHARS + 1];
        uint64_t ids_end; /* ids below may have been given out; the file of ids may know more */
        char recovered_from[META_NAME_MAX]; /* the damaged database taken over last; empty: none */
        char boot_id
                [BOOT_ID_SIZE]; /* in which the machine was when it was opened; empty: unknown */
} Meta;

/* meta_get() */
enum {
        META_E_DAMAGED = 1, /* it makes no sense */
};

/* Return: 0, META_E_DAMAGED, or negative errno. */
int meta_get(Db *db, Meta *ret, Error *error);

/* Return: 0 or negative errno; likewise those below. */
int meta_put_ids_end(Db *db, uint64_t ids_end);
int meta_put_database_id(Db *db, const char *database_id);
int meta_put_recovered_from(Db *db, const char *name);
int meta_put_boot_id(Db *db, const char *boot_id);
