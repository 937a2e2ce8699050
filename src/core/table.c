/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/table.h"

#include <errno.h>
#include <string.h>

/* A submitter's key and uid stand side by side in Task, so that they are one key without a copy. */
enum {
        KEY_BYTES = TASK_KEY_BYTES + sizeof(uid_t),
};
_Static_assert(offsetof(Task, uid) == offsetof(Task, key) + TASK_KEY_BYTES,
               "key and uid are hashed as one");

static const uint8_t no_key[TASK_KEY_BYTES];

/* NOLINTBEGIN(readability-function-cognitive-complexity): what is complex is inside uthash */

Entry *table_find(const Core *core, uint64_t id) {
        Entry *entry;

        /* Each that comes is asked for, and a chain of others lies all over the memory. */
        if (task_ref_id(id) > core->max_id)
                return NULL;
        HASH_FIND(hh_id, core->by_id, &id, sizeof(id), entry);
        return entry;
}

Entry *table_find_key(const Core *core, uid_t uid, const uint8_t key[static TASK_KEY_BYTES]) {
        uint8_t both[KEY_BYTES];
        Entry *entry;

        memcpy(both, key, TASK_KEY_BYTES);
        memcpy(both + TASK_KEY_BYTES, &uid, sizeof(uid));
        HASH_FIND(hh_key, core->by_key, both, sizeof(both), entry);
        return entry;
}

int table_add(Core *core, Entry *entry) {
        HASH_ADD_KEYPTR(hh_id, core->by_id, &entry->task->id, sizeof(entry->task->id), entry);
        if (!entry->hh_id.tbl)
                return -ENOMEM;
        core->max_id = MAX(core->max_id, task_ref_id(entry->task->id));

        if (memcmp(entry->task->key, no_key, TASK_KEY_BYTES) == 0)
                return 0; /* nobody asks for it, and thousands of them would be one long chain */

        HASH_ADD_KEYPTR(hh_key, core->by_key, entry->task->key, KEY_BYTES, entry);
        if (!entry->hh_key.tbl) {
                HASH_DELETE(hh_id, core->by_id, entry);
                return -ENOMEM;
        }

        return 0;
}

void table_remove(Core *core, Entry *entry) {
        HASH_DELETE(hh_id, core->by_id, entry);
        if (entry->hh_key.tbl)
                HASH_DELETE(hh_key, core->by_key, entry);
}

User *table_find_user(const Core *core, uid_t uid) {
        User *user;

        HASH_FIND(hh, core->users_by_uid, &uid, sizeof(uid), user);
        return user;
}

int table_add_user(Core *core, User *user) {
        HASH_ADD(hh, core->users_by_uid, uid, sizeof(user->uid), user);
        return user->hh.tbl ? 0 : -ENOMEM;
}

void table_remove_user(Core *core, User *user) {
        HASH_DELETE(hh, core->users_by_uid, user);
}

Class *table_find_class(const Core *core, const void *key, size_t n_key) {
        Class *class;

        HASH_FIND(hh, core->classes_by_key, key, n_key, class);
        return class;
}

int table_add_class(Core *core, Class *class) {
        HASH_ADD_KEYPTR(hh, core->classes_by_key, class->key, class->n_key, class);
        return class->hh.tbl ? 0 : -ENOMEM;
}

void table_remove_class(Core *core, Class *class) {
        HASH_DELETE(hh, core->classes_by_key, class);
}

Experience *table_find_experience(const Core *core, const ExperienceKey *key) {
        Experience *experience;

        HASH_FIND(hh, core->experiences_by_key, key, sizeof(*key), experience);
        return experience;
}

int table_add_experience(Core *core, Experience *experience) {
        HASH_ADD(hh, core->experiences_by_key, key, sizeof(experience->key), experience);
        return experience->hh.tbl ? 0 : -ENOMEM;
}

void table_remove_experience(Core *core, Experience *experience) {
        HASH_DELETE(hh, core->experiences_by_key, experience);
}

Waited *table_find_waited(const Core *core, uint64_t id) {
        Waited *waited;

        HASH_FIND(hh, core->waited_by_id, &id, sizeof(id), waited);
        return waited;
}

int table_add_waited(Core *core, Waited *waited) {
        HASH_ADD(hh, core->waited_by_id, id, sizeof(waited->id), waited);
        return waited->hh.tbl ? 0 : -ENOMEM;
}

void table_remove_waited(Core *core, Waited *waited) {
        HASH_DELETE(hh, core->waited_by_id, waited);
}

/* NOLINTEND(readability-function-cognitive-complexity) */
