/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "store-fixture.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

int folder_setup(void **state) {
        Folder *folder = calloc(1, sizeof(*folder));

        assert_non_null(folder);
        make_test_folder(folder->path);
        *state = folder;
        return 0;
}

int folder_teardown(void **state) {
        Folder *folder = *state;
        const struct dirent *entry;
        DIR *dir;

        dir = opendir(folder->path);
        assert_non_null(dir);
        while ((entry = readdir(dir)))
                if (entry->d_name[0] != '.')
                        assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
        (void)closedir(dir);
        assert_int_equal(rmdir(folder->path), 0);
        free(folder);
        return 0;
}

const char *in_folder(const Folder *folder, const char *name) {
        static char buffers[4][192];
        static unsigned next;
        char *buffer = buffers[next++ % ELEMENTSOF(buffers)];

        (void)snprintf(buffer, sizeof(buffers[0]), "%s/%s", folder->path, name);
        return buffer;
}

bool folder_has(const Folder *folder, const char *name) {
        return access(in_folder(folder, name), F_OK) == 0;
}

static unsigned walk(const Folder *folder, const char *prefix, char **ret) {
        const struct dirent *entry;
        unsigned n = 0;
        DIR *dir;

        dir = opendir(folder->path);
        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
                        continue;
                n++;
                if (ret && !*ret)
                        *ret = strdup(entry->d_name);
        }
        (void)closedir(dir);
        return n;
}

unsigned folder_count(const Folder *folder, const char *prefix) {
        return walk(folder, prefix, NULL);
}

char *folder_find(const Folder *folder, const char *prefix) {
        char *name = NULL;

        (void)walk(folder, prefix, &name);
        assert_non_null(name);
        return name;
}

Store *open_store(const Folder *folder) {
        Store *store = NULL;
        Error error;
        int r;

        r = store_open(&store, folder->path, false, &error);
        if (r != 0)
                fail_msg("cannot open the store: %d, %s", r, error.text);
        assert_string_equal(error.text, "");
        return store;
}

static void add_gpu(Task *task, unsigned i, const char *want, const char *uuid, uint64_t bytes) {
        GpuNeed *need = &task->needs.gpus[i];

        (void)snprintf(need->want, sizeof(need->want), "%s", want);
        (void)snprintf(need->uuid, sizeof(need->uuid), "%s", uuid);
        need->bytes = bytes;
        (void)snprintf(task->gpus[i].uuid, sizeof(task->gpus[i].uuid), "GPU-%u", i);
        (void)snprintf(task->gpus[i].id, sizeof(task->gpus[i].id), "amd:%u", 7 + i);
        task->gpus[i].kind = GPU_KIND_AMD;
        task->gpus[i].index = 7 + i;
        task->gpus[i].bytes = bytes;
        task->gpu_usage[i] = (Usage){
                .known = i == 0,
                .let_go = i == 1,
                .used_bytes = 11 + i,
                .peak_bytes = 22 + i,
        };
}

static void fill_key(Task *task) {
        for (unsigned i = 0; i < TASK_KEY_BYTES; i++)
                task->key[i] = (uint8_t)(i < 8 ? task->id >> 8 * i : i);
}

Task *full_task(uint64_t id) {
        Task *task = task_new();

        assert_non_null(task);
        task->id = id;
        fill_key(task);
        task->uid = 4000000000;
        task->name = strdup("a näme");
        task->command = strdup("python 'train.py' -- \n\t\"x\"");
        task->argv = calloc(4, sizeof(char *));
        task->argv[0] = strdup("python");
        task->argv[1] = strdup("");
        task->argv[2] = strdup("x y\xef\xbf\xbd");
        task->cwd = strdup("/home/alice/p");
        task->needs.memory_bytes = UINT64_C(5) << 40;
        task->needs.cpus = 3;
        assert_int_equal(needs_add_tokens(&task->needs, "matlab:2 ansys:1000000"), 0);
        task->needs.n_gpus = 2;
        task->needs.gpus = calloc(2, sizeof(*task->needs.gpus));
        task->gpus = calloc(2, sizeof(*task->gpus));
        task->gpu_usage = calloc(2, sizeof(*task->gpu_usage));
        add_gpu(task, 0, "any", "", UINT64_C(10) << 30);
        add_gpu(task, 1, "GPU-12ab", "GPU-12ab-34", GPU_WHOLE);
        task->priority = 200;
        task->delay_us = TASK_TIME_INF;
        task->delay_given = true;
        task->time_limit_us = 3600000000;
        task->pin = PIN_MODE_OFF;
        task->detached = true;
        task->runner_pid = 4194303;
        task->state = TASK_STATE_RUNNING;
        task->submitted_at_us = 1769853600000001;
        task->started_at_us = 1769853600000002;
        task->queued_boot_us = 4;
        task->started_boot_us = 5;
        task->pid = 6;
        task->pid_start_ticks = 7;
        (void)snprintf(task->boot_id, sizeof(task->boot_id),
                       "01234567-89ab-cdef-0123-456789abcdef");
        task->signal = 9;
        task->memory = (Usage){ .known = true, .let_go = true, .used_bytes = 33, .peak_bytes = 44 };
        task->reason = strdup("because");
        task->requeue = true;
        task->cancelled = true;
        task->retry_max = TASK_RETRIES_MAX;
        task->attempt = 3;
        task->n_retries = 2;
        task->output = strdup("/home/alice/{id}_{index}.log");
        task->n_after = 2;
        task->after = calloc(2, sizeof(*task->after));
        task->after[0] = (TaskAfter){ .id = 4711 };
        task->after[1] = (TaskAfter){ .id = TASK_ID_MAX, .any = true };
        return task;
}

Task *plain_task(uint64_t id) {
        Task *task = task_new();

        assert_non_null(task);
        task->id = id;
        fill_key(task);
        task->uid = 1000;
        task->command = strdup("python train.py --epochs 10");
        task->argv = calloc(2, sizeof(char *));
        task->argv[0] = strdup("python train.py --epochs 10");
        task->cwd = strdup("/home/alice/p");
        task->needs.memory_bytes = UINT64_C(5) << 30;
        task->submitted_at_us = 1769853600000000 + id;
        return task;
}

static void assert_text_equal(const char *have, const char *want) {
        assert_int_equal(!have, !want);
        if (want)
                assert_string_equal(have, want);
}

static void assert_usage_equal(const Usage *have, const Usage *want) {
        assert_int_equal(have->known, want->known);
        assert_int_equal(have->let_go, want->let_go);
        assert_int_equal(have->used_bytes, want->used_bytes);
        assert_int_equal(have->peak_bytes, want->peak_bytes);
}

static void assert_gpus_equal(const Task *have, const Task *want) {
        assert_int_equal(have->needs.n_gpus, want->needs.n_gpus);
        assert_int_equal(!have->gpus, !want->gpus);
        assert_int_equal(!have->gpu_usage, !want->gpu_usage);

        for (unsigned i = 0; i < want->needs.n_gpus; i++) {
                assert_string_equal(have->needs.gpus[i].want, want->needs.gpus[i].want);
                assert_string_equal(have->needs.gpus[i].uuid, want->needs.gpus[i].uuid);
                assert_int_equal(have->needs.gpus[i].bytes, want->needs.gpus[i].bytes);
                if (!want->gpus || !have->gpus || !want->gpu_usage || !have->gpu_usage)
                        continue;
                assert_string_equal(have->gpus[i].uuid, want->gpus[i].uuid);
                assert_string_equal(have->gpus[i].id, want->gpus[i].id);
                assert_int_equal(have->gpus[i].kind, want->gpus[i].kind);
                assert_int_equal(have->gpus[i].index, want->gpus[i].index);
                assert_int_equal(have->gpus[i].bytes, want->gpus[i].bytes);
                assert_usage_equal(&have->gpu_usage[i], &want->gpu_usage[i]);
        }
}

static void assert_argv_equal(char *const *have, char *const *want) {
        assert_int_equal(!have, !want);
        for (; have && want && *have && *want; have++, want++)
                assert_string_equal(*have, *want);
        assert_true(!have || !want || (!*have && !*want));
}

static void assert_array_equal(const TaskArray *have, const TaskArray *want) {
        assert_int_equal(!have, !want);
        if (!have || !want)
                return;
        assert_int_equal(have->waiting.n, want->waiting.n);
        assert_memory_equal(have->waiting.ranges, want->waiting.ranges,
                            want->waiting.n * sizeof(*want->waiting.ranges));
        assert_int_equal(have->first, want->first);
        assert_int_equal(have->last, want->last);
        assert_int_equal(have->limit, want->limit);
        assert_int_equal(have->n_done, want->n_done);
        assert_int_equal(have->n_failed, want->n_failed);
        assert_int_equal(have->n_cancelled, want->n_cancelled);
        assert_int_equal(have->n_timeout, want->n_timeout);
        assert_int_equal(have->n_lost, want->n_lost);
}

static void assert_after_equal(const Task *have, const Task *want) {
        assert_int_equal(have->n_after, want->n_after);
        for (unsigned i = 0; i < want->n_after; i++) {
                assert_int_equal(have->after[i].id, want->after[i].id);
                assert_int_equal(have->after[i].any, want->after[i].any);
        }
}

void assert_task_equal(const Task *have, const Task *want) {
        assert_int_equal(have->id, want->id);
        assert_memory_equal(have->key, want->key, TASK_KEY_BYTES);
        assert_int_equal(have->uid, want->uid);
        assert_text_equal(have->name, want->name);
        assert_text_equal(have->command, want->command);
        assert_argv_equal(have->argv, want->argv);
        assert_text_equal(have->cwd, want->cwd);
        assert_int_equal(have->needs.memory_bytes, want->needs.memory_bytes);
        assert_int_equal(have->needs.cpus, want->needs.cpus);
        assert_int_equal(have->needs.n_tokens, want->needs.n_tokens);
        for (unsigned i = 0; i < want->needs.n_tokens; i++) {
                assert_string_equal(have->needs.tokens[i].name, want->needs.tokens[i].name);
                assert_int_equal(have->needs.tokens[i].n, want->needs.tokens[i].n);
        }
        assert_gpus_equal(have, want);
        assert_int_equal(have->priority, want->priority);
        assert_int_equal(have->delay_us, want->delay_us);
        assert_int_equal(have->delay_given, want->delay_given);
        assert_int_equal(have->time_limit_us, want->time_limit_us);
        assert_int_equal(have->pin, want->pin);
        assert_int_equal(have->detached, want->detached);
        assert_int_equal(have->runner_pid, want->runner_pid);
        assert_int_equal(have->state, want->state);
        assert_int_equal(have->submitted_at_us, want->submitted_at_us);
        assert_int_equal(have->started_at_us, want->started_at_us);
        assert_int_equal(have->ended_at_us, want->ended_at_us);
        assert_int_equal(have->queued_boot_us, want->queued_boot_us);
        assert_int_equal(have->started_boot_us, want->started_boot_us);
        assert_int_equal(have->pid, want->pid);
        assert_int_equal(have->pid_start_ticks, want->pid_start_ticks);
        assert_string_equal(have->boot_id, want->boot_id);
        assert_int_equal(have->exit_status, want->exit_status);
        assert_int_equal(have->signal, want->signal);
        assert_usage_equal(&have->memory, &want->memory);
        assert_text_equal(have->reason, want->reason);
        assert_int_equal(have->requeue, want->requeue);
        assert_int_equal(have->cancelled, want->cancelled);
        assert_int_equal(have->retry_max, want->retry_max);
        assert_int_equal(have->attempt, want->attempt);
        assert_int_equal(have->n_retries, want->n_retries);
        assert_text_equal(have->output, want->output);
        assert_after_equal(have, want);
        assert_array_equal(have->array, want->array);
}

void put_plain(Store *store, uint64_t first, unsigned n) {
        for (uint64_t id = first; id < first + n; id++) {
                Task *task = plain_task(id);

                assert_int_equal(store_put_task(store, task), 0);
                (void)task_free(task);
        }
        assert_int_equal(store_commit(store, false), 0);
}

static sqlite3 *connect(const Folder *folder) {
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(in_folder(folder, "taskflow.db"), &db), SQLITE_OK);
        return db;
}

void harm(const Folder *folder, const char *sql) {
        sqlite3 *db = connect(folder);

        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int64_t ask(const Folder *folder, const char *sql) {
        sqlite3 *db = connect(folder);
        sqlite3_stmt *statement = NULL;
        int64_t value;

        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
                fail_msg("%s: %s", sql, sqlite3_errmsg(db));
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        value = sqlite3_column_int64(statement, 0);
        (void)sqlite3_finalize(statement);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return value;
}

int note_task(Task *task, void *userdata) {
        Loaded *loaded = userdata;

        assert_true(loaded->n < ELEMENTSOF(loaded->ids));
        loaded->ids[loaded->n++] = task->id;
        (void)task_free(task);
        return 0;
}
