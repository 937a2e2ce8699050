/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * cuda-hold - a program that takes memory of a real GPU
 *
 * For tools/gpu-check.py. It calls CUDA's driver interface, found at run time: neither a toolkit nor a header is needed. It says
 * on stdout which GPUs it sees, by UUID without what stands in front of it,
 *
 *     sees 7c1d90aa-…
 *
 * and then does on the first of them what it reads on stdin, a word on a line, each answered with a line:
 *
 *     take BYTES            "taken BYTES"; what it had before is given back first
 *     give                  "given"
 *
 * It ends at the end of stdin. Status 77: there is no GPU for CUDA here, and stderr says why; 1: a call failed.
 */

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
        STATUS_FAILED = 1,
        STATUS_NOTHING_HERE = 77,
        CUDA_SUCCESS = 0,
        UUID_BYTES = 16,
};

typedef struct Uuid {
        unsigned char bytes[UUID_BYTES];
} Uuid;

typedef struct CudaContext CudaContext; /* CUDA's own */

/* CUDA's functions, by the symbols that have their version in their name, as all drivers since R418 have them. */
typedef struct CudaApi {
        int (*init)(unsigned flags);
        int (*error_name)(int result, const char **ret);
        int (*device_count)(int *ret);
        int (*device)(int *ret, int ordinal);
        int (*device_uuid)(Uuid *ret, int device); /* of an instance its own, since R470 */
        int (*context_retain)(CudaContext **ret, int device);
        int (*context_set)(CudaContext *context);
        int (*memory_take)(uint64_t *ret, size_t n_bytes);
        int (*memory_set)(uint64_t address, unsigned char value, size_t n_bytes);
        int (*memory_give)(uint64_t address);
} CudaApi;

static CudaApi cuda;
static uint64_t held; /* an address on the GPU; 0: nothing */

static _Noreturn void give_up(int status, const char *what, const char *why) {
        (void)fprintf(stderr, "cuda-hold: %s: %s\n", what, why);
        exit(status);
}

static const char *name_of(int result) {
        const char *name = NULL;

        return cuda.error_name && cuda.error_name(result, &name) == CUDA_SUCCESS && name ?
                       name :
                       "an error without a name";
}

static void check(int result, const char *what) {
        if (result != CUDA_SUCCESS)
                give_up(STATUS_FAILED, what, name_of(result));
}

/* A pointer to a function from one to data, which C alone does not allow. */
static void find(void *library, const char *symbol, const char *older, void *ret) {
        void *address = dlsym(library, symbol);

        if (!address && older)
                address = dlsym(library, older);
        if (!address)
                give_up(STATUS_FAILED, symbol, "not in this libcuda.so.1");
        memcpy(ret, &address, sizeof(address));
}

static void load(void) {
        void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);

        if (!library)
                give_up(STATUS_NOTHING_HERE, "there is no CUDA", dlerror());
        find(library, "cuInit", NULL, &cuda.init);
        find(library, "cuGetErrorName", NULL, &cuda.error_name);
        find(library, "cuDeviceGetCount", NULL, &cuda.device_count);
        find(library, "cuDeviceGet", NULL, &cuda.device);
        find(library, "cuDeviceGetUuid_v2", "cuDeviceGetUuid", &cuda.device_uuid);
        find(library, "cuDevicePrimaryCtxRetain", NULL, &cuda.context_retain);
        find(library, "cuCtxSetCurrent", NULL, &cuda.context_set);
        find(library, "cuMemAlloc_v2", NULL, &cuda.memory_take);
        find(library, "cuMemsetD8_v2", NULL, &cuda.memory_set);
        find(library, "cuMemFree_v2", NULL, &cuda.memory_give);
}

static void print_uuid(int device) {
        Uuid uuid;

        check(cuda.device_uuid(&uuid, device), "cuDeviceGetUuid");
        (void)putchar(' ');
        for (size_t i = 0; i < UUID_BYTES; i++)
                (void)printf(i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x",
                             uuid.bytes[i]);
}

/* Says which GPUs there are, and makes the first the one that memory is taken of. */
static void open_first(void) {
        CudaContext *context;
        int result, n = 0, device;

        result = cuda.init(0);
        if (result == CUDA_SUCCESS)
                result = cuda.device_count(&n);
        if (result != CUDA_SUCCESS || n == 0)
                give_up(STATUS_NOTHING_HERE, "CUDA has no GPU here",
                        result == CUDA_SUCCESS ? "none is visible" : name_of(result));

        (void)fputs("sees", stdout);
        for (int i = 0; i < n; i++) {
                check(cuda.device(&device, i), "cuDeviceGet");
                print_uuid(device);
        }
        check(cuda.device(&device, 0), "cuDeviceGet");
        check(cuda.context_retain(&context, device), "cuDevicePrimaryCtxRetain");
        check(cuda.context_set(context), "cuCtxSetCurrent");
        (void)putchar('\n');
}

static void give(void) {
        if (held != 0)
                check(cuda.memory_give(held), "cuMemFree");
        held = 0;
}

static void take(const char *word) {
        char *end;
        unsigned long long n_bytes = strtoull(word, &end, 10);

        if (end == word || *end != '\0' || n_bytes == 0 || n_bytes > SIZE_MAX)
                give_up(STATUS_FAILED, "not understood", word);
        give();
        check(cuda.memory_take(&held, n_bytes), "cuMemAlloc");
        check(cuda.memory_set(held, 1, n_bytes), "cuMemsetD8");
        (void)printf("taken %llu\n", n_bytes);
}

int main(void) {
        char line[64];

        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        load();
        open_first();
        while (fgets(line, sizeof(line), stdin)) {
                line[strcspn(line, "\n")] = '\0';
                if (strncmp(line, "take ", 5) == 0) {
                        take(line + 5);
                } else if (strcmp(line, "give") == 0) {
                        give();
                        (void)puts("given");
                } else {
                        give_up(STATUS_FAILED, "not understood", line);
                }
        }
        return 0;
}
