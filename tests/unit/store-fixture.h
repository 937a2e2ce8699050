#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What the tests of the store share: a folder for each test, tasks with something in every field, and a plain
 * connection to do harm with.
 */

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#include "core/task.h"
#include "store/store.h"

typedef struct Folder {
        char path[64];
} Folder;

int folder_setup(void **state);
int folder_teardown(void **state);

/* "FOLDER/NAME"; a static buffer, good until the next call but three. */
const char *in_folder(const Folder *folder, const char *name);
bool folder_has(const Folder *folder, const char *name);

/* Return: how many names in it begin with @prefix. */
unsigned folder_count(const Folder *folder, const char *prefix);

/* The name of the one that begins with @prefix; to be freed. */
char *folder_find(const Folder *folder, const char *prefix);

/* Fails the test unless the store opens. */
Store *open_store(const Folder *folder);

/* A task with a value of its own in every field; running, with GPUs. */
Task *full_task(uint64_t id);

/* A task as most are; pending. */
Task *plain_task(uint64_t id);
void assert_task_equal(const Task *have, const Task *want);

/* Puts tasks of these ids, plain, and commits. */
void put_plain(Store *store, uint64_t first, unsigned n);

/* Runs SQL on the database while nobody has it open. */
void harm(const Folder *folder, const char *sql);
int64_t ask(const Folder *folder, const char *sql);

typedef struct Loaded {
        unsigned n;
        uint64_t ids[4096];
} Loaded;

/* A store_task_fn; @userdata is a Loaded. */
int note_task(Task *task, void *userdata);
