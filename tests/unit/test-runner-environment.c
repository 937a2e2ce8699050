/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <string.h>

#include "runner/environment.h"
#include "util/strv.h"

#include "check.h"

static char *base[] = { "HOME=/home/alice",       "TASKFLOW_TASK_ID=1",   "odd",
                        "CUDA_VISIBLE_DEVICES=7", "CUDA_DEVICE_ORDERS=x", NULL };

static void assert_environment(const Task *task, bool pin, const char *want) {
        _cleanup_(environment_freep) Environment *environment = NULL;

        assert_int_equal(environment_new(&environment, base, task, pin), 0);
        assert_string_freed(strv_join(environment_vector(environment), "|"), want);
}

static void test_a_task_without_gpus_learns_its_id_alone(_unused_ void **state) {
        const Task task = { .id = TASK_ID_MAX };

        assert_environment(&task, true,
                           "HOME=/home/alice|odd|CUDA_VISIBLE_DEVICES=7|CUDA_DEVICE_ORDERS=x|"
                           "TASKFLOW_TASK_ID=549755813887");
}

static void test_an_element_learns_its_index_too(_unused_ void **state) {
        const Task first = { .id = task_ref(12, 0) };
        const Task last = { .id = task_ref(TASK_ID_MAX, TASK_INDEX_MAX) };

        assert_environment(&first, true,
                           "HOME=/home/alice|odd|CUDA_VISIBLE_DEVICES=7|CUDA_DEVICE_ORDERS=x|"
                           "TASKFLOW_TASK_ID=12|TASKFLOW_ARRAY_INDEX=0");
        assert_environment(&last, true,
                           "HOME=/home/alice|odd|CUDA_VISIBLE_DEVICES=7|CUDA_DEVICE_ORDERS=x|"
                           "TASKFLOW_TASK_ID=549755813887|TASKFLOW_ARRAY_INDEX=16777214");
}

static void test_a_pinned_task_sees_its_gpus_alone(_unused_ void **state) {
        GpuGrant gpus[] = { { .uuid = "GPU-b", .index = 3 }, { .uuid = "GPU-a", .index = 0 } };
        const Task task = { .id = 12, .needs.n_gpus = 2, .gpus = gpus };

        assert_environment(
                &task, true,
                "HOME=/home/alice|odd|CUDA_DEVICE_ORDERS=x|TASKFLOW_TASK_ID=12|TASKFLOW_GPUS=3,0|"
                "CUDA_VISIBLE_DEVICES=GPU-b,GPU-a|CUDA_DEVICE_ORDER=PCI_BUS_ID");
}

/* Each vendor's programs look at a variable of their own; AMD's at NVIDIA's, too. */
static void test_each_kind_has_a_variable_of_its_own(_unused_ void **state) {
        GpuGrant gpus[] = {
                { .uuid = "GPU-00000000000000aa", .id = "amd:1", .kind = GPU_KIND_AMD, .index = 1 },
                { .uuid = "PCI-0000.03.00.0", .id = "amd:0", .kind = GPU_KIND_AMD, .index = 0 },
                { .uuid = "PCI-0000.04.00.0", .id = "intel:2", .kind = GPU_KIND_INTEL, .index = 2 },
                { .uuid = "GPU-b", .id = "nvidia:3", .index = 3 },
        };
        Task task = { .id = 12, .needs.n_gpus = 4, .gpus = gpus };

        assert_environment(
                &task, true,
                "HOME=/home/alice|odd|CUDA_DEVICE_ORDERS=x|TASKFLOW_TASK_ID=12|"
                "TASKFLOW_GPUS=amd:1,amd:0,intel:2,nvidia:3|CUDA_VISIBLE_DEVICES=GPU-b|"
                "CUDA_DEVICE_ORDER=PCI_BUS_ID|ROCR_VISIBLE_DEVICES=GPU-00000000000000aa,0|"
                "ZE_AFFINITY_MASK=2|ZE_ENABLE_PCI_ID_DEVICE_ORDER=1");
        task.needs.n_gpus = 1;
        assert_environment(
                &task, true,
                "HOME=/home/alice|odd|CUDA_VISIBLE_DEVICES=7|CUDA_DEVICE_ORDERS=x|TASKFLOW_TASK_ID=12|"
                "TASKFLOW_GPUS=amd:1|ROCR_VISIBLE_DEVICES=GPU-00000000000000aa");
}

static void test_an_unpinned_task_sees_what_its_user_said(_unused_ void **state) {
        GpuGrant gpus[] = { { .uuid = "GPU-b", .index = 3 } };
        const Task task = { .id = 12, .needs.n_gpus = 1, .gpus = gpus };

        assert_environment(
                &task, false,
                "HOME=/home/alice|odd|CUDA_VISIBLE_DEVICES=7|CUDA_DEVICE_ORDERS=x|TASKFLOW_TASK_ID=12|"
                "TASKFLOW_GPUS=3");
}

/* The longest UUIDs and ids on as many GPUs as there may be. */
static void test_all_gpus_fit(_unused_ void **state) {
        _cleanup_(environment_freep) Environment *environment = NULL;
        GpuGrant gpus[GPU_MAX];
        const Task task = { .id = 12, .needs.n_gpus = GPU_MAX, .gpus = gpus };
        char *const *vector;

        (void)memset(gpus, 0, sizeof(gpus));
        for (unsigned i = 0; i < GPU_MAX; i++) {
                (void)memset(gpus[i].id, 'x', GPU_ID_MAX - 1);
                gpus[i].id[GPU_ID_MAX - 1] = '\0';
                (void)memset(gpus[i].uuid, 'x', GPU_UUID_MAX - 1);
                gpus[i].uuid[GPU_UUID_MAX - 1] = '\0';
        }
        assert_int_equal(environment_new(&environment, NULL, &task, true), 0);
        vector = environment_vector(environment);
        assert_int_equal(strv_n(vector), 4);
        assert_int_equal(strlen(vector[1]),
                         strlen("TASKFLOW_GPUS=") + (size_t)GPU_MAX * GPU_ID_MAX - 1);
        assert_int_equal(strlen(vector[2]),
                         strlen("CUDA_VISIBLE_DEVICES=") + (size_t)GPU_MAX * GPU_UUID_MAX - 1);
}

static void test_a_list_that_does_not_fit_is_cut(_unused_ void **state) {
        const GpuGrant gpus[] = { { .index = 10 },
                                  { .id = "amd:11", .index = 11 },
                                  { .index = 12 } };
        char whole[32];
        char buf[5];

        environment_gpu_list(gpus, 3, whole, sizeof(whole));
        assert_string_equal(whole, "10,amd:11,12");

        environment_gpu_list(gpus, 3, buf, sizeof(buf));
        assert_string_equal(buf, "10,a");
        environment_gpu_list(gpus, 0, buf, sizeof(buf));
        assert_string_equal(buf, "");
}

/* What a daemon says goes into an environment and to a terminal. */
static void test_only_plain_uuids_and_ids_are_sound(_unused_ void **state) {
        static const struct {
                const char *uuid;
                bool sound;
                const char *id;
        } cases[] = {
                { "GPU-8f0c2a3e-1b2c-3d4e-5f60-718293a4b5c6", true },
                { "MIG-8f0c2a3e-1b2c-3d4e-5f60-718293a4b5c6", true },
                { "MIG-GPU-8f0c/1/0", true },
                { "0000.card", true },
                { "GPU-1", true, "amd:0" },
                { "GPU-1", true, "0.12" },
                { "GPU-1", false, "amd:0,1" },
                { "GPU-1", false, "gpu zero" },
                { "", false },
                { "GPU-1,GPU-2", false },
                { "GPU-\n", false },
                { "GPU 1", false },
                { "GPU-\x1b[2J", false },
                { "0123456789012345678901234567890123456789012345678901234567890123456789012345678x",
                  true },
                { "0123456789012345678901234567890123456789012345678901234567890123456789012345678xy",
                  false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                GpuGrant grant = {};

                (void)snprintf(grant.uuid, sizeof(grant.uuid), "%s", cases[i].uuid);
                (void)snprintf(grant.id, sizeof(grant.id), "%s", cases[i].id ? cases[i].id : "");
                if (environment_grant_is_sound(&grant) != cases[i].sound)
                        fail_msg("'%s' '%s'", grant.uuid, grant.id);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_task_without_gpus_learns_its_id_alone),
                cmocka_unit_test(test_an_element_learns_its_index_too),
                cmocka_unit_test(test_a_pinned_task_sees_its_gpus_alone),
                cmocka_unit_test(test_each_kind_has_a_variable_of_its_own),
                cmocka_unit_test(test_an_unpinned_task_sees_what_its_user_said),
                cmocka_unit_test(test_all_gpus_fit),
                cmocka_unit_test(test_a_list_that_does_not_fit_is_cut),
                cmocka_unit_test(test_only_plain_uuids_and_ids_are_sound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
