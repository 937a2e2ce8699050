#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What NVIDIA's kernel module is asked about
 *
 * A client makes objects, the one below the other, by handles that it chooses: devices, what they
 * are divided into, and its hold of an instance (MIG), by which all its others are about that.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The module's own statuses. */
enum {
        RM_OK = 0,
        RM_GPU_IS_LOST = 0x0f,
        RM_INVALID_ARGUMENT = 0x1f,
        RM_INVALID_CLIENT = 0x23,
        RM_INVALID_DEVICE = 0x26,
        RM_NOT_SUPPORTED = 0x56,
};

enum {
        FIRST_INSTANCE_ID = 7, /* of those that an A100 can have seven of */
};

typedef struct Object {
        uint32_t client; /* whose it is: handles are each client's own */
        uint32_t handle;
        uint32_t parent;
        int gpu;      /* or -1 */
        int instance; /* that the client holds, or WHOLE */
        bool holds_instance;
} Object;

/* NULL: there is none. */
const Object *object_find(uint32_t client, uint32_t handle);

/* The number of the GPU that it is about, or -1. */
int object_gpu_of(uint32_t client, uint32_t handle);

/* @words: client, parent, new, class, pointer to parameters; a status. */
unsigned object_allocate(uint32_t *words);

/*
 * A client takes all that it has along; with its hold of an instance it is about the whole again.
 * A status.
 */
unsigned object_release(uint32_t client, uint32_t handle);

/* In a message, at @word. */
static inline void *pointer_at(const uint32_t *word) {
        void *p;

        (void)memcpy(&p, word, sizeof(p));
        return p;
}
