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

static const Field ram_fields[] = {
        ROW_BOOL("known", RamView, known),
        ROW_NUMBER("total_bytes", RamView, total_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("available_bytes", RamView, available_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("promised_bytes", RamView, promised_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("free_bytes", RamView, free_bytes, 0, 0, INT64_MAX),
        ROW_NUMBER("reserved_bytes", RamView, reserved_bytes, 0, 0, INT64_MAX),
        {},
};

static const Object object_ram = { "Ram", ram_fields };

static const Field gpu_fields[] = {
        ROW_NUMBER("index", GpuView, sample.index, 0, 0, GPU_INDEX_MAX),
        ROW_CHARS("uuid",
                  GpuView,
                  sample.uuid,
                  0,
                  table_is_uuid,
                  "1 to 80 letters, digits or any of . / -"),
        ROW_CHARS("name", GpuView, sample.name, 0, NULL, "a text"),
        ROW_ENUM("state",
                 GpuView,
                 sample.state,
                 0,
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
        ROW_BOOL("allowed", GpuView, allowed),
        ROW_IDS("tasks", GpuView, task_ids, n_tasks, GPU_TASKS_MAX),
        {},
};

static const Object object_gpu = { "Gpu", gpu_fields };

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
        ROW_BOOL("personal", MachineStatus, personal),
        ROW_NUMBER("daemon_uid", MachineStatus, daemon_uid, 0, 0, UINT32_MAX),
        ROW_NUMBER("daemon_pid", MachineStatus, daemon_pid, FIELD_SIGNED, 0, INT32_MAX),
        ROW_CHARS("version", MachineStatus, version, 0, NULL, "a text"),
        ROW_CHARS("state_dir", MachineStatus, state_dir, 0, NULL, "a text"),
        {},
};

const Object object_machine_status = { "MachineStatus", machine_fields };
