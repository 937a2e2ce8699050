/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "nvidia-module.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nvidia-objects.h"
#include "nvml-script.h"

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

enum {
        NVIDIA_VENDOR = 0x10de,
        AN_AMPERE = 0x2204,
        GPU_ID_STEP = 0x100,
        HANG_STEP_MS = 20,
        PART_UUID_SIZE = 41,
};

/* ioctl numbers */
enum {
        ESC_RM_FREE = 0x29,
        ESC_RM_CONTROL = 0x2a,
        ESC_RM_ALLOC = 0x2b,
        ESC_RM_VID_HEAP_CONTROL = 0x4a,
        ESC_CARD_INFO = 200,
        ESC_CHECK_VERSION = 210,
        ESC_NUMA_INFO = 215,
};

enum {
        CLASS_MPS = 0x900e,
        INFO_MIG = 0x2a,
        FB_TOTAL_KB = 0x08,
        FB_HEAP_KB = 0x09,
        FB_FREE_KB = 0x16,
        GET_FB_INFO = 0x20801303,
};

static int library_release; /* 550, as the library said */

unsigned module_count_gpus(void) {
        Script script;

        return script_read(&script, "kernel", -1, WHOLE) ? script.n_gpus : 0;
}

int module_init_status(void) {
        Script script;

        if (!script_read(&script, "nvmlInit_v2", -1, WHOLE))
                return DRIVER_NOT_LOADED;
        return script.status != 0 ? script.status : script.init_status;
}

static void pause_ms(long ms) {
        struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

/* The module takes its time, as long as the script says so of the call that it is asked for. */
static void take_time(const char *call, int gpu) {
        static Script script;
        bool is_there = script_read(&script, call, gpu, WHOLE);

        pause_ms(script.slow_ms);
        while (is_there && (script.hang || script.hang_for_ever)) {
                pause_ms(HANG_STEP_MS);
                if (!script.hang_for_ever)
                        is_there = script_read(&script, call, gpu, WHOLE);
        }
}

/* Controls */

typedef struct Request {
        uint32_t *words; /* parameters, to be filled in */
        unsigned n_bytes;
        uint32_t client;
        uint32_t handle;
        int index;  /* of the GPU, or -1 */
        Gpu gpu;    /* it, or the instance */
        bool is_v1; /* where there is a later version of the same */
} Request;

static void put(unsigned char *at, const void *value, size_t n) {
        (void)memcpy(at, value, n);
}

/* As much of it as fits. */
static void put_text(void *at, const char *text, size_t n) {
        (void)memset(at, 0, n);
        (void)memcpy(at, text, strlen(text) < n ? strlen(text) : n - 1);
}

static unsigned say_nothing(Request *request) {
        (void)request;
        return RM_OK;
}

static unsigned say_zero(Request *request) {
        (void)memset(request->words, 0, request->n_bytes);
        return RM_OK;
}

static unsigned list_gpus(Request *request) {
        const unsigned n = module_count_gpus();

        (void)memset(request->words, 0xff, request->n_bytes);
        for (unsigned i = 0; i < n && i < request->n_bytes / 4; i++)
                request->words[i] = (i + 1) * GPU_ID_STEP;
        return RM_OK;
}

/* By its id, the first word. */
static int find_gpu(const Request *request) {
        const uint32_t id = request->words[0];

        return id % GPU_ID_STEP == 0 && id > 0 && id / GPU_ID_STEP <= module_count_gpus() ?
                       (int)(id / GPU_ID_STEP) - 1 :
                       -1;
}

static unsigned identify_gpu(Request *request) {
        uint32_t *words = request->words;
        const size_t second = request->is_v1 ? 6 : 4; /* v1 has a pointer to its name between */
        const int index = find_gpu(request);

        if (index < 0)
                return RM_INVALID_ARGUMENT;
        words[1] = 0;
        words[2] = (uint32_t)index;
        words[3] = 0;
        words[second] = 0;
        words[second + 1] = (uint32_t)index;
        words[second + 2] = (uint32_t)index;
        words[second + 3] = UINT32_MAX; /* no NUMA node */
        return RM_OK;
}

static unsigned place_gpu(Request *request) {
        const int index = find_gpu(request);

        if (index < 0)
                return RM_INVALID_ARGUMENT;
        request->words[1] = 0;
        request->words[2] = (uint32_t)index + 1; /* bus, and slot 0 above it */
        return RM_OK;
}

static unsigned say_not_draining(Request *request) {
        request->words[1] = 0;
        request->words[2] = 0;
        return RM_OK;
}

static unsigned say_brand(Request *request) {
        request->words[0] = 1;
        return RM_OK;
}

static unsigned say_name(Request *request) {
        const char *name = request->gpu.name;
        uint16_t *wide = (uint16_t *)(request->words + 1);

        if (request->words[0] == 0)
                (void)memcpy(request->words + 1, name, strlen(name) + 1);
        else
                for (size_t i = 0; i <= strlen(name); i++)
                        wide[i] = (unsigned char)name[i];
        return RM_OK;
}

/* The hexadecimal digits of a UUID's text as 16 bytes. */
static void put_uuid(const char *uuid, unsigned char bytes[16]) {
        size_t n_digits = 0;

        (void)memset(bytes, 0, 16);
        for (const char *p = strchr(uuid, '-'); p && *p && n_digits < 32; p++)
                if (isxdigit((unsigned char)*p)) {
                        const char digit[] = { *p, '\0' };

                        bytes[n_digits / 2] =
                                (unsigned char)((unsigned long)bytes[n_digits / 2] << 4 |
                                                strtoul(digit, NULL, 16));
                        n_digits++;
                }
}

static unsigned say_uuid(Request *request) {
        const char *uuid = request->gpu.uuid;

        if (request->words[1] % 4 == 0) {
                request->words[2] = (uint32_t)strlen(uuid) + 1;
                (void)memcpy(request->words + 3, uuid, strlen(uuid) + 1);
        } else {
                request->words[2] = 16;
                put_uuid(uuid, (unsigned char *)(request->words + 3));
        }
        return RM_OK;
}

static unsigned say_mode(Request *request) {
        request->words[0] = (uint32_t)request->gpu.compute_mode;
        return RM_OK;
}

/* Pairs of what is asked for and the answer, in place or elsewhere. */
static unsigned say_things(Request *request) {
        uint32_t *pairs = request->is_v1 ? pointer_at(request->words + 2) : request->words + 1;

        for (size_t i = 0; i < request->words[0]; i++)
                pairs[2 * i + 1] = pairs[2 * i] == INFO_MIG && request->gpu.is_mig;
        return RM_OK;
}

static uint64_t memory_kb(const Gpu *gpu, uint32_t which) {
        const uint64_t used =
                gpu->used_bytes < gpu->total_bytes ? gpu->used_bytes : gpu->total_bytes;

        switch (which) {
        case FB_TOTAL_KB:
                return gpu->total_bytes / 1024;
        case FB_HEAP_KB:
                return (gpu->total_bytes - gpu->reserved_bytes) / 1024;
        case FB_FREE_KB:
                return (gpu->total_bytes - used) / 1024;
        default:
                return 0;
        }
}

static unsigned say_memory(Request *request) {
        uint32_t *pairs = request->words + 1;

        if (request->gpu.is_unified)
                return RM_NOT_SUPPORTED;
        for (size_t i = 0; i < request->words[0]; i++)
                pairs[2 * i + 1] = (uint32_t)memory_kb(&request->gpu, pairs[2 * i]);
        return RM_OK;
}

/* One that the library knows: Pascal, Turing or Ampere. */
static unsigned say_architecture(Request *request) {
        request->words[0] = library_release < 410 ? 0x130 : library_release < 450 ? 0x160 : 0x170;
        request->words[1] = 2;
        request->words[2] = 0xa1;
        return RM_OK;
}

static unsigned say_device(Request *request) {
        request->words[0] = AN_AMPERE << 16 | NVIDIA_VENDOR;
        request->words[1] = NVIDIA_VENDOR;
        request->words[2] = 0xa1;
        request->words[3] = AN_AMPERE;
        return RM_OK;
}

/* What may run on it: drawing (..97) and computing (..c0) of every architecture. */
static unsigned list_classes(Request *request) {
        static const uint32_t classes[] = { 0xc797, 0xc7c0, 0xc697, 0xc6c0, 0xc597, 0xc5c0,
                                            0xc197, 0xc1c0, 0xc097, 0xc0c0, 0xc56f, 0xa06c };
        uint32_t *to = request->is_v1 ? pointer_at(request->words + 2) : request->words + 1;
        const size_t n_max = request->is_v1 ? request->words[0] : ELEMENTSOF(classes);

        if (to)
                (void)memcpy(to, classes,
                             (n_max < ELEMENTSOF(classes) ? n_max : ELEMENTSOF(classes)) *
                                     sizeof(classes[0]));
        request->words[0] = ELEMENTSOF(classes);
        return RM_OK;
}

static unsigned say_no_capabilities(Request *request) {
        void *table = pointer_at(request->words + 2);

        if (table)
                (void)memset(table, 0, request->words[0]);
        return RM_OK;
}

static unsigned lists_of_class(uint32_t class) {
        if (class == CLASS_MPS)
                return MPS;
        if (class % 0x100 == 0xc0)
                return COMPUTE;
        return class % 0x100 == 0x97 ? GRAPHICS : 0;
}

/* type, class, number, pids */
static unsigned list_processes(Request *request) {
        const unsigned which = lists_of_class(request->words[1]);
        uint32_t n = 0;

        for (size_t i = 0; i < request->gpu.n_processes && n < request->n_bytes / 4 - 3; i++)
                if (request->gpu.processes[i].lists & which)
                        request->words[3 + n++] = request->gpu.processes[i].pid;
        request->words[2] = n;
        return RM_OK;
}

/*
 * A number, then 200 entries: pid, what is asked for, status, bytes: its own and what it shares,
 * and since R450 the instance.
 */
static unsigned say_processes(Request *request) {
        const size_t size = (request->n_bytes - 8) / 200;

        for (uint32_t k = 0; k < request->words[0]; k++) {
                unsigned char *entry = (unsigned char *)request->words + 8 + (size_t)k * size;
                uint32_t pid;

                (void)memcpy(&pid, entry, sizeof(pid));
                (void)memset(entry + 8, 0, size - 8);
                if (size >= 48)
                        (void)memset(entry + size - 8, 0xff, 8);
                for (size_t i = 0; i < request->gpu.n_processes; i++)
                        if (request->gpu.processes[i].pid == pid)
                                (void)memcpy(entry + 16, &request->gpu.processes[i].bytes, 8);
        }
        return RM_OK;
}

/* Instances: their layouts are those since driver 525. */

static unsigned say_parent(Request *request) {
        const Object *object = object_find(request->client, request->words[0]);

        if (!object || request->words[1] != 1)
                return RM_NOT_SUPPORTED;
        request->words[2] = object->parent;
        return RM_OK;
}

/* The kinds of them: a number, then 64 bytes each. Seven of the smallest fill it. */
static unsigned say_kinds_of_instances(Request *request) {
        (void)memset(request->words, 0, request->n_bytes);
        request->words[0] = 1;
        for (size_t i = 3; i < 15; i++)
                request->words[i] = INSTANCES_MAX - 1; /* of whatever a GPU has */
        return RM_OK;
}

/* Nine ids, then their number. */
static unsigned list_instances(Request *request) {
        static Script script;
        const unsigned n_max = request->n_bytes / 4 - 1;
        uint32_t n = 0;

        (void)memset(request->words, 0, request->n_bytes);
        for (int i = 0; i < INSTANCES_MAX && n < n_max; i++)
                if (script_read(&script, "kernel", request->index, i) && script.gpu.exists)
                        request->words[n++] = (uint32_t)i + FIRST_INSTANCE_ID;
        request->words[n_max] = n;
        return RM_OK;
}

/* How an instance's processors can be divided: not. A number, then 20 bytes each. */
static unsigned say_divisions(Request *request) {
        (void)memset(request->words, 0, request->n_bytes);
        request->words[0] = 1;
        request->words[3] = 1; /* clusters of processors */
        return RM_OK;
}

/* Eight entries, of which the first is filled in for who has one alone; then their number. */
static unsigned say_instance(Request *request) {
        unsigned char *entry = (unsigned char *)request->words;
        const Object *object = object_find(request->client, request->handle);
        const int instance = object ? object->instance : WHOLE;

        if (instance == WHOLE)
                return RM_NOT_SUPPORTED;
        (void)memset(request->words, 0, request->n_bytes - 4);
        request->words[0] = (uint32_t)instance + FIRST_INSTANCE_ID;
        request->words[2] = 1;  /* engines that draw and compute */
        request->words[10] = 1; /* clusters of processors */
        request->words[11] = 1;
        put(entry + 184, &request->gpu.total_bytes, 8);
        entry[208] = 1; /* valid */
        request->words[request->n_bytes / 4 - 2] = 1;
        return RM_OK;
}

/* What computes in an instance: always one, which fills it. A number, eight ids, their UUIDs. */
static unsigned list_parts(Request *request) {
        (void)memset(request->words, 0, request->n_bytes);
        request->words[0] = 1;
        put_text(request->words + 9, request->gpu.uuid, PART_UUID_SIZE);
        return RM_OK;
}

static unsigned say_part(Request *request) {
        (void)memset(request->words, 0, request->n_bytes);
        request->words[0] = 1;
        request->words[9] = 1; /* cluster of processors */
        return RM_OK;
}

static unsigned say_uuid_of_part(Request *request) {
        put_uuid(request->gpu.uuid, (unsigned char *)request->words);
        put_text(request->words + 4, request->gpu.uuid, PART_UUID_SIZE);
        return RM_OK;
}

/* clang-format off */
static const struct {
        uint32_t command;
        unsigned (*answer)(Request *request);
        bool is_v1;
} controls[] = {
        { 0x00000201, list_gpus,              false },
        { 0x00000202, identify_gpu,           true  },
        { 0x00000205, identify_gpu,           false },
        { 0x00000214, list_gpus,              false },
        { 0x00000215, say_nothing,            false }, /* attach, detach; asynchronously; wait */
        { 0x00000216, say_nothing,            false },
        { 0x00000289, say_nothing,            false },
        { 0x00000290, say_nothing,            false },
        { 0x0000021b, place_gpu,              false },
        { 0x00000279, say_not_draining,       false },
        { 0x00800201, list_classes,           true  },
        { 0x00800292, list_classes,           false },
        { 0x00800202, list_processes,         false },
        { 0x00800203, say_processes,          false },
        { 0x00800289, say_zero,               false }, /* not virtual; no vGPU */
        { 0x0080028e, say_zero,               false },
        { 0x00800294, say_brand,              false },
        { 0x00801102, say_no_capabilities,    false },
        { 0x20800101, say_things,             true  },
        { 0x20800102, say_things,             false },
        { 0x20800110, say_name,               false },
        { 0x20800131, say_mode,               false },
        { 0x2080014a, say_uuid,               false },
        { 0x2080018d, list_processes,         false },
        { 0x2080018e, say_processes,          false },
        { 0x20800406, say_nothing,            false }, /* what time it is there */
        { 0x00000d02, say_parent,             false },
        { 0x20800175, say_instance,           false },
        { 0x20800185, say_kinds_of_instances, false },
        { 0x208001a2, say_divisions,          false },
        { 0x2080018b, list_instances,         false },
        { 0xc6370103, say_part,               false },
        { 0xc6370104, list_parts,             false },
        { 0xc6380101, say_uuid_of_part,       false },
        { GET_FB_INFO, say_memory,             false },
        { 0x20801701, say_architecture,       false },
        { 0x20801801, say_device,             false },
        { 0x20810108, say_nothing,            false }, /* published by nobody; it must not fail */
};
/* clang-format on */

static unsigned control(uint32_t client,
                        uint32_t handle,
                        uint32_t command,
                        uint32_t *words,
                        unsigned n_bytes) {
        static Script script; /* too large for a stack */
        static Request request;
        const Object *object = object_find(client, handle);

        request = (Request){ .words = words,
                             .n_bytes = n_bytes,
                             .client = client,
                             .handle = handle,
                             .index = object ? object->gpu : -1 };
        take_time(command == GET_FB_INFO ? "nvmlDeviceGetMemoryInfo_v2" : "kernel", request.index);
        if (request.index >= 0) {
                if (!script_read(&script, "kernel", request.index, object->instance) ||
                    !script.gpu.exists || script.status == GPU_IS_LOST)
                        return RM_GPU_IS_LOST;
                request.gpu = script.gpu;
        }
        for (size_t i = 0; i < ELEMENTSOF(controls); i++)
                if (controls[i].command == command) {
                        request.is_v1 = controls[i].is_v1;
                        return controls[i].answer(&request);
                }
        return RM_NOT_SUPPORTED;
}

/* ioctl() */

/*
 * 32 cards of 72 bytes, or, up to driver 450, of 80: there 16 bits of flags stand in place of
 * `valid`, which comes behind the place.
 */
static int list_cards(unsigned char *cards, size_t n_bytes) {
        const bool is_old = n_bytes % 80 == 0 && n_bytes % 72 != 0;
        const size_t size = is_old ? 80 : 72, shift = is_old ? 4 : 0;
        const unsigned n = module_count_gpus();

        (void)memset(cards, 0, n_bytes);
        for (unsigned i = 0; i < n && (i + 1) * size <= n_bytes; i++) {
                unsigned char *card = cards + i * size;

                card[0] = is_old ? 3 : 1; /* there, by PCI Express */
                card[8] = (unsigned char)(i + 1);
                put(card + 12, &(uint16_t){ NVIDIA_VENDOR }, 2);
                put(card + 14, &(uint16_t){ AN_AMPERE }, 2);
                if (is_old)
                        card[16] = 1;
                put(card + 16 + shift, &(uint32_t){ (i + 1) * GPU_ID_STEP }, 4);
                put(card + 24 + 2 * shift, &(uint64_t){ 0xe0000000 + i * UINT64_C(0x1000000) }, 8);
                put(card + 32 + 2 * shift, &(uint64_t){ 0x1000000 }, 8);
                put(card + 40 + 2 * shift, &(uint64_t){ 0x100000000 }, 8);
                put(card + 56 + 2 * shift, &(uint32_t){ i }, 4);
        }
        return 0;
}

/* command, reply, the library's version */
static int check_version(uint32_t *words) {
        take_time("nvmlInit_v2", -1);
        library_release = (int)strtol((const char *)(words + 2), NULL, 10);
        words[1] = 1;
        if (module_init_status() == 0)
                return 0;
        words[1] = 0;
        errno = EINVAL;
        return -1;
}

/* How driver 390 tells memory: client, GPU, … status at 20, total at 24, free at 32. */
static int say_heap(uint32_t *words) {
        static Script script;

        take_time("nvmlDeviceGetMemoryInfo_v2", object_gpu_of(words[0], words[1]));
        if (!script_read(&script, "kernel", object_gpu_of(words[0], words[1]), WHOLE) ||
            !script.gpu.exists || script.status == GPU_IS_LOST) {
                words[5] = RM_GPU_IS_LOST;
                return 0;
        }
        words[5] = RM_OK;
        put((unsigned char *)words + 24, &(uint64_t){ memory_kb(&script.gpu, FB_HEAP_KB) * 1024 },
            8);
        put((unsigned char *)words + 32, &(uint64_t){ memory_kb(&script.gpu, FB_FREE_KB) * 1024 },
            8);
        return 0;
}

int module_ioctl(unsigned number, uint32_t *words, size_t n_bytes) {
        switch (number) {
        case ESC_CHECK_VERSION:
                return check_version(words);
        case ESC_CARD_INFO:
                return list_cards((unsigned char *)words, n_bytes);
        case ESC_NUMA_INFO:
                (void)memset(words, 0, n_bytes);
                words[0] = UINT32_MAX;
                return 0;
        case ESC_RM_ALLOC:
                /* 32 bytes, or 40 or 48 with one pointer more */
                words[n_bytes == 32 ? 7 : n_bytes == 40 ? 8 : 10] = object_allocate(words);
                return 0;
        case ESC_RM_FREE:
                words[3] = object_release(words[0], words[2]);
                return 0;
        case ESC_RM_CONTROL:
                words[7] = control(words[0], words[1], words[2], pointer_at(words + 4), words[6]);
                return 0;
        case ESC_RM_VID_HEAP_CONTROL:
                return say_heap(words);
        default:
                return 0; /* files of events, and the like: as they are */
        }
}
