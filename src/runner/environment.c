/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "runner/environment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/gpu-word.h"
#include "util/strv.h"

enum {
        ADDED_MAX = 8,
        IDS_MAX = GPU_MAX * GPU_ID_MAX,     /* each with its comma */
        UUIDS_MAX = GPU_MAX * GPU_UUID_MAX, /* each with its comma */
        UUID_SOUND_MAX = 80,
};

struct Environment {
        char **vector;
        size_t n_added;
        const char *added[ADDED_MAX]; /* into the rest */
        char task_id[sizeof("TASKFLOW_TASK_ID=") + 20];
        char array_index[sizeof("TASKFLOW_ARRAY_INDEX=") + 20];
        char ids[sizeof("TASKFLOW_GPUS=") + IDS_MAX];
        char cuda[sizeof("CUDA_VISIBLE_DEVICES=") + UUIDS_MAX];
        char rocr[sizeof("ROCR_VISIBLE_DEVICES=") + UUIDS_MAX];
        char ze[sizeof("ZE_AFFINITY_MASK=") + IDS_MAX];
};

void environment_gpu_list(const GpuGrant *gpus, unsigned n_gpus, char *buf, size_t n) {
        char id[GPU_ID_MAX];
        size_t used = 0;

        if (n > 0)
                buf[0] = '\0';
        for (unsigned i = 0; i < n_gpus && used < n; i++)
                used += (size_t)snprintf(buf + used, n - used, "%s%s", i > 0 ? "," : "",
                                         gpu_id_or_index(gpus[i].id, gpus[i].index, id));
}

bool environment_grant_is_sound(const GpuGrant *grant) {
        static const char allowed[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./-";
        size_t n = strlen(grant->uuid);
        GpuNumber number;

        return n >= 1 && n <= UUID_SOUND_MAX && strspn(grant->uuid, allowed) == n &&
               (grant->id[0] == '\0' || gpu_word_number(grant->id, &number));
}

/* The id that people see, and an element's index. */
static void say_task(Environment *environment, const Task *task) {
        int64_t index = task_ref_index(task->id);

        (void)snprintf(environment->task_id, sizeof(environment->task_id),
                       "TASKFLOW_TASK_ID=%" PRIu64, task_ref_id(task->id));
        environment->added[environment->n_added++] = environment->task_id;
        if (index < 0)
                return;
        (void)snprintf(environment->array_index, sizeof(environment->array_index),
                       "TASKFLOW_ARRAY_INDEX=%" PRIi64, index);
        environment->added[environment->n_added++] = environment->array_index;
}

/* What the vendor's programs know it by. ROCm has no UUID of a card that has none, Level Zero of none. */
static void put_device(const GpuGrant *grant, char buf[static GPU_UUID_MAX]) {
        bool by_uuid = grant->kind == GPU_KIND_NVIDIA ||
                       (grant->kind == GPU_KIND_AMD && strncmp(grant->uuid, "GPU-", 4) == 0);

        if (by_uuid)
                (void)snprintf(buf, GPU_UUID_MAX, "%s", grant->uuid);
        else
                (void)snprintf(buf, GPU_UUID_MAX, "%u", grant->index);
}

/* One variable with the GPUs of one kind; none, if the task has none of them: what other kinds there are stays as it was. */
static bool pin_kind(Environment *environment,
                     const Task *task,
                     GpuKind kind,
                     const char *name,
                     char *buf,
                     size_t n) {
        size_t used = (size_t)snprintf(buf, n, "%s=", name);
        bool any = false;

        for (unsigned i = 0; i < task->needs.n_gpus && used < n; i++) {
                char device[GPU_UUID_MAX];

                if (task->gpus[i].kind != kind)
                        continue;
                put_device(&task->gpus[i], device);
                used += (size_t)snprintf(buf + used, n - used, "%s%s", any ? "," : "", device);
                any = true;
        }
        if (any)
                environment->added[environment->n_added++] = buf;
        return any;
}

/* ROCm looks at CUDA_VISIBLE_DEVICES, too: with GPUs of AMD alone that stays as it was. */
static void pin_gpus(Environment *environment, const Task *task) {
        if (pin_kind(environment, task, GPU_KIND_NVIDIA, "CUDA_VISIBLE_DEVICES", environment->cuda,
                     sizeof(environment->cuda)))
                environment->added[environment->n_added++] = "CUDA_DEVICE_ORDER=PCI_BUS_ID";
        (void)pin_kind(environment, task, GPU_KIND_AMD, "ROCR_VISIBLE_DEVICES", environment->rocr,
                       sizeof(environment->rocr));
        if (pin_kind(environment, task, GPU_KIND_INTEL, "ZE_AFFINITY_MASK", environment->ze,
                     sizeof(environment->ze)))
                environment->added[environment->n_added++] = "ZE_ENABLE_PCI_ID_DEVICE_ORDER=1";
}

static void say_gpus(Environment *environment, const Task *task, bool pin) {
        size_t used;

        used = (size_t)snprintf(environment->ids, sizeof(environment->ids), "TASKFLOW_GPUS=");
        environment_gpu_list(task->gpus, task->needs.n_gpus, environment->ids + used,
                             sizeof(environment->ids) - used);
        environment->added[environment->n_added++] = environment->ids;
        if (pin)
                pin_gpus(environment, task);
}

/* Whether "NAME=…" gives a variable that we give. */
static bool is_replaced(const Environment *environment, const char *entry) {
        for (size_t i = 0; i < environment->n_added; i++) {
                size_t n = strcspn(environment->added[i], "=") + 1;

                if (strncmp(entry, environment->added[i], n) == 0)
                        return true;
        }
        return false;
}

int environment_new(Environment **ret, char *const *base, const Task *task, bool pin) {
        _cleanup_(environment_freep) Environment *environment = NULL;
        size_t n = 0;

        environment = malloc(sizeof(*environment));
        if (!environment)
                return -ENOMEM;
        environment->n_added = 0;
        environment->vector = calloc(strv_n(base) + ADDED_MAX + 1, sizeof(char *));
        if (!environment->vector)
                return -ENOMEM;

        say_task(environment, task);
        if (task->needs.n_gpus > 0 && task->gpus)
                say_gpus(environment, task, pin);

        for (size_t i = 0; base && base[i]; i++)
                if (!is_replaced(environment, base[i]))
                        environment->vector[n++] = base[i];
        for (size_t i = 0; i < environment->n_added; i++)
                environment->vector[n++] = (char *)(uintptr_t)environment->added[i];

        *ret = TAKE_PTR(environment);
        return 0;
}

Environment *environment_free(Environment *environment) {
        if (!environment)
                return NULL;
        free(environment->vector);
        free(environment);
        return NULL;
}

char *const *environment_vector(const Environment *environment) {
        return environment->vector;
}
