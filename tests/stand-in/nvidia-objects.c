/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "nvidia-objects.h"

#include <stddef.h>

#include "nvidia-module.h"
#include "nvml-script.h"

enum {
        OBJECTS_MAX = 4096,
        CLASS_DEVICE = 0x80,
        CLASS_INSTANCE = 0xc637,
};

static Object objects[OBJECTS_MAX];
static size_t n_objects;
static uint32_t next_handle = 0xc1d00001;

const Object *object_find(uint32_t client, uint32_t handle) {
        for (size_t i = 0; i < n_objects; i++)
                if (objects[i].client == client && objects[i].handle == handle)
                        return &objects[i];
        return NULL;
}

int object_gpu_of(uint32_t client, uint32_t handle) {
        const Object *object = object_find(client, handle);

        return object ? object->gpu : -1;
}

/* What a client's objects are about, from now on. */
static void set_instance(uint32_t client, int instance) {
        for (size_t i = 0; i < n_objects; i++)
                if (objects[i].client == client)
                        objects[i].instance = instance;
}

unsigned object_release(uint32_t client, uint32_t handle) {
        const Object *object = object_find(client, handle);
        size_t n = 0;

        if (!object)
                return RM_INVALID_CLIENT;
        if (object->holds_instance)
                set_instance(client, WHOLE);
        for (size_t i = 0; i < n_objects; i++)
                if (objects[i].client != client ||
                    (handle != client && objects[i].handle != handle))
                        objects[n++] = objects[i];
        n_objects = n;
        return RM_OK;
}

static bool is_instance(int gpu, uint32_t id) {
        static Script script;
        const int instance = (int)id - FIRST_INSTANCE_ID;

        return gpu >= 0 && instance >= 0 && instance < INSTANCES_MAX &&
               script_read(&script, "kernel", gpu, instance) && script.gpu.exists;
}

unsigned object_allocate(uint32_t *words) {
        uint32_t *parameters = pointer_at(words + 4);
        const Object *parent;
        Object new = { .gpu = -1, .instance = WHOLE };
        uint32_t number = 0;

        if (words[2] == 0)
                words[2] = next_handle++;
        if (words[3] <= 1 || words[3] == 0x41)
                words[0] = words[2]; /* a client */
        if (words[0] == words[2] && parameters)
                parameters[0] = words[2]; /* that is where drivers before 450 find it */
        parent = object_find(words[0], words[1]);
        if (parent)
                new = *parent;
        new.holds_instance = false;
        new.client = words[0];
        new.handle = words[2];
        new.parent = words[1];

        if (parameters && words[3] == CLASS_DEVICE)
                number = parameters[0];
        else if (parameters && words[3] == CLASS_INSTANCE)
                number = parameters[2]; /* behind the descriptor of the right to it */

        if (words[3] == CLASS_DEVICE) {
                if (number >= module_count_gpus())
                        return RM_INVALID_DEVICE;
                new.gpu = (int)number;
        } else if (words[3] == CLASS_INSTANCE) {
                if (!is_instance(new.gpu, number))
                        return RM_INVALID_ARGUMENT;
                new.holds_instance = true;
                new.instance = (int)number - FIRST_INSTANCE_ID;
                set_instance(new.client, new.instance);
        }
        (void)object_release(new.client, new.handle);
        if (n_objects < OBJECTS_MAX)
                objects[n_objects++] = new;
        return RM_OK;
}
