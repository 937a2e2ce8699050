/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A stand-in for NVIDIA's libcuda.so.1
 *
 * It has what tests/gpu/cuda-hold.c calls, and the GPUs of the script that nvml.c answers from. What is taken of a GPU here is seen
 * there: it is written into the same folder as hold.c writes into, with 300M more for the context, which is about what a real one
 * takes. CUDA_VISIBLE_DEVICES is obeyed as CUDA does: indices and UUIDs, as far as the first that is none.
 *
 * $TASKFLOW_TEST_CUDA may say that something is wrong with it:
 *
 *     deaf                  CUDA_VISIBLE_DEVICES is not looked at
 *     leaky                 what is given back stays used until the process ends
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nvml-script.h"

#define EXPORT __attribute__((visibility("default")))

enum {
        CUDA_SUCCESS = 0,
        CUDA_INVALID_VALUE = 1,
        CUDA_OUT_OF_MEMORY = 2,
        CUDA_NO_DEVICE = 100,
        CUDA_INVALID_CONTEXT = 201,
        UUID_BYTES = 16,
};

#define CONTEXT_BYTES (UINT64_C(300) << 20)
#define ADDRESS       UINT64_C(0x7f0000000000) /* there is one block at a time */

/* A context is the address of its device's place here. */
static int visible[GPUS_MAX]; /* indices, in the order in which CUDA counts them */
static int n_visible;
static const int *current;
static uint64_t taken_bytes;

static bool is_wrong(const char *how) {
        const char *word = getenv("TASKFLOW_TEST_CUDA");

        return word && strcmp(word, how) == 0;
}

static void add_visible(int index) {
        if (n_visible < GPUS_MAX)
                visible[n_visible++] = index;
}

/* The GPU that a word of CUDA_VISIBLE_DEVICES means, or -1. */
static int find(const char *word, int n_gpus) {
        char *end;
        long index = strtol(word, &end, 10);
        Script script;

        if (end != word && *end == '\0')
                return index >= 0 && index < n_gpus ? (int)index : -1;
        for (int i = 0; i < n_gpus; i++)
                if (script_read(&script, "cuInit", i, WHOLE) && strcmp(script.gpu.uuid, word) == 0)
                        return i;
        return -1;
}

static void look_for_gpus(int n_gpus) {
        const char *said = getenv("CUDA_VISIBLE_DEVICES");
        char words[4096];
        char *rest = words;
        const char *word;

        n_visible = 0;
        if (!said || is_wrong("deaf")) {
                for (int i = 0; i < n_gpus; i++)
                        add_visible(i);
                return;
        }
        (void)snprintf(words, sizeof(words), "%s", said);
        while ((word = strsep(&rest, ","))) {
                int index = find(word, n_gpus);

                if (index < 0)
                        return;
                add_visible(index);
        }
}

/* Under another name first: the stand-in for NVML must never see half a file. */
static int publish(uint64_t n_bytes) {
        const char *script = getenv("TASKFLOW_TEST_NVML");
        char temporary[PATH_MAX];
        char path[PATH_MAX];
        FILE *f;

        (void)snprintf(temporary, sizeof(temporary), "%s.d", script);
        if (mkdir(temporary, 0777) < 0 && errno != EEXIST)
                return CUDA_INVALID_CONTEXT;
        (void)snprintf(temporary, sizeof(temporary), "%s.d/.%d", script, getpid());
        (void)snprintf(path, sizeof(path), "%s.d/%d", script, getpid());
        f = fopen(temporary, "we");
        if (!f || fprintf(f, "%d %ju\n", *current, (uintmax_t)n_bytes) < 0 || fclose(f) != 0 ||
            rename(temporary, path) < 0)
                return CUDA_INVALID_CONTEXT;
        return CUDA_SUCCESS;
}

/* NOLINTBEGIN(readability-identifier-naming): the names are NVIDIA's */

EXPORT int cuInit(unsigned flags);
EXPORT int cuInit(unsigned flags) {
        Script script;

        if (flags != 0)
                return CUDA_INVALID_VALUE;
        if (!script_read(&script, "cuInit", -1, WHOLE) || script.status != 0)
                return CUDA_NO_DEVICE;
        look_for_gpus((int)script.n_gpus);
        return n_visible > 0 ? CUDA_SUCCESS : CUDA_NO_DEVICE;
}

EXPORT int cuGetErrorName(int result, const char **ret);
EXPORT int cuGetErrorName(int result, const char **ret) {
        *ret = result == CUDA_NO_DEVICE     ? "CUDA_ERROR_NO_DEVICE" :
               result == CUDA_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" :
                                              "CUDA_ERROR_INVALID_VALUE";
        return CUDA_SUCCESS;
}

EXPORT int cuDeviceGetCount(int *ret);
EXPORT int cuDeviceGetCount(int *ret) {
        *ret = n_visible;
        return CUDA_SUCCESS;
}

EXPORT int cuDeviceGet(int *ret, int ordinal);
EXPORT int cuDeviceGet(int *ret, int ordinal) {
        if (ordinal < 0 || ordinal >= n_visible)
                return CUDA_INVALID_VALUE;
        *ret = ordinal;
        return CUDA_SUCCESS;
}

EXPORT int cuDeviceGetUuid_v2(unsigned char *ret, int device);
EXPORT int cuDeviceGetUuid_v2(unsigned char *ret, int device) {
        const char *digits;
        Script script;

        if (device < 0 || device >= n_visible ||
            !script_read(&script, "cuDeviceGetUuid_v2", visible[device], WHOLE))
                return CUDA_INVALID_VALUE;
        digits = script.gpu.uuid + strcspn(script.gpu.uuid, "-");
        for (size_t i = 0; i < UUID_BYTES; i++) {
                unsigned byte;

                digits += strspn(digits, "-");
                if (sscanf(digits, "%2x", &byte) != 1) /* NOLINT(cert-err34-c): two digits */
                        return CUDA_INVALID_VALUE;
                ret[i] = (unsigned char)byte;
                digits += 2;
        }
        return CUDA_SUCCESS;
}

EXPORT int cuDevicePrimaryCtxRetain(const int **ret, int device);
EXPORT int cuDevicePrimaryCtxRetain(const int **ret, int device) {
        if (device < 0 || device >= n_visible)
                return CUDA_INVALID_VALUE;
        *ret = &visible[device];
        return CUDA_SUCCESS;
}

EXPORT int cuCtxSetCurrent(const int *context);
EXPORT int cuCtxSetCurrent(const int *context) {
        current = context;
        return publish(CONTEXT_BYTES);
}

EXPORT int cuMemAlloc_v2(uint64_t *ret, size_t n_bytes);
EXPORT int cuMemAlloc_v2(uint64_t *ret, size_t n_bytes) {
        Script script;

        if (!current)
                return CUDA_INVALID_CONTEXT;
        if (n_bytes == 0 || taken_bytes > 0 ||
            !script_read(&script, "cuMemAlloc_v2", *current, WHOLE))
                return CUDA_INVALID_VALUE;
        if (script.gpu.used_bytes + n_bytes > script.gpu.total_bytes)
                return CUDA_OUT_OF_MEMORY;
        *ret = ADDRESS;
        taken_bytes = n_bytes;
        return publish(CONTEXT_BYTES + n_bytes);
}

EXPORT int cuMemsetD8_v2(uint64_t address, unsigned char value, size_t n_bytes);
EXPORT int cuMemsetD8_v2(uint64_t address, unsigned char value, size_t n_bytes) {
        (void)value;
        return address == ADDRESS && n_bytes <= taken_bytes ? CUDA_SUCCESS : CUDA_INVALID_VALUE;
}

EXPORT int cuMemFree_v2(uint64_t address);
EXPORT int cuMemFree_v2(uint64_t address) {
        if (address != ADDRESS || taken_bytes == 0)
                return CUDA_INVALID_VALUE;
        taken_bytes = 0;
        return is_wrong("leaky") ? CUDA_SUCCESS : publish(CONTEXT_BYTES);
}

/* NOLINTEND(readability-identifier-naming) */
