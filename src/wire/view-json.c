/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What `--json` prints (interface.md, "JSON"): for scripts, and therefore with every key each time, null for what is not
 * known, and nothing that a newer taskflow would rename. It is not what goes over the socket.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/excess.h"
#include "core/gpu-word.h"
#include "core/index-set.h"
#include "core/output.h"
#include "core/ref.h"
#include "core/task.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"
#include "wire/json-text.h"
#include "wire/message.h"

/* A task with everything in it, each byte escaped to six, stays far below. */
#define VIEW_BYTES_MAX ((size_t)64 * MIB)

enum {
        OUTSIDER_NAME_MAX = 64,
};

static void put_text(JsonText *text, const char *key, const char *s) {
        json_text_key(text, key);
        if (s)
                json_text_string(text, s, TASK_TEXT_MAX);
        else
                json_text_null(text);
}

static void put_uint(JsonText *text, const char *key, uint64_t value) {
        json_text_key(text, key);
        json_text_uint(text, value);
}

static void put_uint_or_null(JsonText *text, const char *key, bool known, uint64_t value) {
        json_text_key(text, key);
        if (known)
                json_text_uint(text, value);
        else
                json_text_null(text);
}

static void put_bool(JsonText *text, const char *key, bool value) {
        json_text_key(text, key);
        json_text_bool(text, value);
}

/* Seconds, with as many decimals as it takes; null for ever. */
/* A number with up to six decimals. */
static void put_millionths(JsonText *text, const char *key, uint64_t millionths) {
        char decimals[8] = "", digits[32];
        uint64_t fraction = millionths % 1000000;

        if (fraction > 0) {
                (void)snprintf(decimals, sizeof(decimals), ".%06u", (unsigned)fraction);
                for (size_t i = strlen(decimals); decimals[i - 1] == '0'; i--)
                        decimals[i - 1] = '\0';
        }
        (void)snprintf(digits, sizeof(digits), "%" PRIu64 "%s", millionths / 1000000, decimals);
        json_text_key(text, key);
        json_text_raw(text, digits);
}

static void put_seconds(JsonText *text, const char *key, uint64_t us) {
        if (us != TASK_TIME_INF) {
                put_millionths(text, key, us);
                return;
        }
        json_text_key(text, key);
        json_text_null(text);
}

static void put_time(JsonText *text, const char *key, uint64_t at_us) {
        char iso[CLOCK_ISO_MAX];

        put_text(text, key,
                 at_us > 0 && clock_format_iso(iso, sizeof(iso), at_us) == 0 ? iso : NULL);
}

/* The words; of a shell line, and of a task that has them nowhere else, it is the line. */
static void put_argv(JsonText *text, const TaskView *view) {
        const Task *task = view->task;
        char *const line[] = { task->command, NULL };
        char *const *argv = task->argv;

        if (!argv && task->command && task->command[0])
                argv = line;
        if (view->hidden)
                argv = NULL;
        json_text_key(text, "argv");
        json_text_open(text, '[');
        for (size_t i = 0; argv && argv[i]; i++)
                json_text_string(text, argv[i], TASK_TEXT_MAX);
        json_text_close(text, ']');
}

static void put_tokens(JsonText *text, const Token *tokens, size_t n) {
        json_text_key(text, "tokens");
        json_text_open(text, '[');
        for (size_t i = 0; i < n; i++) {
                json_text_open(text, '{');
                put_text(text, "name", tokens[i].name);
                put_uint(text, "count", tokens[i].n);
                json_text_close(text, '}');
        }
        json_text_close(text, ']');
}

static void put_needs(JsonText *text, const Needs *needs) {
        json_text_key(text, "needs");
        json_text_open(text, '{');
        put_uint(text, "memory_bytes", needs->memory_bytes);
        put_uint(text, "cpus", needs->cpus);
        json_text_key(text, "gpus");
        json_text_open(text, '[');
        for (unsigned i = 0; i < needs->n_gpus; i++) {
                json_text_open(text, '{');
                put_text(text, "want", needs->gpus[i].want);
                put_uint_or_null(text, "bytes", needs->gpus[i].bytes != GPU_WHOLE,
                                 needs->gpus[i].bytes);
                json_text_close(text, '}');
        }
        json_text_close(text, ']');
        if (needs->n_tokens > 0) /* most machines have none */
                put_tokens(text, needs->tokens, needs->n_tokens);
        json_text_close(text, '}');
}

static void put_grants(JsonText *text, const GpuGrant *grants, size_t n) {
        json_text_key(text, "gpus");
        json_text_open(text, '[');
        for (size_t i = 0; i < n; i++) {
                json_text_open(text, '{');
                put_uint(text, "index", grants[i].index);
                put_text(text, "uuid", grants[i].uuid);
                put_uint_or_null(text, "bytes", grants[i].bytes != GPU_WHOLE, grants[i].bytes);
                json_text_close(text, '}');
        }
        json_text_close(text, ']');
}

/* "used" or "peak" */
static void put_usage(JsonText *text, const char *key, const Task *task, bool peak) {
        const Usage *memory = &task->memory;

        json_text_key(text, key);
        json_text_open(text, '{');
        put_uint_or_null(text, "memory_bytes", memory->known,
                         peak ? memory->peak_bytes : memory->used_bytes);
        json_text_key(text, "gpus");
        json_text_open(text, '[');
        for (unsigned i = 0; task->gpus && task->gpu_usage && i < task->needs.n_gpus; i++) {
                const Usage *usage = &task->gpu_usage[i];

                json_text_open(text, '{');
                put_uint(text, "index", task->gpus[i].index);
                put_uint_or_null(text, "bytes", usage->known,
                                 peak ? usage->peak_bytes : usage->used_bytes);
                json_text_close(text, '}');
        }
        json_text_close(text, ']');
        json_text_close(text, '}');
}

static void put_excess(JsonText *text, const Task *task) {
        unsigned at = 0;
        Excess excess;

        json_text_key(text, "excess");
        json_text_open(text, '[');
        while (excess_next(task, &at, &excess)) {
                json_text_open(text, '{');
                put_uint(text, "index", excess.gpu_index);
                put_text(text, "uuid", excess.gpu_uuid);
                put_uint(text, "asked_bytes", excess.asked_bytes);
                put_uint(text, "used_bytes", excess.used_bytes);
                put_uint(text, "peak_bytes", excess.peak_bytes);
                json_text_close(text, '}');
        }
        json_text_close(text, ']');
}

static void put_words(JsonText *text, const TaskView *view) {
        const Task *task = view->task;

        put_text(text, "command", view->hidden || !task->command ? "" : task->command);
        put_argv(text, view);
        put_text(text, "cwd", view->hidden || !task->cwd ? "" : task->cwd);
}

static void put_result(JsonText *text, const Task *task) {
        put_uint_or_null(text, "exit_status", task->exit_status >= 0, (uint64_t)task->exit_status);
        put_uint_or_null(text, "signal", task->signal > 0, (uint64_t)task->signal);
        put_usage(text, "used", task, false);
        put_usage(text, "peak", task, true);
        put_excess(text, task);
}

/* "id" and "index", the words that people type */
static void put_ref(JsonText *text, uint64_t ref) {
        int64_t index = task_ref_index(ref);

        put_uint(text, "id", task_ref_id(ref));
        put_uint_or_null(text, "index", index >= 0, (uint64_t)index);
}

static void put_array(JsonText *text, const TaskArray *array) {
        _cleanup_free_ char *waiting = NULL;
        uint64_t n_over;

        json_text_key(text, "array");
        if (!array) {
                json_text_null(text);
                return;
        }

        waiting = index_set_format(&array->waiting);
        if (!waiting) {
                json_text_fail(text, -ENOMEM);
                return;
        }

        n_over = (uint64_t)array->n_done + array->n_failed + array->n_cancelled + array->n_timeout +
                 array->n_lost;
        json_text_open(text, '{');
        json_text_key(text, "waiting");
        json_text_string(text, waiting, VIEW_BYTES_MAX);
        put_uint(text, "count", index_set_count(&array->waiting) + array->n_apart + n_over);
        put_uint_or_null(text, "limit", array->limit > 0, array->limit);
        put_uint(text, "done", array->n_done);
        put_uint(text, "failed", array->n_failed);
        put_uint(text, "cancelled", array->n_cancelled);
        put_uint(text, "timeout", array->n_timeout);
        put_uint(text, "lost", array->n_lost);
        json_text_close(text, '}');
}

static void put_after(JsonText *text, const Task *task) {
        json_text_key(text, "after");
        json_text_open(text, '[');
        for (unsigned i = 0; i < task->n_after; i++) {
                json_text_open(text, '{');
                put_uint(text, "id", task->after[i].id);
                put_bool(text, "any", task->after[i].any);
                json_text_close(text, '}');
        }
        json_text_close(text, ']');
}

static void put_retries(JsonText *text, const Task *task) {
        put_bool(text, "requeue", task->requeue);
        json_text_key(text, "retries");
        json_text_open(text, '{');
        put_uint(text, "max", task->retry_max);
        put_uint(text, "used", task->n_retries);
        json_text_close(text, '}');
}

/* The file of this one; of an array, whose elements have one each, the pattern of theirs. */
static void put_output(JsonText *text, const TaskView *view) {
        _cleanup_free_ char *path = NULL;
        const Task *task = view->task;

        if (view->hidden || !task->output || task->array) {
                put_text(text, "output", view->hidden ? NULL : task->output);
                return;
        }

        path = output_expand(task->output, task->id, task->name);
        if (!path) {
                json_text_fail(text, -ENOMEM);
                return;
        }
        json_text_key(text, "output");
        json_text_string(text, path, VIEW_BYTES_MAX);
}

/* In one list of tasks and elements: the number, or the text that people type. */
static void put_task(JsonText *text, uint64_t ref) {
        char buf[TASK_REF_FORMAT_MAX];

        if (task_ref_index(ref) < 0)
                json_text_uint(text, ref);
        else
                json_text_string(text, task_ref_format(buf, sizeof(buf), ref), sizeof(buf));
}

static void put_boot_time(JsonText *text, const char *key, bool known, uint64_t boot_us) {
        uint64_t now_us = clock_realtime_us(), now_boot_us = clock_boottime_us();

        put_time(text, key, known ? now_us - MIN(now_us, now_boot_us) + boot_us : 0);
}

/* When it may start, where the daemon was asked to tell that, and can. */
static void put_start(JsonText *text, const Explain *explain) {
        const ExplainStart *start = explain ? &explain->start : NULL;

        json_text_key(text, "start");
        if (!start || start->late_boot_us == 0) {
                json_text_null(text);
                return;
        }

        json_text_open(text, '{');
        put_boot_time(text, "early_at", !start->latest_alone, start->early_boot_us);
        put_boot_time(text, "about_at", !start->latest_alone, start->about_boot_us);
        put_boot_time(text, "late_at", true, start->late_boot_us);
        json_text_key(text, "rests_on");
        json_text_open(text, '[');
        for (size_t i = 0; i < start->n_rests; i++) {
                json_text_open(text, '{');
                json_text_key(text, "task");
                put_task(text, start->rests[i].task_id);
                put_uint(text, "uid", start->rests[i].uid);
                put_uint(text, "runs", start->rests[i].n_runs);
                put_bool(text, "of_same", start->rests[i].of_same);
                json_text_close(text, '}');
        }
        json_text_close(text, ']');
        json_text_close(text, '}');
}

int task_view_json(const TaskView *view, const char *user, const char *reason, char **ret) {
        JsonText text = JSON_TEXT_NULL(VIEW_BYTES_MAX);
        const Task *task = view->task;

        json_text_open(&text, '{');
        put_ref(&text, task->id);
        put_text(&text, "name", view->hidden ? NULL : task->name);
        put_text(&text, "user", user);
        put_uint(&text, "uid", task->uid);
        put_text(&text, "state", task_state_to_string(task->state));
        put_words(&text, view);
        put_uint(&text, "priority", task->priority);
        put_bool(&text, "detached", task->detached);
        put_uint_or_null(&text, "pid", task->pid > 0, (uint64_t)task->pid);
        put_needs(&text, &task->needs);
        put_grants(&text, task->gpus, task->gpus ? task->needs.n_gpus : 0);
        put_seconds(&text, "delay_seconds", task->delay_us);
        put_seconds(&text, "time_limit_seconds", task->time_limit_us);
        put_time(&text, "submitted_at", task->submitted_at_us);
        put_time(&text, "started_at", task->started_at_us);
        put_time(&text, "ended_at", task->ended_at_us);
        put_result(&text, task);
        put_text(&text, "reason", reason || view->hidden ? reason : task->reason);
        put_output(&text, view);
        put_array(&text, task->array);
        put_after(&text, task);
        put_retries(&text, task);
        put_start(&text, view->has_explain ? view->explain : NULL);
        json_text_close(&text, '}');
        return json_text_take(&text, ret, NULL);
}

/* The list `outside`; null: not known. */
static void put_outsiders(JsonText *text, const Outsiders *outsiders, const StatusNames *names) {
        char buf[OUTSIDER_NAME_MAX];

        json_text_key(text, "outside");
        if (!outsiders) {
                json_text_null(text);
                return;
        }

        json_text_open(text, '[');
        for (size_t i = 0; i < outsiders->n; i++) {
                const OutsideProcess *outsider = &outsiders->items[i];
                bool has_uid = outsider->uid != OUTSIDER_UID_UNKNOWN;

                json_text_open(text, '{');
                put_uint(text, "pid", (uint64_t)outsider->pid);
                put_uint_or_null(text, "uid", has_uid, outsider->uid);
                put_text(text, "user",
                         names && has_uid ? names->user(outsider->uid, buf, sizeof(buf), NULL) :
                                            NULL);
                put_text(text, "program",
                         names ? names->program(outsider, buf, sizeof(buf)) : NULL);
                put_uint_or_null(text, "bytes", outsider->used_bytes != OUTSIDER_BYTES_UNKNOWN,
                                 outsider->used_bytes);
                json_text_close(text, '}');
        }
        json_text_close(text, ']');
}

static void put_percent(JsonText *text, const char *key, bool known, unsigned permyriad) {
        if (known)
                put_millionths(text, key, permyriad * UINT64_C(10000));
        else
                put_text(text, key, NULL);
}

static void put_memory(JsonText *text, const RamView *ram, const StatusNames *names) {
        json_text_key(text, "memory");
        json_text_open(text, '{');
        put_uint_or_null(text, "total_bytes", ram->known, ram->total_bytes);
        put_uint_or_null(text, "available_bytes", ram->known, ram->available_bytes);
        put_uint_or_null(text, "promised_bytes", ram->known, ram->promised_bytes);
        put_uint_or_null(text, "free_bytes", ram->known, ram->free_bytes);
        put_uint_or_null(text, "reserved_bytes", ram->known, ram->reserved_bytes);
        put_percent(text, "pressure_percent", ram->pressure_known, ram->pressure_permyriad);
        put_percent(text, "pressure_limit_percent", ram->pressure_known,
                    ram->pressure_limit_permyriad);
        put_outsiders(text, names ? names->ram : NULL, names);
        json_text_close(text, '}');
}

static void put_gpu_excess(JsonText *text, const GpuView *gpu) {
        json_text_key(text, "excess");
        json_text_open(text, '[');
        for (size_t i = 0; i < gpu->n_excess; i++) {
                json_text_open(text, '{');
                json_text_key(text, "task");
                put_task(text, gpu->excess[i].task_id);
                put_uint(text, "uid", gpu->excess[i].uid);
                put_uint(text, "asked_bytes", gpu->excess[i].asked_bytes);
                put_uint(text, "used_bytes", gpu->excess[i].used_bytes);
                json_text_close(text, '}');
        }
        json_text_close(text, ']');
}

/* The figures of a GPU that does not answer are those that it had; how old they are stands beside the list. */
static void put_gpu(JsonText *text, const GpuView *gpu, const StatusNames *names) {
        const GpuSample *sample = &gpu->sample;
        bool known = sample->state == GPU_STATE_OK && sample->use != GPU_USE_SPLIT &&
                     !sample->whole_only;
        char id[GPU_ID_MAX];
        uint64_t used_bytes = sample->total_bytes - MIN(sample->free_bytes, sample->total_bytes);
        bool listed = known && (sample->processes_known || gpu->outsiders.n > 0);

        json_text_open(text, '{');
        put_text(text, "id", gpu_id_or_index(gpu->id, sample->index, id));
        put_text(text, "kind", gpu_kind_to_string(sample->kind));
        put_uint(text, "index", sample->index);
        put_text(text, "uuid", sample->uuid);
        put_text(text, "name", sample->name);
        put_text(text, "state", gpu_state_to_string(sample->state));
        put_uint_or_null(text, "total_bytes", sample->total_bytes > 0, sample->total_bytes);
        put_uint_or_null(text, "used_bytes", known, used_bytes);
        put_uint(text, "promised_bytes", gpu->promised_bytes);
        put_uint_or_null(text, "free_bytes", known, gpu->free_bytes);
        put_bool(text, "allowed", gpu->allowed);
        put_text(text, "use", gpu_use_to_string(sample->use));
        put_bool(text, "shares_ram", sample->shares_ram);
        put_bool(text, "whole_only", sample->whole_only);
        put_bool(text, "processes_known", sample->processes_known);
        put_text(text, "note", sample->note[0] ? sample->note : NULL);
        json_text_key(text, "tasks");
        json_text_open(text, '[');
        for (size_t i = 0; i < gpu->n_tasks; i++)
                put_task(text, gpu->task_ids[i]);
        json_text_close(text, ']');
        put_gpu_excess(text, gpu);
        put_uint_or_null(text, "outside_bytes", known, gpu->outside_bytes);
        put_outsiders(text, listed ? &gpu->outsiders : NULL, names);
        json_text_close(text, '}');
}

static void put_counts(JsonText *text, const MachineStatus *status) {
        json_text_key(text, "tasks");
        json_text_open(text, '{');
        put_uint(text, "pending", status->n_pending);
        put_uint(text, "running", status->n_running);
        put_uint(text, "held", status->n_held);
        json_text_close(text, '}');
        json_text_key(text, "cpus");
        json_text_open(text, '{');
        put_uint(text, "total", status->n_cpus);
        put_uint(text, "promised", status->n_cpus_promised);
        json_text_close(text, '}');
}

/* Those that there are, or that tasks still have. */
static void put_all_tokens(JsonText *text, const MachineStatus *status) {
        json_text_key(text, "tokens");
        json_text_open(text, '[');
        for (size_t i = 0; i < status->n_tokens; i++) {
                const TokenView *view = &status->tokens[i];

                json_text_open(text, '{');
                put_text(text, "name", view->name);
                put_uint(text, "total", view->total);
                put_uint(text, "taken", view->taken);
                put_uint(text, "free", view->total - MIN(view->taken, view->total));
                json_text_close(text, '}');
        }
        json_text_close(text, ']');
}

static void put_drain(JsonText *text, const Drain *drain) {
        if (!drain->on) {
                put_text(text, "drained", NULL);
                return;
        }

        json_text_key(text, "drained");
        json_text_open(text, '{');
        put_text(text, "reason", drain->reason[0] ? drain->reason : NULL);
        put_uint(text, "uid", drain->by_uid);
        put_time(text, "since", drain->at_us);
        json_text_close(text, '}');
}

/* Whom room is kept for, or null. */
static void put_keep(JsonText *text, const KeepView *keep) {
        json_text_key(text, "kept");
        if (!keep) {
                json_text_null(text);
                return;
        }

        json_text_open(text, '{');
        json_text_key(text, "task");
        put_task(text, keep->task_id);
        put_uint(text, "uid", keep->uid);
        put_seconds(text, "age_seconds", keep->age_us);
        put_seconds(text, "left_seconds", keep->left_us);
        put_uint(text, "memory_bytes", keep->memory_bytes);
        put_uint(text, "cpus", keep->cpus);
        put_grants(text, keep->gpus, keep->n_gpus);
        put_tokens(text, keep->tokens, keep->n_tokens);
        json_text_close(text, '}');
}

/* A part of the machine. */
static void put_fraction(JsonText *text, const char *key, uint64_t of_whole) {
        uint64_t whole = of_whole / CORE_WHOLE, rest = of_whole % CORE_WHOLE;

        put_millionths(text, key, whole * 1000000 + rest * 1000000 / CORE_WHOLE);
}

static void put_user(JsonText *text, const UserView *user, const StatusNames *names) {
        char name[64];

        json_text_open(text, '{');
        put_text(text, "user", names ? names->user(user->uid, name, sizeof(name), NULL) : NULL);
        put_uint(text, "uid", user->uid);
        put_fraction(text, "share", user->share);
        put_fraction(text, "past", user->had);
        put_fraction(text, "held", user->portion);
        put_millionths(text, "weight", user->weight_permille * UINT64_C(1000));
        put_uint(text, "running", user->n_running);
        put_uint(text, "waiting", user->n_waiting);
        json_text_close(text, '}');
}

static void put_daemon(JsonText *text, const MachineStatus *status) {
        json_text_key(text, "daemon");
        json_text_open(text, '{');
        put_bool(text, "personal", status->personal);
        put_uint(text, "uid", status->daemon_uid);
        put_uint(text, "pid", (uint64_t)status->daemon_pid);
        put_text(text, "version", status->version);
        put_text(text, "state_dir", status->state_dir);
        json_text_close(text, '}');
}

int machine_status_json(const MachineStatus *status, const StatusNames *names, char **ret) {
        JsonText text = JSON_TEXT_NULL(VIEW_BYTES_MAX);

        json_text_open(&text, '{');
        put_uint(&text, "schema", 1);
        put_memory(&text, &status->ram, names);
        json_text_key(&text, "gpus");
        json_text_open(&text, '[');
        for (size_t i = 0; i < status->n_gpus; i++)
                put_gpu(&text, &status->gpus[i], names);
        json_text_close(&text, ']');
        put_bool(&text, "gpus_known", status->gpus_known);
        put_text(&text, "gpus_message", status->gpu_text[0] ? status->gpu_text : NULL);
        put_seconds(&text, "gpus_age_seconds", status->gpu_age_us);
        put_counts(&text, status);
        put_all_tokens(&text, status);
        put_drain(&text, &status->drain);
        put_keep(&text, status->keep);
        json_text_key(&text, "users");
        json_text_open(&text, '[');
        for (size_t i = 0; i < status->n_users; i++)
                put_user(&text, &status->users[i], names);
        json_text_close(&text, ']');
        put_daemon(&text, status);
        json_text_close(&text, '}');
        return json_text_take(&text, ret, NULL);
}
