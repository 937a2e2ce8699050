/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "store.h"
#include "world.h"

struct Store {
        uint64_t next_id;
        uint64_t lost_begin;
        uint64_t lost_end;
        bool broken; /* a sync has failed */
};

/* The disk. */
static struct {
        Shelf tasks;
        uint64_t ids_end; /* written and synced by itself */
} disk;

void store_begin(void) {
        shelf_init(&disk.tasks, sizeof(Row));
        disk.ids_end = 1;
}

void store_end(void) {
        shelf_done(&disk.tasks);
}

void store_lose_power(void) {
        shelf_lose_power(&disk.tasks);
}

const Row *store_row(uint64_t id) {
        return shelf_get(&disk.tasks, id);
}

const Shelf *store_shelf(void) {
        return &disk.tasks;
}

/* -- what the daemon calls -- */

static uint64_t largest_id(void) {
        uint64_t id = 0;

        for (size_t i = 0; i < disk.tasks.n; i++)
                id = MAX(id, task_ref_id(disk.tasks.keys[i]));
        return id;
}

int store_open(Store **ret, const char *dir_path, bool recover, Error *error) {
        Store *store = calloc(1, sizeof(*store));

        if (error)
                *error = (Error){ 0 };
        if (!store)
                return -ENOMEM;
        if (!world_step(&world.daemon, "opens the store", disk.tasks.n, 0)) {
                free(store);
                return -EIO;
        }
        if (world.mutant != MUTANT_NO_SYNC && world.mutant != MUTANT_OPENED_UNSYNCED)
                shelf_sync(&disk.tasks);
        store->next_id = world.mutant == MUTANT_IDS_NOT_RESERVED ? largest_id() + 1 : disk.ids_end;
        store->lost_begin = largest_id() - MIN(largest_id(), (uint64_t)2 * STORE_IDS_BLOCK) + 1;
        store->lost_end = store->next_id;
        check_store_opened();
        *ret = store;
        return 0;
}

/* A daemon that is killed leaves its transaction as it is; that is rolled back when it is buried, or here. */
Store *store_free(Store *store) {
        if (store)
                shelf_rollback(&disk.tasks);
        free(store);
        return NULL;
}

const char *store_database_id(const Store *store) {
        return "0123456789abcdef0123456789abcdef";
}

static bool is_gone(const Store *store) {
        return store->broken || !actor_lives(&world.daemon);
}

int store_take_id(Store *store, uint64_t *ret) {
        if (is_gone(store))
                return -EIO;
        if (store->next_id >= disk.ids_end) {
                if (!world_step(&world.daemon, "reserves ids", disk.ids_end, 0))
                        return -EIO;
                disk.ids_end = MAX(disk.ids_end, store->next_id) + STORE_IDS_BLOCK;
        }
        *ret = store->next_id++;
        return 0;
}

bool store_may_have_lost(const Store *store, uint64_t id) {
        return id >= store->lost_begin && id < store->lost_end;
}

static int fail(int r) {
        shelf_rollback(&disk.tasks);
        return r;
}

int store_put_task(Store *store, const Task *task) {
        Row row;

        if (is_gone(store))
                return -EIO;
        if (world.disk_full && world_chance(20))
                return fail(-ENOSPC);
        row_pack(&row, task);
        if (task->state == TASK_STATE_LOST)
                check_given_up(task->id);
        shelf_put(&disk.tasks, task->id, &row);
        return 0;
}

int store_put_gpus(Store *store, const GpuSample *gpus, unsigned n_gpus) {
        return 0;
}

int store_get_gpus(Store *store, GpuSample ret[static GPU_MAX]) {
        return 0;
}

bool store_is_broken(const Store *store) {
        return store->broken;
}

int store_look_for_room(const Store *store) {
        return world.disk_full ? -ENOSPC : 0;
}

/* No admin comes into this world. */
int store_put_drain(Store *store, const Drain *drain) {
        return 0;
}

int store_get_drain(Store *store, Drain *ret) {
        *ret = (Drain){ 0 };
        return 0;
}

int store_put_pasts(Store *store, const UserPast *pasts, size_t n) {
        return 0;
}

ssize_t store_get_pasts(Store *store, UserPast *ret, size_t max) {
        return 0;
}

bool store_is_dirty(const Store *store) {
        return disk.tasks.dirty;
}

static int commit(Store *store) {
        if (!disk.tasks.dirty)
                return 0;
        if (world.disk_full && world.mutant == MUTANT_COMMIT_LIES) {
                shelf_rollback(&disk.tasks);
                return 0;
        }
        if (world.disk_full)
                return fail(-ENOSPC);
        if (!world_step(&world.daemon, "commits", 0, 0))
                return -EIO;
        shelf_commit(&disk.tasks);
        (void)world_step(&world.daemon, "has committed", 0, 0);
        return is_gone(store) ? -EIO : 0;
}

static int sync_it(Store *store) {
        if (disk.tasks.n_undo == 0)
                return 0;
        if (world.disk_tears && !world.calm && world_chance(5)) {
                world_note("disk", "fails a sync", 0, 0);
                store->broken = true;
                world.n_torn++;
                return -EIO;
        }
        if (world.mutant != MUTANT_NO_SYNC)
                shelf_sync(&disk.tasks);
        (void)world_step(&world.daemon, "has synced", 0, 0);
        return is_gone(store) ? -EIO : 0;
}

int store_commit(Store *store, bool sync) {
        int r;

        if (is_gone(store))
                return actor_lives(&world.daemon) ? fail(-EIO) : -EIO;
        r = commit(store);
        return r == 0 && sync ? sync_it(store) : r;
}

static int compare_places(const void *a, const void *b) {
        uint64_t x = task_ref_order(*(const uint64_t *)a), y = task_ref_order(*(const uint64_t *)b);

        return (x > y) - (x < y);
}

static int give(const Row *row, store_task_fn fn, void *userdata) {
        Task *task = row_unpack(row);

        return fn(task, userdata);
}

int store_load_active(Store *store, store_task_fn fn, void *userdata) {
        size_t n = 0;
        uint64_t *ids = calloc(disk.tasks.n + 1, sizeof(*ids));
        int r = 0;

        if (!ids)
                return -ENOMEM;
        for (size_t i = 0; i < disk.tasks.n; i++) {
                const Row *row = shelf_get(&disk.tasks, disk.tasks.keys[i]);

                if (!task_state_is_final(row->state) &&
                    !(world.mutant == MUTANT_RUNNING_FORGOTTEN && row->state == TASK_STATE_RUNNING))
                        ids[n++] = row->id;
        }
        qsort(ids, n, sizeof(*ids), compare_places);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = give(shelf_get(&disk.tasks, ids[i]), fn, userdata);
        free(ids);
        return r;
}

int store_load_task(Store *store, uint64_t id, Task **ret) {
        const Row *row = shelf_get(&disk.tasks, id);

        if (!row)
                return -ENOENT;
        *ret = row_unpack(row);
        return 0;
}

int store_load_key(Store *store, uid_t uid, const uint8_t key[static TASK_KEY_BYTES], Task **ret) {
        if (store->broken)
                return -EIO;
        for (size_t i = 0; i < disk.tasks.n; i++) {
                const Row *row = shelf_get(&disk.tasks, disk.tasks.keys[i]);

                if (row->uid != uid || memcmp(row->key, key, TASK_KEY_BYTES) != 0 ||
                    task_ref_index(row->id) >= 0)
                        continue;
                *ret = row_unpack(row);
                return 0;
        }
        return -ENOENT;
}

int store_load_ended(Store *store,
                     uint64_t before_id,
                     uid_t uid,
                     unsigned max,
                     store_task_fn fn,
                     void *userdata) {
        return 0;
}

int store_load_runs(Store *store,
                    uid_t uid,
                    uint64_t signature,
                    unsigned max,
                    store_task_fn fn,
                    void *userdata) {
        return 0;
}

int store_last_end(Store *store, uint64_t *ret_at_us) {
        *ret_at_us = 0;
        return 0;
}

int store_purge(Store *store, uint64_t before_at_us, unsigned max) {
        return 0;
}

unsigned store_n_damaged(const Store *store, const char **ret_last) {
        if (ret_last)
                *ret_last = "";
        return 0;
}
