/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The machine, as `status` has it. */

#include "core/core.h"
#include "wire/tables.h"

enum {
        GPU_INDEX_MAX = 9999,
        GPU_TASKS_MAX = 65536, /* that hold some of one GPU: more than a driver lists processes */
};

static const char *gpu_state_to_word(unsigned value) {
        return gpu_state_to_string((GpuState)value);
}

static const char *gpu_use_to_word(unsigned value) {
        return gpu_use_to_string((GpuUse)value);
}

static const Field drain_fields[] = {
        ROW_BOOL("drained", Drain, on),
        ROW_NUMBER("drained_by_uid", Drain, by_uid, FIELD_OMIT_ZERO, 0, UINT32_MAX),
        ROW_NUMBER("drained_at_us", Drain, at_us, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_CHARS("drain_reason", Drain, reason, FIELD_NULLABLE, NULL, "a text"),
        {},
};

const Object object_drain = { "Drain", drain_fields };

static const Field ram_fields[] = {
        ROW_BOOL("known", RamView, known),
        ROW_NUMBER("total_bytes", RamView, total_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("available_bytes", RamView, available_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("promised_bytes", RamView, promised_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("free_bytes", RamView, free_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("reserved_bytes", RamView, reserved_bytes, 0, 0, INT64_MAX),
        ROW_BOOL("pressure_known", RamView, pressure_known),
        ROW_NUMBER("pressure_permyriad",
                   RamView,
                   pressure_permyriad,
                   FIELD_OMIT_ZERO,
                   0,
                   INT32_MAX),
        ROW_NUMBER("pressure_limit_permyriad",
                   RamView,
                   pressure_limit_permyriad,
                   FIELD_OMIT_ZERO,
                   0,
                   INT32_MAX),
        {},
};

static const Object object_ram = { "Ram", ram_fields };

static const Field outsider_fields[] = {
        ROW_NUMBER("pid", OutsideProcess, pid, FIELD_SIGNED, 1, INT32_MAX),
        ROW_NUMBER("start_ticks", OutsideProcess, start_ticks, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_OR_NULL("uid", OutsideProcess, uid, OUTSIDER_UID_UNKNOWN, 0, 0, UINT32_MAX - 1),
        ROW_OR_NULL("used_bytes",
                    OutsideProcess,
                    used_bytes,
                    OUTSIDER_BYTES_UNKNOWN,
                    0,
                    0,
                    INT64_MAX),
        {},
};

const Object object_outsider = { "OutsideProcess", outsider_fields };

static const Field gpu_excess_fields[] = {
        ROW_REF("task_id", GpuExcess, task_id),
        ROW_NUMBER("uid", GpuExcess, uid, 0, 0, UINT32_MAX),
        ROW_NUMBER("asked_bytes", GpuExcess, asked_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("used_bytes", GpuExcess, used_bytes, 0, 0, INT64_MAX),
        {},
};

static const Object object_gpu_excess = { "GpuExcess", gpu_excess_fields };

static const Field gpu_fields[] = {
        ROW_GPU_ID("id", GpuView, id),
        ROW_GPU_KIND("kind", GpuView, sample.kind),
        ROW_NUMBER("index", GpuView, sample.index, 0, 0, GPU_INDEX_MAX),
        ROW_CHARS("uuid",
                  GpuView,
                  sample.uuid,
                  0,
                  table_is_uuid,
                  "1 to 80 letters, digits or any of . / -"),
        ROW_CHARS("name", GpuView, sample.name, 0, NULL, "a text"),
        ROW_ENUM_OR_ELSE("state",
                         GpuView,
                         sample.state,
                         GPU_STATE_UNKNOWN,
                         gpu_state_to_word,
                         gpu_state_from_string,
                         GPU_STATE_OK,
                         GPU_STATE_LOST),
        ROW_NUMBER("total_bytes", GpuView, sample.total_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("available_bytes", GpuView, sample.free_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("promised_bytes", GpuView, promised_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("free_bytes", GpuView, free_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("n_processes", GpuView, sample.n_processes, FIELD_OMIT_ZERO, 0, INT32_MAX),
        ROW_BOOL("processes_known", GpuView, sample.processes_known),
        ROW_ENUM("use",
                 GpuView,
                 sample.use,
                 FIELD_OR_ELSE | FIELD_OPTIONAL,
                 gpu_use_to_word,
                 gpu_use_from_string,
                 GPU_USE_SHARED,
                 N_GPU_USES - 1),
        ROW_BOOL("shares_ram", GpuView, sample.shares_ram),
        ROW_BOOL("whole_only", GpuView, sample.whole_only),
        ROW_CHARS("note", GpuView, sample.note, FIELD_NULLABLE, NULL, "a text"),
        ROW_BOOL("allowed", GpuView, allowed),
        ROW_IDS("tasks", GpuView, task_ids, n_tasks, GPU_TASKS_MAX),
        ROW_WITHIN("excess", GpuView, excess, n_excess, &object_gpu_excess, GPU_VIEW_EXCESS_MAX),
        ROW_NUMBER("n_more_excess", GpuView, n_more_excess, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("outside_bytes", GpuView, outside_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_WITHIN("outsiders",
                   GpuView,
                   outsiders.items,
                   outsiders.n,
                   &object_outsider,
                   OUTSIDERS_MAX),
        ROW_NUMBER("n_more_outsiders", GpuView, outsiders.n_more, FIELD_OMIT_ZERO, 0, INT64_MAX),
        {},
};

static const Object object_gpu = { "Gpu", gpu_fields };

static const Field keep_fields[] = {
        ROW_REF("task_id", KeepView, task_id),
        ROW_NUMBER("uid", KeepView, uid, 0, 0, UINT32_MAX),
        ROW_NUMBER("age_us", KeepView, age_us, 0, 0, INT64_MAX),
        ROW_OR_NULL("left_us", KeepView, left_us, TASK_TIME_INF, 0, 0, INT64_MAX),
        ROW_NUMBER("memory_bytes", KeepView, memory_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("cpus", KeepView, cpus, FIELD_OMIT_ZERO, 0, INT32_MAX),
        ROW_ARRAY("gpus", KeepView, gpus, n_gpus, 0, &object_grant, NEEDS_GPUS_MAX),
        ROW_ARRAY("tokens", KeepView, tokens, n_tokens, 0, &object_token, NEEDS_TOKENS_MAX),
        {},
};

static const Object object_keep = { "Keep", keep_fields };

#define ENDED_ROW(_key, _state) \
        ROW_NUMBER(_key, Health, n_ended[_state], FIELD_OMIT_ZERO, 0, INT64_MAX)

static const Field health_fields[] = {
        ROW_NUMBER("started_at_us", Health, started_at_us, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_CHARS("settings_path", Health, settings_path, FIELD_NULLABLE, NULL, "a text"),
        ROW_NUMBER("settings_at_us", Health, settings_at_us, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_CHARS("settings_text", Health, settings_text, FIELD_NULLABLE, NULL, "a text"),
        ROW_NUMBER("state_total_bytes", Health, state_total_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("state_free_bytes", Health, state_free_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_CHARS("state_text", Health, state_text, FIELD_NULLABLE, NULL, "a text"),
        ROW_NUMBER("n_damaged", Health, n_damaged, FIELD_OMIT_ZERO, 0, UINT32_MAX),
        ROW_BOOL("memory_limited", Health, memory_limited),
        ROW_NUMBER("n_connections", Health, n_connections, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("n_submitted", Health, n_submitted, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("n_started", Health, n_started, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ENDED_ROW("n_done", TASK_STATE_DONE),
        ENDED_ROW("n_failed", TASK_STATE_FAILED),
        ENDED_ROW("n_cancelled", TASK_STATE_CANCELLED),
        ENDED_ROW("n_timeout", TASK_STATE_TIMEOUT),
        ENDED_ROW("n_lost", TASK_STATE_LOST),
        {},
};

static const Object object_health = { "Health", health_fields };

static const Field user_fields[] = {
        ROW_NUMBER("uid", UserView, uid, 0, 0, UINT32_MAX),
        ROW_NUMBER("had", UserView, had, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("portion", UserView, portion, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("share", UserView, share, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("weight_permille", UserView, weight_permille, 0, 1, UINT32_MAX),
        ROW_NUMBER("n_waiting", UserView, n_waiting, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("n_running", UserView, n_running, FIELD_OMIT_ZERO, 0, INT64_MAX),
        {},
};

static const Object object_user = { "User", user_fields };

static const Field tokens_fields[] = {
        ROW_CHARS("name",
                  TokenView,
                  name,
                  0,
                  token_is_name,
                  "a letter, then letters, digits or any of . _ -, at most 31 in all"),
        ROW_NUMBER("total", TokenView, total, 0, 0, INT64_MAX),
        ROW_NUMBER("taken", TokenView, taken, 0, 0, INT64_MAX),
        {},
};

static const Object object_tokens = { "Tokens", tokens_fields };

static const Field machine_fields[] = {
        ROW_OBJECT("ram", MachineStatus, ram, 0, &object_ram),
        ROW_ARRAY("gpus", MachineStatus, gpus, n_gpus, 0, &object_gpu, GPU_MAX),
        ROW_BOOL("gpus_known", MachineStatus, gpus_known),
        ROW_CHARS("gpu_text", MachineStatus, gpu_text, FIELD_NULLABLE, NULL, "a text"),
        ROW_OR_NULL("gpu_age_us", MachineStatus, gpu_age_us, TASK_TIME_INF, 0, 0, INT64_MAX),
        ROW_NUMBER("n_pending", MachineStatus, n_pending, 0, 0, INT64_MAX),
        ROW_NUMBER("n_held", MachineStatus, n_held, 0, 0, INT64_MAX),
        ROW_NUMBER("n_running", MachineStatus, n_running, 0, 0, INT64_MAX),
        ROW_NUMBER("n_cpus", MachineStatus, n_cpus, 0, 0, INT32_MAX),
        ROW_NUMBER("n_cpus_promised", MachineStatus, n_cpus_promised, 0, 0, INT32_MAX),
        ROW_PART(offsetof(MachineStatus, drain), &object_drain),
        ROW_ARRAY("tokens", MachineStatus, tokens, n_tokens, 0, &object_tokens, TOKEN_VIEWS_MAX),
        ROW_BEHIND("keep", MachineStatus, keep, FIELD_NULLABLE, &object_keep),
        ROW_ARRAY("users", MachineStatus, users, n_users, 0, &object_user, STATUS_USERS_MAX),
        ROW_NUMBER("n_more_users", MachineStatus, n_more_users, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_BOOL("personal", MachineStatus, personal),
        ROW_NUMBER("daemon_uid", MachineStatus, daemon_uid, 0, 0, UINT32_MAX),
        ROW_NUMBER("daemon_pid", MachineStatus, daemon_pid, FIELD_SIGNED, 0, INT32_MAX),
        ROW_CHARS("version", MachineStatus, version, 0, NULL, "a text"),
        ROW_CHARS("state_dir", MachineStatus, state_dir, 0, NULL, "a text"),
        ROW_BEHIND("health", MachineStatus, health, FIELD_NULLABLE, &object_health),
        {},
};

const Object object_machine_status = { "MachineStatus", machine_fields };
