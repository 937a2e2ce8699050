/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "files.h"

#include <stdlib.h>

#include "world.h"

static struct {
        size_t n;
        File files[FILES_MAX];
} all;

void files_begin(void) {
        all.n = 0;
}

File *file_find(unsigned owner, uint64_t ref, unsigned attempt) {
        for (size_t i = all.n; i-- > 0;) {
                File *file = &all.files[i];

                if (file->exists && file->owner == owner && file->ref == ref &&
                    file->attempt == attempt)
                        return file;
        }
        return NULL;
}

File *file_create(unsigned owner, uint64_t ref, unsigned attempt, Proc keeper, bool *ret_full) {
        File *file = file_find(owner, ref, attempt);

        *ret_full = false;
        if (file)
                return NULL;
        if (world.disk_full) {
                *ret_full = true;
                return NULL;
        }
        if (all.n == FILES_MAX)
                abort();
        file = &all.files[all.n++];
        *file = (File){ .ref = ref,
                        .attempt = attempt,
                        .owner = owner,
                        .exists = true,
                        .boot = world.boot,
                        .keeper = keeper };
        return file;
}

void file_remove(unsigned owner, uint64_t ref, unsigned attempt) {
        File *file = file_find(owner, ref, attempt);

        if (file)
                file->exists = false;
}

File *file_next(unsigned owner, size_t *at) {
        while (*at < all.n) {
                File *file = &all.files[(*at)++];

                if (file->exists && file->owner == owner)
                        return file;
        }
        return NULL;
}

static void lose_parts(File *file) {
        if (world_chance(20)) {
                file->garbage = true;
                return;
        }
        if (world_chance(50))
                file->ended = false;
        if (!file->ended && world_chance(50))
                file->command = 0;
}

/* Of this boot; what was there before is on the disk long since, or gone. */
void files_lose_power(void) {
        for (size_t i = 0; i < all.n; i++) {
                File *file = &all.files[i];

                if (file->boot != world.boot || file->garbage)
                        continue;
                if (!file->exists)
                        file->exists = world_chance(20) &&
                                       !file_find(file->owner, file->ref, file->attempt);
                else if (world_chance(30))
                        file->exists = false;
                if (file->exists && world_chance(40))
                        lose_parts(file);
        }
}
