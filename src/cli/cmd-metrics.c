/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow metrics: figures of the machine and its queue, in Prometheus' text format (version 0.0.4).
 *
 * What is not known is left out, as Prometheus wants it, and never 0.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/session.h"
#include "core/gpu-word.h"
#include "core/task.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/text.h"

#define PREFIX "taskflow_"

/* The two lines above the samples of a metric. */
static void describe(const char *name, const char *type, const char *help) {
        (void)printf("# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void put(const char *name, const char *type, const char *help, uint64_t value) {
        describe(name, type, help);
        (void)printf(PREFIX "%s %" PRIu64 "\n", name, value);
}

/* With as many decimals as microseconds have. */
static void put_seconds(const char *name, const char *help, uint64_t us) {
        describe(name, "gauge", help);
        (void)printf(PREFIX "%s %" PRIu64 ".%06" PRIu64 "\n", name, us / US_PER_SEC,
                     us % US_PER_SEC);
}

/* name="value", made visible, and escaped as it is there. */
static void put_label(const char *name, const char *value) {
        _cleanup_free_ char *visible = text_visible(value);

        (void)printf("%s=\"", name);
        for (const char *p = visible ? visible : "(out of memory)"; *p; p++)
                (void)printf("%s%c", *p == '\\' || *p == '"' ? "\\" : "", *p);
        (void)putchar('"');
}

static void put_by_state(const char *name, TaskState state, uint64_t value) {
        (void)printf(PREFIX "%s{", name);
        put_label("state", task_state_to_string(state));
        (void)printf("} %" PRIu64 "\n", value);
}

/* A part of 1, from hundredths of a percent. */
static void put_ratio(const char *name, const char *help, unsigned permyriad) {
        describe(name, "gauge", help);
        (void)printf(PREFIX "%s %u.%04u\n", name, permyriad / 10000, permyriad % 10000);
}

static void put_pressure(const RamView *ram) {
        if (!ram->pressure_known)
                return;
        put_ratio("memory_pressure_ratio",
                  "Part of the last ten seconds in which some program waited for memory.",
                  ram->pressure_permyriad);
        put_ratio("memory_pressure_limit_ratio", "Pressure beyond which no task starts.",
                  ram->pressure_limit_permyriad);
}

static void put_memory(const RamView *ram, const KeepView *keep) {
        if (!ram->known)
                return;
        put("memory_total_bytes", "gauge", "RAM that the machine has.", ram->total_bytes);
        put("memory_available_bytes", "gauge", "RAM that is measured as free.",
            ram->available_bytes);
        put("memory_promised_bytes", "gauge",
            "RAM that running tasks asked for and have not yet been seen to take.",
            ram->promised_bytes);
        put("memory_reserved_bytes", "gauge", "RAM that is always left free.", ram->reserved_bytes);
        put("memory_free_bytes", "gauge", "RAM that the next task can get.", ram->free_bytes);
        put("memory_kept_bytes", "gauge", "RAM that is kept for one task that waits.",
            keep ? keep->memory_bytes : 0);
        put_pressure(ram);
}

static void put_gpu_label(const GpuView *gpu) {
        char id[GPU_ID_MAX];

        put_label("gpu", gpu_id_or_index(gpu->id, gpu->sample.index, id));
        (void)putchar(',');
}

/* A sample of one GPU. */
static void put_of_gpu(const char *name, const GpuView *gpu, uint64_t value) {
        (void)printf(PREFIX "%s{", name);
        put_gpu_label(gpu);
        put_label("uuid", gpu->sample.uuid);
        (void)printf("} %" PRIu64 "\n", value);
}

/* Figures of a GPU, from which one metric is made of all GPUs. */
typedef uint64_t (*gpu_figure_fn)(const GpuView *gpu);

static uint64_t gpu_is_up(const GpuView *gpu) {
        return gpu->sample.state == GPU_STATE_OK;
}

static bool is_measured(const GpuView *gpu) {
        return gpu->sample.state == GPU_STATE_OK && !gpu->sample.whole_only;
}

static uint64_t gpu_total(const GpuView *gpu) {
        return gpu->sample.total_bytes;
}

static uint64_t gpu_used(const GpuView *gpu) {
        return gpu->sample.total_bytes - MIN(gpu->sample.free_bytes, gpu->sample.total_bytes);
}

static uint64_t gpu_promised(const GpuView *gpu) {
        return gpu->promised_bytes;
}

static uint64_t gpu_free(const GpuView *gpu) {
        return gpu->free_bytes;
}

static uint64_t gpu_tasks(const GpuView *gpu) {
        return gpu->n_tasks;
}

static const struct {
        const char *name;
        const char *help;
        bool measured; /* left out of a GPU that does not answer, or does not tell */
        gpu_figure_fn figure;
} gpu_metrics[] = {
        { "gpu_up", "Whether the GPU answers.", false, gpu_is_up },
        { "gpu_memory_total_bytes", "Memory that the GPU has.", true, gpu_total },
        { "gpu_memory_used_bytes", "Memory of the GPU that is measured as used.", true, gpu_used },
        { "gpu_memory_promised_bytes",
          "Memory of the GPU that running tasks asked for and have not yet been seen to take.",
          false, gpu_promised },
        { "gpu_memory_free_bytes", "Memory of the GPU that the next task can get.", true,
          gpu_free },
        { "gpu_tasks", "Tasks that hold some of the GPU.", false, gpu_tasks },
};

/* A whole GPU is all of its memory. */
static uint64_t kept_of_gpu(const KeepView *keep, const GpuView *gpu) {
        for (size_t i = 0; keep && i < keep->n_gpus; i++) {
                const GpuGrant *grant = &keep->gpus[i];

                if (strcmp(grant->uuid, gpu->sample.uuid) == 0)
                        return grant->bytes == GPU_WHOLE ? gpu->sample.total_bytes : grant->bytes;
        }
        return 0;
}

static void put_kept_gpus(const MachineStatus *status) {
        describe("gpu_memory_kept_bytes", "gauge",
                 "Memory of the GPU that is kept for one task that waits.");
        for (size_t i = 0; i < status->n_gpus; i++)
                put_of_gpu("gpu_memory_kept_bytes", &status->gpus[i],
                           kept_of_gpu(status->keep, &status->gpus[i]));
}

static void put_gpu_info(const MachineStatus *status) {
        describe("gpu_info", "gauge", "What the GPU is; always 1.");
        for (size_t i = 0; i < status->n_gpus; i++) {
                (void)printf(PREFIX "gpu_info{");
                put_gpu_label(&status->gpus[i]);
                put_label("uuid", status->gpus[i].sample.uuid);
                (void)putchar(',');
                put_label("name", status->gpus[i].sample.name);
                (void)puts("} 1");
        }
}

static void put_gpus(const MachineStatus *status) {
        if (status->n_gpus == 0)
                return;
        put("gpu_driver_up", "gauge", "Whether the driver of the GPUs answers.",
            status->gpus_known);
        if (status->gpu_age_us != TASK_TIME_INF)
                put_seconds("gpu_figures_age_seconds",
                            "Since when the figures of the GPUs are what they are.",
                            status->gpu_age_us);
        put_gpu_info(status);
        for (size_t i = 0; i < ELEMENTSOF(gpu_metrics); i++) {
                describe(gpu_metrics[i].name, "gauge", gpu_metrics[i].help);
                for (size_t k = 0; k < status->n_gpus; k++)
                        if (is_measured(&status->gpus[k]) || !gpu_metrics[i].measured)
                                put_of_gpu(gpu_metrics[i].name, &status->gpus[k],
                                           gpu_metrics[i].figure(&status->gpus[k]));
        }
        put_kept_gpus(status);
}

static void put_of_tokens(const char *name, const TokenView *view, uint64_t value) {
        (void)printf(PREFIX "%s{", name);
        put_label("name", view->name);
        (void)printf("} %" PRIu64 "\n", value);
}

static void put_tokens(const MachineStatus *status) {
        if (status->n_tokens == 0)
                return;
        describe("tokens", "gauge", "Tokens that the settings have, by name.");
        for (size_t i = 0; i < status->n_tokens; i++)
                put_of_tokens("tokens", &status->tokens[i], status->tokens[i].total);
        describe("tokens_taken", "gauge", "Tokens that running tasks have, by name.");
        for (size_t i = 0; i < status->n_tokens; i++)
                put_of_tokens("tokens_taken", &status->tokens[i], status->tokens[i].taken);
}

static void put_queue(const MachineStatus *status) {
        put("cpus", "gauge", "Cores that are online.", status->n_cpus);
        put("cpus_promised", "gauge", "Cores that running tasks asked for.",
            status->n_cpus_promised);
        put("cpus_kept", "gauge", "Cores that are kept for one task that waits.",
            status->keep ? status->keep->cpus : 0);
        describe("tasks", "gauge", "Tasks that are not over, by state.");
        put_by_state("tasks", TASK_STATE_PENDING, status->n_pending);
        put_by_state("tasks", TASK_STATE_HELD, status->n_held);
        put_by_state("tasks", TASK_STATE_RUNNING, status->n_running);
}

/* What a daemon that is older does not say is left out. */
static void put_health(const Health *health) {
        put("tasks_submitted_total", "counter",
            "Tasks that were queued since the daemon was started; an array is one.",
            health->n_submitted);
        put("tasks_started_total", "counter",
            "Commands that were let start since the daemon was started.", health->n_started);
        describe("tasks_ended_total", "counter",
                 "Tasks and elements of arrays that ended since the daemon was started, by state.");
        for (TaskState state = TASK_STATE_DONE; state <= TASK_STATE_LOST; state++)
                put_by_state("tasks_ended_total", state, health->n_ended[state]);
        put("connections", "gauge", "Connections to the daemon.", health->n_connections);
        put("settings_valid", "gauge", "Whether the settings were taken when they were read last.",
            health->settings_text[0] == '\0');
        put("state_writable", "gauge", "Whether the daemon can write its state.",
            health->state_text[0] == '\0');
        put("state_damaged_records", "gauge", "Records of the state that make no sense.",
            health->n_damaged);
        if (health->state_total_bytes > 0) {
                put("state_filesystem_size_bytes", "gauge",
                    "Size of the file system that the state is on.", health->state_total_bytes);
                put("state_filesystem_avail_bytes", "gauge",
                    "What is free there for the daemon's user.", health->state_free_bytes);
        }
}

static void print(const MachineStatus *status) {
        describe("build_info", "gauge", "The version of the daemon; always 1.");
        (void)printf(PREFIX "build_info{");
        put_label("version", status->version);
        (void)puts("} 1");
        if (status->health && status->health->started_at_us > 0)
                put_seconds("start_time_seconds", "When the daemon was started, since 1970.",
                            status->health->started_at_us);
        put_memory(&status->ram, status->keep);
        put_gpus(status);
        put_tokens(status);
        put_queue(status);
        if (status->health)
                put_health(status->health);
}

static int metrics_run(_unused_ const Command *command,
                       _unused_ void *v,
                       _unused_ int n,
                       _unused_ char **operands) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(reply_done) Reply reply = { .to = CALL_STATUS };
        const Call call = { .type = CALL_STATUS };
        int status;

        status = session_open(&client, SESSION_LOOK);
        if (status == 0 && client)
                status = session_call(client, &call, &reply);
        put("up", "gauge", "Whether the daemon answers.", status == 0 && client);
        if (status == 0 && client)
                print(&reply.status);
        return output_finish(status);
}

const Command command_metrics = {
        .name = "metrics",
        .operands = "",
        .summary = "print figures for Prometheus",
        .description =
                "The text format of Prometheus, for the textfile collector of its node exporter: memory, GPUs, tasks by "
                "state, counts since the daemon was started. 'taskflow_up' is 0 if the daemon does not answer.",
        .usage_status = CLI_STATUS_USAGE,
        .run = metrics_run,
};
