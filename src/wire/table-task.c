/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tasks. Nobody says who he is: `uid` stands only in what the daemon shows, and `key` only in what a runner says of its
 * own.
 */

#include <stdlib.h>

#include "core/task.h"
#include "wire/tables.h"

enum {
        STATUS_MAX = 255,
        SIGNAL_MAX = 64,
        GPU_INDEX_MAX = 9999,
};

bool table_is_uuid(const char *s) {
        static const char allowed[] =
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./-";
        size_t n = strspn(s, allowed);

        return n >= 1 && n <= 80 && s[n] == '\0';
}

bool table_is_gpu_id(const char *s) {
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789.:-";

        return *s != '\0' && s[strspn(s, allowed)] == '\0';
}

const char *table_gpu_kind_to_word(unsigned value) {
        return gpu_kind_to_string((GpuKind)value);
}

bool table_is_boot_id(const char *s) {
        return strlen(s) == 36 && strspn(s, "0123456789abcdef-") == 36;
}

bool table_is_database(const char *s) {
        return strlen(s) == 32 && strspn(s, "0123456789abcdef") == 32;
}

static bool is_not_empty(const char *s) {
        return *s != '\0';
}

const char *table_task_state_to_word(unsigned value) {
        return task_state_to_string((TaskState)value);
}

static const char *pin_mode_to_word(unsigned value) {
        return pin_mode_to_string((PinMode)value);
}

/* Needs */

#define UUID_PATTERN "1 to 80 letters, digits or any of . / -"
#define WANT_ROW                                          \
        ROW_CHARS("want", GpuNeed, want, 0, is_not_empty, \
                  "an index, a UUID or its beginning, or any")
#define WHOLE_ROW(_type) ROW_OR_NULL("bytes", _type, bytes, GPU_WHOLE, 0, 0, INT64_MAX)
#define NEEDS_ROWS(_gpus)                                                               \
        ROW_NUMBER("memory_bytes", Needs, memory_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX), \
                ROW_NUMBER("cpus", Needs, cpus, FIELD_OMIT_ZERO, 0, INT32_MAX),         \
                ROW_ARRAY("gpus", Needs, gpus, n_gpus, 0, _gpus, NEEDS_GPUS_MAX),       \
                ROW_ARRAY("tokens", Needs, tokens, n_tokens, 0, &object_token, NEEDS_TOKENS_MAX)

static const Field token_fields[] = {
        ROW_CHARS("name",
                  Token,
                  name,
                  0,
                  token_is_name,
                  "a letter, then letters, digits or any of . _ -, at most 31 in all"),
        ROW_NUMBER("count", Token, n, 0, 1, TOKEN_NUMBER_MAX),
        {},
};

const Object object_token = { "Token", token_fields };

static const char *check_tokens(Needs *needs) {
        return needs_sort_tokens(needs) ? NULL : "name a token twice";
}

static const char *check_needs(void *value) {
        return check_tokens(value);
}

static const Field asked_gpu_fields[] = {
        WANT_ROW,
        WHOLE_ROW(GpuNeed),
        {},
};

static const Object object_asked_gpu = { "AskedGpu", asked_gpu_fields };

static const Field asked_needs_fields[] = {
        NEEDS_ROWS(&object_asked_gpu),
        {},
};

static const Object object_asked_needs = { "AskedNeeds", asked_needs_fields, check_needs };

static const Field needed_gpu_fields[] = {
        WANT_ROW,
        ROW_CHARS("uuid", GpuNeed, uuid, FIELD_NULLABLE, table_is_uuid, UUID_PATTERN),
        WHOLE_ROW(GpuNeed),
        {},
};

static const Object object_needed_gpu = { "NeededGpu", needed_gpu_fields };

static const Field needs_fields[] = {
        NEEDS_ROWS(&object_needed_gpu),
        {},
};

static const Object object_needs = { "Needs", needs_fields, check_needs };

/* An Update has them in its own object, each only if it is to change. */

#define SET_ROW(_key, _member, _max, _set) \
        ROW_NUMBER(_key, Call, update._member, FIELD_IS_SET, 0, _max, ROW_SET_BY(Call, update._set))

static const Field update_fields[] = {
        ROW_REF("id", Call, update.id),
        SET_ROW("memory_bytes", needs.memory_bytes, INT64_MAX, set_needs_memory),
        SET_ROW("cpus", needs.cpus, INT32_MAX, set_needs_cpus),
        ROW_ARRAY("gpus",
                  Call,
                  update.needs.gpus,
                  update.needs.n_gpus,
                  FIELD_IS_SET,
                  &object_asked_gpu,
                  NEEDS_GPUS_MAX,
                  ROW_SET_BY(Call, update.set_needs_gpus)),
        ROW_ARRAY("tokens",
                  Call,
                  update.needs.tokens,
                  update.needs.n_tokens,
                  FIELD_IS_SET,
                  &object_token,
                  NEEDS_TOKENS_MAX,
                  ROW_SET_BY(Call, update.set_needs_tokens)),
        SET_ROW("priority", priority, TASK_PRIORITY_MAX, set_priority),
        ROW_OR_NULL("time_limit_us",
                    Call,
                    update.time_limit_us,
                    TASK_TIME_INF,
                    FIELD_IS_SET,
                    0,
                    INT64_MAX,
                    ROW_SET_BY(Call, update.set_time_limit)),
        ROW_TEXT("name",
                 Call,
                 update.name,
                 FIELD_NULLABLE | FIELD_IS_SET,
                 ROW_SET_BY(Call, update.set_name)),
        {},
};

static const char *check_update(void *value) {
        Call *call = value;

        return check_tokens(&call->update.needs);
}

const Object object_call_update = { "Update", update_fields, check_update };

/* What was given, and what is used */

static const Field grant_fields[] = {
        ROW_CHARS("uuid", GpuGrant, uuid, 0, table_is_uuid, UUID_PATTERN),
        ROW_GPU_ID("id", GpuGrant, id),
        ROW_GPU_KIND("kind", GpuGrant, kind),
        ROW_NUMBER("index", GpuGrant, index, 0, 0, GPU_INDEX_MAX),
        WHOLE_ROW(GpuGrant),
        {},
};

const Object object_grant = { "GpuGrant", grant_fields };

static const Field usage_fields[] = {
        ROW_BOOL("known", Usage, known),
        ROW_BOOL("let_go", Usage, let_go),
        ROW_NUMBER("used_bytes", Usage, used_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("peak_bytes", Usage, peak_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        {},
};

static const Object object_usage = { "Usage", usage_fields };

static const Field stray_fields[] = {
        ROW_CHARS("uuid", GpuStray, uuid, 0, table_is_uuid, UUID_PATTERN),
        ROW_GPU_ID("id", GpuStray, id),
        ROW_NUMBER("index", GpuStray, index, 0, 0, GPU_INDEX_MAX),
        ROW_NUMBER("used_bytes", GpuStray, used_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("peak_bytes", GpuStray, peak_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        {},
};

static const Object object_stray = { "GpuStray", stray_fields };

/* Tasks */

/* An instant, 0: none. */
#define TIME_ROW(_key, _type, _member) \
        ROW_NUMBER(_key, _type, _member, FIELD_OMIT_ZERO, 0, INT64_MAX)

static void *new_task(void) {
        return task_new();
}

static void *free_task(void *task) {
        return task_free(task);
}

/* What must be there for others to rely on it. */
static const char *check_task(void *value) {
        Task *task = value;

        if (task->needs.n_gpus == 0)
                return NULL;
        if (task->state == TASK_STATE_RUNNING && !task->gpus)
                return "is running without its GPUs";
        if (task->gpu_usage && !task->gpus)
                return "uses GPUs that it was not given";

        if (task->gpus && !task->gpu_usage) {
                task->gpu_usage = calloc(task->needs.n_gpus, sizeof(*task->gpu_usage));
                if (!task->gpu_usage)
                        return "does not fit the memory that is left";
        }
        return NULL;
}

/* A hidden task has no texts, but nobody who prints it should have to ask. */
static const char *check_shown_task(void *value) {
        Task *task = value;

        if (!task->command)
                task->command = strdup("");
        if (!task->cwd)
                task->cwd = strdup("");
        if (!task->command || !task->cwd)
                return "does not fit the memory that is left";
        return check_task(task);
}

/* Arrays */

static void *free_array(void *array) {
        return task_array_free(array);
}

/* The numbers that it begins and ends with follow from the elements, all of which wait. */
static const char *check_submitted_array(void *value) {
        TaskArray *array = value;

        array->first = array->waiting.ranges[0].first;
        array->last = array->waiting.ranges[array->waiting.n - 1].last;
        return NULL;
}

static const char *check_shown_array(void *value) {
        const TaskArray *array = value;

        return array->first > array->last ? "ends before it begins" : NULL;
}

#define LIMIT_ROW          ROW_NUMBER("limit", TaskArray, limit, FIELD_OMIT_ZERO, 0, TASK_INDEX_MAX + 1)
#define ARRAY_ROW(_object) ROW_BEHIND("array", Task, array, FIELD_NULLABLE, _object)

/* A set that is read has at least one number in it. */
static const Field submitted_array_fields[] = {
        ROW_INDICES("waiting", TaskArray, waiting, 0, WIRE_SET_BYTES_MAX),
        LIMIT_ROW,
        {},
};

static const Object object_submitted_array = { "SubmittedArray", submitted_array_fields,
                                               check_submitted_array, NULL, free_array };

#define ELEMENTS_ROW(_key) \
        ROW_NUMBER(#_key, TaskArray, _key, FIELD_OMIT_ZERO, 0, TASK_INDEX_MAX + 1)

static const Field array_fields[] = {
        ROW_INDICES("waiting", TaskArray, waiting, FIELD_NULLABLE, WIRE_SET_BYTES_MAX),
        LIMIT_ROW,
        ROW_NUMBER("first", TaskArray, first, 0, 0, TASK_INDEX_MAX),
        ROW_NUMBER("last", TaskArray, last, 0, 0, TASK_INDEX_MAX),
        ELEMENTS_ROW(n_active),
        ELEMENTS_ROW(n_apart),
        ELEMENTS_ROW(n_done),
        ELEMENTS_ROW(n_failed),
        ELEMENTS_ROW(n_cancelled),
        ELEMENTS_ROW(n_timeout),
        ELEMENTS_ROW(n_lost),
        {},
};

static const Object object_array = { "Array", array_fields, check_shown_array, NULL, free_array };

static const Field after_fields[] = {
        ROW_NUMBER("id", TaskAfter, id, 0, 1, (int64_t)TASK_ID_MAX),
        ROW_BOOL("any", TaskAfter, any),
        {},
};

static const Object object_after = { "After", after_fields };

/* What all kinds of tasks have */

#define WORDS_ROWS(_flags)                                                                        \
        ROW_TEXT("name", Task, name, FIELD_NULLABLE), ROW_TEXT("command", Task, command, _flags), \
                ROW_ARGV("argv", Task, argv), ROW_TEXT("cwd", Task, cwd, _flags),                 \
                ROW_TEXT("output", Task, output, FIELD_NULLABLE)

static const Field terms_fields[] = {
        ROW_NUMBER("priority", Task, priority, FIELD_OPTIONAL, 0, TASK_PRIORITY_MAX),
        ROW_OR_NULL("delay_us", Task, delay_us, TASK_TIME_INF, 0, 0, INT64_MAX),
        ROW_BOOL("delay_given", Task, delay_given),
        ROW_OR_NULL("time_limit_us", Task, time_limit_us, TASK_TIME_INF, 0, 0, INT64_MAX),
        ROW_ENUM("pin",
                 Task,
                 pin,
                 FIELD_OMIT_ZERO,
                 pin_mode_to_word,
                 pin_mode_from_string,
                 PIN_MODE_DEFAULT,
                 PIN_MODE_OFF),
        ROW_BOOL("detached", Task, detached),
        ROW_BOOL("requeue", Task, requeue),
        ROW_NUMBER("retry_max", Task, retry_max, FIELD_OMIT_ZERO, 0, TASK_RETRIES_MAX),
        ROW_ARRAY("after", Task, after, n_after, 0, &object_after, TASK_AFTER_MAX),
        {},
};

static const Object object_terms = { "Terms", terms_fields };

static const Field progress_fields[] = {
        ROW_STATE(Task, state, 0),
        TIME_ROW("submitted_at_us", Task, submitted_at_us),
        ROW_OR_NULL("started_at_us", Task, started_at_us, 0, 0, 0, INT64_MAX),
        ROW_OR_NULL("ended_at_us", Task, ended_at_us, 0, 0, 0, INT64_MAX),
        TIME_ROW("queued_boot_us", Task, queued_boot_us),
        TIME_ROW("started_boot_us", Task, started_boot_us),
        ROW_CHARS("boot_id", Task, boot_id, FIELD_NULLABLE, table_is_boot_id, "a UUID"),
        ROW_ARRAY("gpus",
                  Task,
                  gpus,
                  needs.n_gpus,
                  FIELD_COUNTED | FIELD_NULLABLE,
                  &object_grant,
                  NEEDS_GPUS_MAX),
        ROW_OR_NULL("pid", Task, pid, 0, FIELD_SIGNED, 1, INT32_MAX),
        ROW_NUMBER("pid_start_ticks", Task, pid_start_ticks, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_OR_NULL("exit_status", Task, exit_status, (uint64_t)-1, FIELD_SIGNED, 0, STATUS_MAX),
        ROW_OR_NULL("signal", Task, signal, 0, FIELD_SIGNED, 1, SIGNAL_MAX),
        ROW_OBJECT("memory", Task, memory, FIELD_OPTIONAL, &object_usage),
        ROW_ARRAY("gpu_usage",
                  Task,
                  gpu_usage,
                  needs.n_gpus,
                  FIELD_COUNTED | FIELD_NULLABLE,
                  &object_usage,
                  NEEDS_GPUS_MAX),
        ROW_NUMBER("attempt", Task, attempt, FIELD_OMIT_ZERO, 0, INT32_MAX),
        ROW_NUMBER("n_retries", Task, n_retries, FIELD_OMIT_ZERO, 0, TASK_RETRIES_MAX),
        {},
};

static const Object object_progress = { "Progress", progress_fields };

static const Field submitted_fields[] = {
        ROW_HEX("key", Task, key),
        WORDS_ROWS(0),
        ROW_OBJECT("needs", Task, needs, FIELD_OPTIONAL, &object_asked_needs),
        ROW_PART(0, &object_terms),
        ARRAY_ROW(&object_submitted_array),
        {},
};

const Object object_submitted_task = { "SubmittedTask", submitted_fields, NULL, new_task,
                                       free_task };

static const Field attached_fields[] = {
        ROW_REF("id", Task, id),
        ROW_HEX("key", Task, key),
        WORDS_ROWS(0),
        ROW_OBJECT("needs", Task, needs, FIELD_OPTIONAL, &object_needs),
        ROW_PART(0, &object_terms),
        ROW_PART(0, &object_progress),
        ROW_TEXT("reason", Task, reason, FIELD_NULLABLE),
        {},
};

const Object object_attached_task = { "AttachedTask", attached_fields, check_task, new_task,
                                      free_task };

#define SHOWN_ROWS                                                                      \
        ROW_REF("id", Task, id), ROW_NUMBER("uid", Task, uid, 0, 0, UINT32_MAX),        \
                ROW_OBJECT("needs", Task, needs, FIELD_OPTIONAL, &object_needs),        \
                ROW_PART(0, &object_terms), ROW_PART(0, &object_progress),              \
                ROW_ARRAY("strays", Task, strays, n_strays, 0, &object_stray, GPU_MAX), \
                ARRAY_ROW(&object_array)

static const Field shown_fields[] = {
        SHOWN_ROWS,
        WORDS_ROWS(FIELD_NULLABLE),
        ROW_TEXT("reason", Task, reason, FIELD_NULLABLE),
        {},
};

static const Object object_shown = { "Task", shown_fields, check_shown_task, new_task, free_task };

/* Under show_commands = owner. The reason of an end is the runner's own words, and may name the command. */
static const Field hidden_fields[] = {
        SHOWN_ROWS,
        {},
};

static const Object object_hidden = { "HiddenTask", hidden_fields };

static const Object *choose_shown(const void *owner) {
        const TaskView *view = owner;

        return view->hidden ? &object_hidden : &object_shown;
}

#define TASK_ROW(_type, _member, _object, ...) \
        ROW_BEHIND("task", _type, _member, 0, _object, __VA_ARGS__)

static const Field task_view_fields[] = {
        TASK_ROW(TaskView, task, &object_shown, .choose = choose_shown),
        ROW_BOOL("hidden", TaskView, hidden),
        ROW_BOOL("has_explain", TaskView, has_explain),
        ROW_BEHIND("explain", TaskView, explain, FIELD_NULLABLE, &object_explain),
        TIME_ROW("settle_until_boot_us", TaskView, settle_until_boot_us),
        ROW_NUMBER("share", TaskView, share, FIELD_OMIT_ZERO, 0, INT64_MAX),
        {},
};

const Object object_task_view = { "TaskView", task_view_fields };

/* Calls that carry a task */

#define ROOM_ROW(_member) ROW_OR_NULL("room_bytes", Call, _member, UINT64_MAX, 0, 0, INT64_MAX)

static const Field submit_fields[] = {
        TASK_ROW(Call, submit.task, &object_submitted_task),
        ROW_BOOL("immediate", Call, submit.immediate),
        ROOM_ROW(submit.room_bytes),
        {},
};

const Object object_call_submit = { "Submit", submit_fields };

/* Many tasks in one call */

/* What nobody has to wait for at a terminal. */
static const char *check_many(void *value) {
        const Call *call = value;

        if (call->submit_many.n == 0)
                return "have no task";
        for (size_t i = 0; i < call->submit_many.n; i++)
                if (!call->submit_many.items[i].task->detached)
                        return "have a task that is not detached";
        return NULL;
}

#define ITEMS_ROW(_object) \
        ROW_ARRAY("tasks", Call, submit_many.items, submit_many.n, 0, _object, WIRE_TASKS_MAX)

static const Field submitted_item_fields[] = {
        TASK_ROW(TaskItem, task, &object_submitted_task),
        {},
};

static const Object object_submitted_item = { "SubmittedItem", submitted_item_fields };

static const Field submit_many_fields[] = {
        ITEMS_ROW(&object_submitted_item),
        {},
};

const Object object_call_submit_many = { "SubmitMany", submit_many_fields, check_many };

static const Field queued_item_fields[] = {
        TASK_ROW(TaskItem, task, &object_submitted_task),
        ROW_BOOL("immediate", TaskItem, immediate),
        ROW_OR_NULL("wait_us", TaskItem, wait_us, 0, 0, 1, INT64_MAX),
        {},
};

static const Object object_queued_item = { "QueuedItem", queued_item_fields };

static const Field queue_fields[] = {
        ITEMS_ROW(&object_queued_item),
        ROW_NUMBER("pid", Call, submit_many.pid, FIELD_OMIT_ZERO, 0, INT32_MAX),
        ROW_TEXT("here", Call, submit_many.here, FIELD_NULLABLE),
        {},
};

const Object object_call_queue = { "Queue", queue_fields, check_many };

/* A task whose command runs is running whatever its `state` says: then it has its GPUs. */
static const char *check_attach(void *value) {
        const Call *call = value;

        if (call->attach.started && call->attach.task->needs.n_gpus > 0 && !call->attach.task->gpus)
                return "say that the task was started, but it has no GPUs";
        return NULL;
}

static const Field attach_fields[] = {
        ROW_CHARS("database", Call, attach.database, 0, table_is_database, "32 hexadecimal digits"),
        TASK_ROW(Call, attach.task, &object_attached_task),
        ROW_BOOL("started", Call, attach.started),
        ROOM_ROW(attach.room_bytes),
        {},
};

const Object object_call_attach = { "Attach", attach_fields, check_attach };
