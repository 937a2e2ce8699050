/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Which column is which field, and what may stand in it. The order is that of sql.c.
 */

#include "store/task-row.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/ref.h"
#include "core/signature.h"
#include "store/column.h"
#include "util/cleanup.h"
#include "util/macro.h"

enum {
        /* What the daemon takes in one message; what it keeps of an argv is less. */
        ARGV_BYTES_MAX = 1024 * 1024,
};

#define RUN_MIN_US (30 * US_PER_SEC)

/* A GPU of a task: what it asks for, what it got, and what was seen. */
typedef struct TaskGpu {
        GpuNeed need;
        bool granted;
        GpuGrant grant;
        Usage usage;
} TaskGpu;

static const char *state_to_string(int value) {
        return task_state_to_string((TaskState)value);
}

static const char *kind_to_string(int value) {
        return gpu_kind_to_string((GpuKind)value);
}

static const char *pin_to_string(int value) {
        return pin_mode_to_string((PinMode)value);
}

#define FIELD(struct, member) \
        .offset = offsetof(struct, member), .size = sizeof(((struct *)NULL)->member)

#define UINT64_FIELD(column, struct, member, null_is)                                              \
        {                                                                                          \
                .name = (column), .type = COLUMN_UINT64, .null = (null_is), FIELD(struct, member), \
                .max = INT64_MAX                                                                   \
        }
#define BOOL_FIELD(column, struct, member) \
        { .name = (column), .type = COLUMN_BOOL, FIELD(struct, member), .max = 1 }
#define UNSIGNED_FIELD(column, struct, member, most) \
        { .name = (column), .type = COLUMN_UNSIGNED, FIELD(struct, member), .max = (most) }
#define INT_FIELD(column, struct, member, least, most)                                       \
        {                                                                                    \
                .name = (column), .type = COLUMN_INT, FIELD(struct, member), .min = (least), \
                .max = (most)                                                                \
        }
#define TEXT_FIELD(column, struct, member)                                         \
        {                                                                          \
                .name = (column), .type = COLUMN_STRING, .null = COLUMN_NULL_ZERO, \
                FIELD(struct, member), .max = TASK_TEXT_MAX                        \
        }
#define CHARS_FIELD(column, struct, member)                                    \
        {                                                                      \
                .name = (column), .type = COLUMN_CHARS, FIELD(struct, member), \
                .max = sizeof(((struct *)NULL)->member) - 1                    \
        }

/* clang-format off */
static const Column task_columns[] = {
        { .name = "id", .type = COLUMN_REF, FIELD(Task, id), .min = TASK_ROW_PLACE_MIN,
          .max = TASK_ROW_PLACE_MAX },
        { .name = "key", .type = COLUMN_BYTES, .null = COLUMN_NULL_ZERO, FIELD(Task, key) },
        UNSIGNED_FIELD("uid", Task, uid, UINT32_MAX - 1),
        { .name = "state", .type = COLUMN_ENUM, FIELD(Task, state),
          .to_string = state_to_string, .from_string = task_state_from_string },
        TEXT_FIELD("name", Task, name),
        TEXT_FIELD("command", Task, command),
        { .name = "argv", .type = COLUMN_STRV, .null = COLUMN_NULL_ZERO, FIELD(Task, argv),
          .max = ARGV_BYTES_MAX },
        TEXT_FIELD("cwd", Task, cwd),
        UINT64_FIELD("memory_bytes", Task, needs.memory_bytes, COLUMN_NULL_NOT),
        UNSIGNED_FIELD("cpus", Task, needs.cpus, UINT_MAX),
        UNSIGNED_FIELD("n_gpus", Task, needs.n_gpus, NEEDS_GPUS_MAX),
        UNSIGNED_FIELD("priority", Task, priority, TASK_PRIORITY_MAX),
        UINT64_FIELD("delay_us", Task, delay_us, COLUMN_NULL_MAX),
        BOOL_FIELD("delay_given", Task, delay_given),
        UINT64_FIELD("time_limit_us", Task, time_limit_us, COLUMN_NULL_MAX),
        { .name = "pin", .type = COLUMN_ENUM, FIELD(Task, pin),
          .to_string = pin_to_string, .from_string = pin_mode_from_string },
        BOOL_FIELD("detached", Task, detached),
        INT_FIELD("runner_pid", Task, runner_pid, 0, INT_MAX),
        UINT64_FIELD("submitted_at_us", Task, submitted_at_us, COLUMN_NULL_NOT),
        UINT64_FIELD("started_at_us", Task, started_at_us, COLUMN_NULL_ZERO),
        UINT64_FIELD("ended_at_us", Task, ended_at_us, COLUMN_NULL_ZERO),
        UINT64_FIELD("queued_boot_us", Task, queued_boot_us, COLUMN_NULL_NOT),
        UINT64_FIELD("started_boot_us", Task, started_boot_us, COLUMN_NULL_NOT),
        INT_FIELD("pid", Task, pid, 0, INT_MAX),
        UINT64_FIELD("pid_start_ticks", Task, pid_start_ticks, COLUMN_NULL_NOT),
        CHARS_FIELD("boot_id", Task, boot_id),
        { .name = "exit_status", .type = COLUMN_INT, .null = COLUMN_NULL_MAX, FIELD(Task, exit_status),
          .max = 255 },
        INT_FIELD("signal", Task, signal, 0, 127),
        BOOL_FIELD("memory_known", Task, memory.known),
        BOOL_FIELD("memory_let_go", Task, memory.let_go),
        UINT64_FIELD("memory_used_bytes", Task, memory.used_bytes, COLUMN_NULL_MAX),
        UINT64_FIELD("memory_peak_bytes", Task, memory.peak_bytes, COLUMN_NULL_MAX),
        TEXT_FIELD("reason", Task, reason),
        BOOL_FIELD("requeue", Task, requeue),
        UNSIGNED_FIELD("retry_max", Task, retry_max, TASK_RETRIES_MAX),
        UNSIGNED_FIELD("attempt", Task, attempt, INT_MAX),
        UNSIGNED_FIELD("n_retries", Task, n_retries, TASK_RETRIES_MAX),
        TEXT_FIELD("output", Task, output),
        UNSIGNED_FIELD("n_after", Task, n_after, TASK_AFTER_MAX),
        BOOL_FIELD("cancelled", Task, cancelled),
        { .name = "tokens", .type = COLUMN_TOKENS, .null = COLUMN_NULL_ZERO, FIELD(Task, needs) },
};

/* What is active of it is counted anew from its elements by whoever loads them. */
static const Column task_array_columns[] = {
        UNSIGNED_FIELD("first", TaskArray, first, TASK_INDEX_MAX),
        UNSIGNED_FIELD("last", TaskArray, last, TASK_INDEX_MAX),
        { .name = "waiting", .type = COLUMN_SET, FIELD(TaskArray, waiting), .max = TASK_INDEX_MAX },
        UNSIGNED_FIELD("limit", TaskArray, limit, TASK_INDEX_MAX + 1),
        UNSIGNED_FIELD("n_done", TaskArray, n_done, TASK_INDEX_MAX + 1),
        UNSIGNED_FIELD("n_failed", TaskArray, n_failed, TASK_INDEX_MAX + 1),
        UNSIGNED_FIELD("n_cancelled", TaskArray, n_cancelled, TASK_INDEX_MAX + 1),
        UNSIGNED_FIELD("n_timeout", TaskArray, n_timeout, TASK_INDEX_MAX + 1),
        UNSIGNED_FIELD("n_lost", TaskArray, n_lost, TASK_INDEX_MAX + 1),
};

static const Column task_gpu_columns[] = {
        CHARS_FIELD("want", TaskGpu, need.want),
        CHARS_FIELD("uuid", TaskGpu, need.uuid),
        UINT64_FIELD("bytes", TaskGpu, need.bytes, COLUMN_NULL_MAX),
        BOOL_FIELD("granted", TaskGpu, granted),
        CHARS_FIELD("grant_uuid", TaskGpu, grant.uuid),
        UNSIGNED_FIELD("grant_index", TaskGpu, grant.index, UINT_MAX),
        UINT64_FIELD("grant_bytes", TaskGpu, grant.bytes, COLUMN_NULL_MAX),
        BOOL_FIELD("usage_known", TaskGpu, usage.known),
        BOOL_FIELD("usage_let_go", TaskGpu, usage.let_go),
        UINT64_FIELD("used_bytes", TaskGpu, usage.used_bytes, COLUMN_NULL_MAX),
        UINT64_FIELD("peak_bytes", TaskGpu, usage.peak_bytes, COLUMN_NULL_MAX),
        CHARS_FIELD("grant_id", TaskGpu, grant.id),
        { .name = "grant_kind", .type = COLUMN_ENUM, FIELD(TaskGpu, grant.kind),
          .to_string = kind_to_string, .from_string = gpu_kind_from_string },
};

static const Column gpu_columns[] = {
        CHARS_FIELD("uuid", GpuSample, uuid),
        CHARS_FIELD("name", GpuSample, name),
        UNSIGNED_FIELD("gpu_index", GpuSample, index, UINT_MAX),
        UINT64_FIELD("total_bytes", GpuSample, total_bytes, COLUMN_NULL_NOT),
        { .name = "kind", .type = COLUMN_ENUM, FIELD(GpuSample, kind),
          .to_string = kind_to_string, .from_string = gpu_kind_from_string },
        UNSIGNED_FIELD("part", GpuSample, part, UINT_MAX),
};
/* clang-format on */

/* The parameters behind those of a Task. */
enum {
        TASK_PARAMETER_IS_ARRAY = ELEMENTSOF(task_columns) + 1,
        TASK_PARAMETER_OVER_AT_US, /* NULL while it is active */
        TASK_PARAMETER_SIGNATURE,  /* NULL unless something is learned from it */
};

/* The parameter behind those of a TaskArray. */
enum {
        TASK_ARRAY_PARAMETER_TASK_ID = ELEMENTSOF(task_array_columns) + 1,
};

/* The parameters behind those of a TaskGpu. */
enum {
        TASK_GPU_PARAMETER_TASK_ID = ELEMENTSOF(task_gpu_columns) + 1,
        TASK_GPU_PARAMETER_N,
};

static int64_t place(uint64_t id) {
        return (int64_t)task_ref_order(id);
}

static int put_task_gpu(Db *db, const Task *task, unsigned n) {
        TaskGpu gpu = { .need = task->needs.gpus[n] };
        sqlite3_stmt *statement = NULL;
        int r;

        if (task->gpus) {
                gpu.granted = true;
                gpu.grant = task->gpus[n];
        }
        if (task->gpu_usage)
                gpu.usage = task->gpu_usage[n];

        r = db_statement(db, SQL_TASK_GPU_PUT, &statement);
        if (r < 0)
                return r;

        r = column_bind(statement, task_gpu_columns, ELEMENTSOF(task_gpu_columns), &gpu);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, TASK_GPU_PARAMETER_TASK_ID, place(task->id));
        (void)sqlite3_bind_int64(statement, TASK_GPU_PARAMETER_N, n);
        return db_run(statement);
}

/* Forgets the GPUs of a task from the @n-th on. */
static int trim_task_gpus(Db *db, uint64_t id, unsigned n) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SQL_TASK_GPU_TRIM, &statement);
        if (r < 0)
                return r;

        (void)sqlite3_bind_int64(statement, 1, place(id));
        (void)sqlite3_bind_int64(statement, 2, n);
        return db_run(statement);
}

static int put_task_after(Db *db, const Task *task, unsigned n) {
        const TaskAfter *after = &task->after[n];
        sqlite3_stmt *statement = NULL;
        int r;

        if (after->id < 1 || after->id > TASK_ID_MAX)
                return -ERANGE;

        r = db_statement(db, SQL_TASK_AFTER_PUT, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, place(task->id));
        (void)sqlite3_bind_int64(statement, 2, n);
        (void)sqlite3_bind_int64(statement, 3, (int64_t)after->id);
        (void)sqlite3_bind_int64(statement, 4, after->any);
        return db_run(statement);
}

static int put_task_array(Db *db, const Task *task) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SQL_TASK_ARRAY_PUT, &statement);
        if (r < 0)
                return r;

        r = column_bind(statement, task_array_columns, ELEMENTSOF(task_array_columns), task->array);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, TASK_ARRAY_PARAMETER_TASK_ID, place(task->id));
        return db_run(statement);
}

static int remove_by_id(Db *db, SqlId sql, uint64_t id) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, sql, &statement);
        if (r < 0)
                return r;

        (void)sqlite3_bind_int64(statement, 1, place(id));
        return db_run(statement);
}

int task_row_remove(Db *db, uint64_t id) {
        int r;

        if (id > INT64_MAX)
                return 0;

        r = trim_task_gpus(db, id, 0);
        if (r == 0)
                r = remove_by_id(db, SQL_TASK_AFTER_REMOVE, id);
        if (r == 0)
                r = remove_by_id(db, SQL_TASK_ARRAY_REMOVE, id);
        if (r == 0)
                r = remove_by_id(db, SQL_TASK_REMOVE, id);
        return r;
}

/*
 * One that ended nobody knows when must still be forgotten one day. An array is over behind its elements, so that it is
 * never forgotten before one that ended with it.
 */
static int64_t over_at_us(const Task *task) {
        uint64_t at_us = task->ended_at_us > 0 ? task->ended_at_us : task->submitted_at_us;

        return (int64_t)MIN(at_us + (task->array ? 1 : 0), (uint64_t)INT64_MAX);
}

/* Whether later runs of the same are judged by it: it was looked at some times. */
static bool is_run(const Task *task) {
        return task->state == TASK_STATE_DONE && !task->array && task->started_at_us > 0 &&
               task->ended_at_us > task->started_at_us &&
               task->ended_at_us - task->started_at_us >= RUN_MIN_US;
}

/* Return: 1 if it was put, 0 if the row that is there differs in what an index holds, or negative errno. */
static int put_task(Db *db, const Task *task) {
        bool ended = task_state_is_final(task->state);
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, ended ? SQL_TASK_PUT_ENDED : SQL_TASK_PUT_ACTIVE, &statement);
        if (r < 0)
                return r;

        r = column_bind(statement, task_columns, ELEMENTSOF(task_columns), task);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, TASK_PARAMETER_IS_ARRAY, task->array != NULL);
        if (ended)
                (void)sqlite3_bind_int64(statement, TASK_PARAMETER_OVER_AT_US, over_at_us(task));
        if (is_run(task))
                (void)sqlite3_bind_int64(statement, TASK_PARAMETER_SIGNATURE,
                                         (int64_t)signature_of(task, NULL));
        r = db_run(statement);
        if (r < 0)
                return r;
        return sqlite3_changes(db->handle);
}

int task_row_put(Db *db, const Task *task) {
        int r;

        r = put_task(db, task);
        if (r == 0) {
                r = task_row_remove(db, task->id);
                if (r == 0)
                        r = put_task(db, task);
        }
        if (r < 0)
                return r;

        for (unsigned n = 0; n < task->needs.n_gpus; n++) {
                r = put_task_gpu(db, task, n);
                if (r < 0)
                        return r;
        }
        for (unsigned n = 0; n < task->n_after; n++) {
                r = put_task_after(db, task, n);
                if (r < 0)
                        return r;
        }
        if (task->array) {
                r = put_task_array(db, task);
                if (r < 0)
                        return r;
        }
        return trim_task_gpus(db, task->id, task->needs.n_gpus);
}

static int read_task_gpu(Task *task, sqlite3_stmt *statement, unsigned n, Error *error) {
        TaskGpu gpu = {};
        int r;

        r = column_read(statement, task_gpu_columns, ELEMENTSOF(task_gpu_columns), &gpu, error);
        if (r == COLUMN_E_DAMAGED)
                return TASK_ROW_E_DAMAGED;
        if (r < 0)
                return r;

        if (sqlite3_column_int64(statement, TASK_GPU_PARAMETER_N - 1) != n)
                return error_set(error, TASK_ROW_E_DAMAGED, "its GPUs are not all there");
        if (gpu.need.want[0] == '\0')
                return error_set(error, TASK_ROW_E_DAMAGED, "its GPU has no id");
        if (n > 0 && gpu.granted != (task->gpus != NULL))
                return error_set(error, TASK_ROW_E_DAMAGED, "it was given some of its GPUs");

        if (gpu.granted && n == 0) {
                task->gpus = calloc(task->needs.n_gpus, sizeof(*task->gpus));
                task->gpu_usage = calloc(task->needs.n_gpus, sizeof(*task->gpu_usage));
                if (!task->gpus || !task->gpu_usage)
                        return -ENOMEM;
        }

        task->needs.gpus[n] = gpu.need;
        if (task->gpus) {
                task->gpus[n] = gpu.grant;
                task->gpu_usage[n] = gpu.usage;
        }
        return 0;
}

/* The rows of a bound statement. */
static int read_task_gpu_rows(Task *task, sqlite3_stmt *statement, Error *error) {
        unsigned n = 0;
        int r;

        while ((r = db_step(statement)) > 0) {
                if (n == task->needs.n_gpus)
                        return error_set(error, TASK_ROW_E_DAMAGED,
                                         "it has more GPUs than it asks for");
                r = read_task_gpu(task, statement, n, error);
                if (r != 0)
                        return r;
                n++;
        }
        if (r < 0)
                return r;
        if (n != task->needs.n_gpus)
                return error_set(error, TASK_ROW_E_DAMAGED, "its GPUs are not all there");
        return 0;
}

SqlId task_row_gpus_sql(unsigned old_version) {
        static const SqlId sql[] = { SQL_TASK_GPUS, SQL_TASK_GPUS_1, SQL_TASK_GPUS_5,
                                     SQL_TASK_GPUS_5, SQL_TASK_GPUS };

        return sql[old_version];
}

static int read_task_gpus(Db *db, Task *task, Error *error) {
        sqlite3_stmt *statement = NULL;
        int r;

        task->needs.gpus = calloc(task->needs.n_gpus, sizeof(*task->needs.gpus));
        if (!task->needs.gpus)
                return -ENOMEM;

        r = db_statement(db, task_row_gpus_sql(db->old_version), &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, place(task->id));
        r = read_task_gpu_rows(task, statement, error);
        (void)sqlite3_reset(statement);
        return r;
}

/* The rows of a bound statement: n, id, any. */
static int read_task_after_rows(Task *task, sqlite3_stmt *statement, Error *error) {
        unsigned n = 0;
        int r;

        while ((r = db_step(statement)) > 0) {
                int64_t id = sqlite3_column_int64(statement, 1);
                int64_t any = sqlite3_column_int64(statement, 2);

                if (n == task->n_after || sqlite3_column_int64(statement, 0) != n)
                        return error_set(error, TASK_ROW_E_DAMAGED,
                                         "what it waits for is not as it says");
                if (id < 1 || (uint64_t)id > TASK_ID_MAX || any < 0 || any > 1)
                        return error_set(error, TASK_ROW_E_DAMAGED, "it waits for no task");
                task->after[n++] = (TaskAfter){ .id = (uint64_t)id, .any = any };
        }
        if (r < 0)
                return r;
        if (n != task->n_after)
                return error_set(error, TASK_ROW_E_DAMAGED, "what it waits for is not all there");
        return 0;
}

static int read_task_after(Db *db, Task *task, Error *error) {
        sqlite3_stmt *statement = NULL;
        int r;

        task->after = calloc(task->n_after, sizeof(*task->after));
        if (!task->after)
                return -ENOMEM;

        r = db_statement(db, SQL_TASK_AFTERS, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, place(task->id));
        r = read_task_after_rows(task, statement, error);
        (void)sqlite3_reset(statement);
        return r;
}

static int read_task_array_row(TaskArray *array, sqlite3_stmt *statement, Error *error) {
        int r;

        r = db_step(statement);
        if (r < 0)
                return r;
        if (r == 0)
                return error_set(error, TASK_ROW_E_DAMAGED, "its elements are not there");

        r = column_read(statement, task_array_columns, ELEMENTSOF(task_array_columns), array,
                        error);
        if (r != 0)
                return r > 0 ? TASK_ROW_E_DAMAGED : r;
        if (array->first > array->last)
                return error_set(error, TASK_ROW_E_DAMAGED, "it ends before it begins");
        return 0;
}

static int read_task_array(Db *db, Task *task, Error *error) {
        sqlite3_stmt *statement = NULL;
        int r;

        if (task_ref_index(task->id) >= 0)
                return error_set(error, TASK_ROW_E_DAMAGED, "it is an array in an array");
        task->array = calloc(1, sizeof(*task->array));
        if (!task->array)
                return -ENOMEM;

        r = db_statement(db, SQL_TASK_ARRAY_GET, &statement);
        if (r < 0)
                return r;
        (void)sqlite3_bind_int64(statement, 1, place(task->id));
        r = read_task_array_row(task->array, statement, error);
        (void)sqlite3_reset(statement);
        return r;
}

/* What of it is in other tables. */
static int read_rest(Db *db, Task *task, bool is_array, Error *error) {
        int r = 0;

        if (task->needs.n_gpus > 0)
                r = read_task_gpus(db, task, error);
        if (r == 0 && task->n_after > 0)
                r = read_task_after(db, task, error);
        if (r == 0 && is_array)
                r = read_task_array(db, task, error);
        return r;
}

/* Each field is good by itself; what the core relies on besides. */
static int check(const Task *task, bool over, Error *error) {
        if (over != task_state_is_final(task->state))
                return error_set(error, TASK_ROW_E_DAMAGED,
                                 "its 'state' and 'over_at_us' contradict each other");
        if (task->state == TASK_STATE_RUNNING && task->needs.n_gpus > 0 && !task->gpus)
                return error_set(error, TASK_ROW_E_DAMAGED, "it is running without its GPUs");
        return 0;
}

int task_row_read(Db *db, sqlite3_stmt *statement, Task **ret, Error *error) {
        _cleanup_(task_freep) Task *task = NULL;
        uint64_t id = task_ref_from_order((uint64_t)sqlite3_column_int64(statement, 0));
        bool is_array = sqlite3_column_int64(statement, TASK_PARAMETER_IS_ARRAY - 1) != 0;
        char buf[TASK_REF_FORMAT_MAX];
        bool over = sqlite3_column_type(statement, TASK_PARAMETER_OVER_AT_US - 1) != SQLITE_NULL;
        int r;

        task = task_new();
        if (!task)
                return -ENOMEM;

        r = column_read(statement, task_columns, ELEMENTSOF(task_columns), task, error);
        if (r == 0)
                r = read_rest(db, task, is_array, error);
        if (r == 0)
                r = check(task, over, error);
        if (r > 0)
                error_prefix(error, "task %s: ", task_ref_format(buf, sizeof(buf), id));
        if (r != 0)
                return r > 0 ? TASK_ROW_E_DAMAGED : r;

        *ret = TAKE_PTR(task);
        return 0;
}

int gpu_row_put(Db *db, const GpuSample *gpu) {
        sqlite3_stmt *statement = NULL;
        int r;

        r = db_statement(db, SQL_GPU_PUT, &statement);
        if (r < 0)
                return r;

        r = column_bind(statement, gpu_columns, ELEMENTSOF(gpu_columns), gpu);
        if (r < 0)
                return r;
        return db_run(statement);
}

int gpu_row_read(sqlite3_stmt *statement, GpuSample *ret, Error *error) {
        GpuSample gpu = { .state = GPU_STATE_UNKNOWN };
        int r;

        r = column_read(statement, gpu_columns, ELEMENTSOF(gpu_columns), &gpu, error);
        if (r == COLUMN_E_DAMAGED)
                return TASK_ROW_E_DAMAGED;
        if (r < 0)
                return r;
        if (gpu.uuid[0] == '\0')
                return error_set(error, TASK_ROW_E_DAMAGED, "a GPU has no UUID");

        *ret = gpu;
        return 0;
}
