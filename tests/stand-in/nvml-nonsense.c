/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A library in NVIDIA's place that answers anything at all
 *
 * Statuses, counts, sizes, pids, texts without an end: they come from bytes. A fuzzer hands them in
 * with nonsense_set_bytes(); then each call keeps to what it was given room for, and what is found is
 * a fault of ours. Without that they come from a generator, whose seed is the number in the file
 * $TASKFLOW_TEST_NVML; then now and then a call also crashes or writes beyond its room, as a broken
 * library does.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum {
        GPUS_MAX = 70,
        LONG_TEXT = 5000,
        SHORT_TEXT = 16,
        BEYOND = 4096,
        MEMORY_V2_WORDS = 5,
        SIZE_MAX_BITS = 64,
};

static const uint8_t *bytes;
static size_t n_bytes;
static bool are_set;
static uint64_t random_state;
static char handles[GPUS_MAX];

EXPORT void nonsense_set_bytes(const uint8_t *data, size_t n);
EXPORT void nonsense_set_bytes(const uint8_t *data, size_t n) {
        bytes = data;
        n_bytes = n;
        are_set = true;
}

static uint64_t read_seed(void) {
        const char *path = getenv("TASKFLOW_TEST_NVML");
        FILE *f = path ? fopen(path, "re") : NULL;
        char line[32] = "";

        if (!f)
                return 1;
        if (!fgets(line, sizeof(line), f))
                line[0] = '\0';
        (void)fclose(f);
        return strtoull(line, NULL, 10) * 2 + 1;
}

static uint8_t take(void) {
        if (are_set) {
                if (n_bytes == 0)
                        return 0;
                n_bytes--;
                return *bytes++;
        }
        if (random_state == 0)
                random_state = read_seed();
        random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint8_t)(random_state >> 56);
}

static uint32_t take_word(void) {
        uint32_t word = 0;

        for (size_t i = 0; i < sizeof(word); i++)
                word = word << 8 | take();
        return word;
}

/* Of any magnitude. */
static uint64_t take_size(void) {
        uint64_t high = take_word();
        uint64_t size = high << 32 | take_word();
        unsigned shift = take() % SIZE_MAX_BITS;

        return take() < 16 ? UINT64_MAX : size >> shift;
}

static void misbehave(void) {
        if (are_set || take() != 0 || take() > 64)
                return;
        (void)signal(SIGSEGV, SIG_DFL);
        (void)raise(SIGSEGV);
}

/* Mostly good, so that what comes behind is reached. */
static int take_status(void) {
        static const int statuses[] = { 1, 2, 3, 4, 6, 7, 9, 13, 15, 18, 25, 999, -1 };

        misbehave();
        if (take() < 208)
                return 0;
        return statuses[take() % (sizeof(statuses) / sizeof(statuses[0]))];
}

static int put_text(char *ret, unsigned n, const char *good) {
        int status = take_status();

        switch (take() % 4) {
        case 0:
                for (unsigned i = 0; i < n; i++)
                        ret[i] = (char)take();
                break;
        case 1:
                (void)memset(ret, 'x', n);
                break;
        default:
                (void)snprintf(ret, n, "%s-%u", good, take() % GPUS_MAX);
        }
        return status;
}

static int put_number(unsigned *ret, unsigned likely) {
        int status = take_status();

        *ret = take() < 192 ? take() % likely : take_word();
        return status;
}

static void put_entry(unsigned char *entry, size_t size) {
        uint32_t pid = take() < 128 ? (uint32_t)getpid() : take_word();
        uint64_t used_bytes = take_size();

        (void)memset(entry, take(), size);
        (void)memcpy(entry, &pid, sizeof(pid));
        (void)memcpy(entry + 8, &used_bytes, sizeof(used_bytes));
}

static int put_list(size_t size, unsigned *n, unsigned char *entries) {
        const unsigned n_max = *n;
        const unsigned n_written = take() % 8;
        int status = put_number(n, 8);

        for (unsigned i = 0; i < n_written && i < n_max; i++)
                put_entry(entries + i * size, size);
        if (!are_set && take() == 0)
                (void)memset(entries + n_max * size, 'x', BEYOND);
        return status;
}

/* NOLINTBEGIN(readability-identifier-naming): the names are NVIDIA's */

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlInit_v2(void) {
        return take_status();
}

EXPORT int nvmlShutdown(void);
EXPORT int nvmlShutdown(void) {
        return take_status();
}

EXPORT const char *nvmlErrorString(int status);
EXPORT const char *nvmlErrorString(int status) {
        static char text[LONG_TEXT];

        if (take() < 64)
                return NULL;
        (void)memset(text, 'e', sizeof(text) - 1);
        for (size_t i = 0; i < SHORT_TEXT; i++)
                text[i] = (char)take();
        return text;
}

EXPORT int nvmlDeviceGetCount_v2(unsigned *ret);
EXPORT int nvmlDeviceGetCount_v2(unsigned *ret) {
        return put_number(ret, 4);
}

/* A handle is an address, of nothing. */
static int put_handle(void **ret) {
        int status = take_status();

        *ret = take() < 16 ? NULL : (void *)&handles[take() % GPUS_MAX];
        return status;
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **ret);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **ret) {
        return put_handle(ret);
}

EXPORT int nvmlDeviceGetName(void *device, char *name, unsigned n_name);
EXPORT int nvmlDeviceGetName(void *device, char *name, unsigned n_name) {
        return put_text(name, n_name, "Nonsense");
}

EXPORT int nvmlDeviceGetUUID(void *device, char *uuid, unsigned n_uuid);
EXPORT int nvmlDeviceGetUUID(void *device, char *uuid, unsigned n_uuid) {
        return put_text(uuid, n_uuid, "GPU");
}

EXPORT int nvmlDeviceGetMemoryInfo(void *device, uint64_t ret[3]);
EXPORT int nvmlDeviceGetMemoryInfo(void *device, uint64_t ret[3]) {
        int status = take_status();

        for (size_t i = 0; i < 3; i++)
                ret[i] = take_size();
        return status;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(void *device, uint64_t ret[MEMORY_V2_WORDS]);
EXPORT int nvmlDeviceGetMemoryInfo_v2(void *device, uint64_t ret[MEMORY_V2_WORDS]) {
        int status = take_status();

        for (size_t i = 0; i < MEMORY_V2_WORDS; i++)
                ret[i] = take_size();
        return status;
}

EXPORT int nvmlDeviceGetComputeMode(void *device, int *ret);
EXPORT int nvmlDeviceGetComputeMode(void *device, int *ret) {
        unsigned mode;
        int status = put_number(&mode, 4);

        *ret = (int)mode;
        return status;
}

EXPORT int nvmlDeviceGetMigMode(void *device, unsigned *ret_now, unsigned *ret_pending);
EXPORT int nvmlDeviceGetMigMode(void *device, unsigned *ret_now, unsigned *ret_pending) {
        (void)put_number(ret_pending, 2);
        return put_number(ret_now, 2);
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *ret);
EXPORT int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *ret) {
        return put_number(ret, 8);
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **ret);
EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **ret) {
        return put_handle(ret);
}

#define LIST(symbol, size)                                            \
        EXPORT int symbol(void *device, unsigned *n, void *entries);  \
        EXPORT int symbol(void *device, unsigned *n, void *entries) { \
                return put_list((size), n, entries);                  \
        }

LIST(nvmlDeviceGetComputeRunningProcesses_v2, 24)
LIST(nvmlDeviceGetGraphicsRunningProcesses, 16)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, 24)

/* NOLINTEND(readability-identifier-naming) */
