/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "probe/gpu-nvml.h"
#include "util/cleanup.h"

#include "stand-in.h"

enum {
        N_PROCESSES_MAX = 1024,
        N_MANY = 140, /* more than a first list has room for */
};

static const char two_gpus[] = "gpu 0\nuuid GPU-a\nname NVIDIA H200 NVL\ntotal 140G\nused 2G\n"
                               "gpu 1\nuuid GPU-b\nused 1G\n";

/* Of no other driver that this machine may have. */
static GpuSources sources_with(const char *library) {
        return (GpuSources){ .nvml_library = library, .sysfs = "/no/such", .proc = "/no/such" };
}

static GpuDriver *open_sources(const GpuSources *sources) {
        char text[GPU_REPORT_TEXT_MAX] = "";
        GpuDriver *driver = NULL;

        assert_int_equal(gpu_nvml.open(&driver, sources, text), 0);
        assert_non_null(driver);
        return driver;
}

static GpuDriver *open_driver(const StandIn *stand_in) {
        const GpuSources sources = sources_with(stand_in->library);

        return open_sources(&sources);
}

/* NVIDIA's part of a /proc, below the stand-in's folder. */
static void in_proc(const StandIn *stand_in,
                    const char *name,
                    int (*function)(const char *path),
                    const char *last) {
        char path[PATH_MAX];

        (void)snprintf(path, sizeof(path), "%s/%s%s", stand_in->folder, name, last);
        assert_int_equal(function(path), 0);
}

static int make_folder(const char *path) {
        return mkdir(path, 0700);
}

static const char *const proc_folders[] = { "proc", "proc/driver", "proc/driver/nvidia",
                                            "proc/driver/nvidia/gpus" };

static void make_proc(const StandIn *stand_in) {
        for (size_t i = 0; i < ELEMENTSOF(proc_folders); i++)
                in_proc(stand_in, proc_folders[i], make_folder, "");
}

static void remove_proc(const StandIn *stand_in) {
        for (size_t i = ELEMENTSOF(proc_folders); i-- > 0;)
                in_proc(stand_in, proc_folders[i], rmdir, "");
}

/* In the kernel's list of GPUs, at the place @last. */
static void put_gpu(const StandIn *stand_in, const char *last) {
        in_proc(stand_in, "proc/driver/nvidia/gpus/", make_folder, last);
}

static void drop_gpu(const StandIn *stand_in, const char *last) {
        in_proc(stand_in, "proc/driver/nvidia/gpus/", rmdir, last);
}

/* To be freed. */
static GpuReport *look(GpuDriver *driver, size_t n_max) {
        GpuReport *report = calloc(1, sizeof(*report) + n_max * sizeof(GpuProcess));

        assert_non_null(report);
        assert_int_equal(gpu_nvml.look(driver, report, n_max), 0);
        return report;
}

/* One look at what a script says. */
static GpuReport *look_at(StandIn *stand_in, const char *script) {
        GpuDriver *driver;
        GpuReport *report;

        stand_in_write(stand_in, script);
        driver = open_driver(stand_in);
        report = look(driver, N_PROCESSES_MAX);
        gpu_nvml.free(driver);
        return report;
}

static pid_t fork_child(void) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        (void)pause();
        }
        return pid;
}

static void end_child(pid_t pid) {
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static uint64_t used_by(const GpuReport *report, unsigned gpu, pid_t pid) {
        for (unsigned i = 0; i < report->n_processes; i++)
                if (report->processes[i].pid == pid && report->processes[i].gpu == gpu)
                        return report->processes[i].used_bytes;
        return 0;
}

static void test_figures_are_the_drivers(void **state) {
        _cleanup_free_ GpuReport *report = look_at(*state, two_gpus);

        assert_int_equal(report->n_gpus, 2);
        assert_string_equal(report->gpus[0].uuid, "GPU-a");
        assert_string_equal(report->gpus[0].name, "NVIDIA H200 NVL");
        assert_int_equal(report->gpus[0].index, 0);
        assert_int_equal(report->gpus[0].state, GPU_STATE_OK);
        assert_int_equal(report->gpus[0].total_bytes, 140 * GIB);
        assert_int_equal(report->gpus[0].free_bytes, 138 * GIB);
        assert_true(report->gpus[0].processes_known);
        assert_int_equal(report->gpus[0].n_processes, 0);
        assert_string_equal(report->gpus[1].uuid, "GPU-b");
        assert_int_equal(report->gpus[1].index, 1);
        assert_int_equal(report->gpus[1].free_bytes, 79 * GIB);
        assert_string_equal(report->text, "");
}

/* v1 counts what the driver reserved as used, v2 does not: only `free` is the same. */
static void test_what_the_driver_reserves_is_not_free_in_any_generation(void **state) {
        static const char *const generations[] = { "nvidia-ml", "nvidia-ml-r470" };

        for (size_t i = 0; i < ELEMENTSOF(generations); i++) {
                _cleanup_free_ GpuReport *report = NULL;

                stand_in_choose(*state, generations[i]);
                report = look_at(*state, "gpu 0\ntotal 40G\nused 1G\nreserved 600M\n");
                assert_int_equal(report->gpus[0].free_bytes, 39 * GIB);
        }
}

/* Entries have 16, 24 or 32 bytes: a wrong guess mixes up pids and bytes from the second one on. */
static void test_lists_of_every_generation_are_read(void **state) {
        static const char *const generations[] = { "nvidia-ml", "nvidia-ml-r535", "nvidia-ml-r470",
                                                   "nvidia-ml-r450", "nvidia-ml-r418" };
        pid_t pids[3];
        char script[512];

        for (size_t i = 0; i < ELEMENTSOF(pids); i++)
                pids[i] = fork_child();
        (void)snprintf(script, sizeof(script),
                       "gpu 0\nused 9G\nprocess %d 1G\nprocess %d 2G\nprocess %d 3G\n"
                       "gpu 1\nprocess %d 4G graphics\nprocess %d 5G mps\nprocess %d 6G mps\n",
                       pids[0], pids[1], pids[2], pids[1], pids[2], pids[0]);

        for (size_t i = 0; i < ELEMENTSOF(generations); i++) {
                _cleanup_free_ GpuReport *report = NULL;

                stand_in_choose(*state, generations[i]);
                report = look_at(*state, script);
                assert_int_equal(report->n_processes, 6);
                assert_int_equal(report->gpus[0].n_processes, 3);
                assert_int_equal(report->gpus[1].n_processes, 3);
                assert_int_equal(used_by(report, 0, pids[0]), 1 * GIB);
                assert_int_equal(used_by(report, 0, pids[1]), 2 * GIB);
                assert_int_equal(used_by(report, 0, pids[2]), 3 * GIB);
                assert_int_equal(used_by(report, 1, pids[1]), 4 * GIB);
                assert_int_equal(used_by(report, 1, pids[2]), 5 * GIB);
                assert_int_equal(used_by(report, 1, pids[0]), 6 * GIB);
                assert_true(report->gpus[0].processes_known && report->gpus[1].processes_known);
        }
        for (size_t i = 0; i < ELEMENTSOF(pids); i++)
                end_child(pids[i]);
}

static void test_a_process_in_two_lists_counts_once(void **state) {
        _cleanup_free_ GpuReport *report =
                look_at(*state, "gpu 0\nprocess self 2G\nprocess self 3G graphics\n");

        assert_int_equal(report->n_processes, 1);
        assert_int_equal(used_by(report, 0, getpid()), 3 * GIB);
}

static void test_a_process_that_is_gone_is_left_out(void **state) {
        _cleanup_free_ GpuReport *report =
                look_at(*state, "gpu 0\nprocess 4194305 2G\nprocess 0 1G\nprocess 4294967295 1G\n"
                                "process self 1G\n");

        assert_int_equal(report->n_processes, 1);
        assert_int_equal(used_by(report, 0, getpid()), 1 * GIB);
        assert_true(report->gpus[0].processes_known);
}

/* On WSL. As a number it would be 17179869184 GiB. */
static void test_use_that_is_not_told_is_not_known(void **state) {
        _cleanup_free_ GpuReport *report =
                look_at(*state, "gpu 0\nprocesses n/a\nprocess self 1G\ngpu 1\nprocess self 1G\n");

        assert_false(report->gpus[0].processes_known);
        assert_int_equal(report->gpus[0].n_processes, 1);
        assert_int_equal(used_by(report, 0, getpid()), UINT64_MAX);
        assert_true(report->gpus[1].processes_known);
        assert_int_equal(report->gpus[0].state, GPU_STATE_OK);
}

static void test_a_list_that_makes_no_sense_is_dropped(void **state) {
        _cleanup_free_ GpuReport *report =
                look_at(*state, "gpu 0\nprocess self 1G\ngpu 1\nprocess self 1G\nprocess 1 81G\n");

        assert_int_equal(report->n_processes, 1);
        assert_true(report->gpus[0].processes_known);
        assert_false(report->gpus[1].processes_known);
        assert_int_equal(report->gpus[1].n_processes, 0);
        assert_int_equal(report->gpus[1].state, GPU_STATE_OK);
        assert_string_equal(report->gpus[1].note, "its list of processes makes no sense");
}

static void test_without_a_list_use_is_not_known(void **state) {
        static const struct {
                const char *label;
                const char *script;
                bool known;
        } cases[] = {
                { "compute", "gpu 0\nerror nvmlDeviceGetComputeRunningProcesses_v2 3\n", false },
                { "denied", "gpu 0\nerror nvmlDeviceGetGraphicsRunningProcesses_v2 4\n", false },
                { "graphics", "gpu 0\nerror nvmlDeviceGetGraphicsRunningProcesses_v2 3\n", true },
                { "mps", "gpu 0\nerror nvmlDeviceGetMPSComputeRunningProcesses_v2 13\n", true },
                { "race", "gpu 0\nrace 3\n", true },
                { "endless race", "gpu 0\nrace 1000\n", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ GpuReport *report = look_at(*state, cases[i].script);

                if (report->gpus[0].processes_known != cases[i].known ||
                    report->gpus[0].state != GPU_STATE_OK)
                        fail_msg("%s", cases[i].label);
        }
}

static void test_long_lists_are_read_whole(void **state) {
        _cleanup_free_ char *script = malloc(N_MANY * 32 + 32);
        pid_t pids[N_MANY];
        size_t n;

        n = (size_t)sprintf(script, "gpu 0\n");
        for (size_t i = 0; i < N_MANY; i++) {
                pids[i] = fork_child();
                n += (size_t)sprintf(script + n, "process %d %zuM\n", pids[i], i + 1);
        }
        {
                _cleanup_free_ GpuReport *report = look_at(*state, script);

                assert_int_equal(report->n_processes, N_MANY);
                for (size_t i = 0; i < N_MANY; i++)
                        assert_int_equal(used_by(report, 0, pids[i]), (i + 1) * MIB);
        }
        for (size_t i = 0; i < N_MANY; i++)
                end_child(pids[i]);
}

static void test_no_more_processes_are_taken_than_fit(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        GpuDriver *driver;

        stand_in_write(*state, "gpu 0\nprocess self 1G\ngpu 1\nprocess self 1G\n");
        driver = open_driver(*state);
        report = look(driver, 1);
        assert_int_equal(report->n_processes, 1);
        assert_true(report->gpus[0].processes_known);
        assert_false(report->gpus[1].processes_known);
        gpu_nvml.free(driver);
}

static void test_a_lost_gpu_leaves_the_others(void **state) {
        GpuDriver *driver;
        GpuReport *report;

        stand_in_write(*state, two_gpus);
        driver = open_driver(*state);
        free(look(driver, N_PROCESSES_MAX));

        stand_in_write(*state, "gpu 0\nuuid GPU-a\nlost\nprocess self 1G\ngpu 1\nuuid GPU-b\n");
        report = look(driver, N_PROCESSES_MAX);
        assert_int_equal(report->n_gpus, 2);
        assert_string_equal(report->gpus[0].uuid, "GPU-a");
        assert_string_equal(report->gpus[0].name, "NVIDIA H200 NVL");
        assert_int_equal(report->gpus[0].state, GPU_STATE_LOST);
        assert_int_equal(report->gpus[1].state, GPU_STATE_OK);
        assert_int_equal(report->n_processes, 0);
        assert_string_equal(report->gpus[0].note, "GPU is lost (NVML error 15)");
        free(report);

        stand_in_write(*state, two_gpus);
        report = look(driver, N_PROCESSES_MAX);
        assert_int_equal(report->gpus[0].state, GPU_STATE_OK);
        free(report);
        gpu_nvml.free(driver);
}

/* The driver says that it is lost until NVML was shut down, which is done now and then. */
static void test_a_gpu_that_came_back_is_found(void **state) {
        static const struct {
                uint64_t reopen_us;
                GpuState state;
        } steps[] = {
                { 3600 * US_PER_SEC, GPU_STATE_LOST },
                { 0, GPU_STATE_OK },
        };
        GpuDriver *driver;

        stand_in_write(*state, two_gpus);
        driver = open_driver(*state);
        free(look(driver, N_PROCESSES_MAX));
        stand_in_write(*state, "gpu 0\nuuid GPU-a\nlost until-init\ngpu 1\nuuid GPU-b\n");
        free(look(driver, N_PROCESSES_MAX));

        stand_in_write(*state, two_gpus);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                _cleanup_free_ GpuReport *report = NULL;

                gpu_nvml_set_reopen_us(driver, steps[i].reopen_us);
                report = look(driver, N_PROCESSES_MAX);
                assert_int_equal(report->n_gpus, 2);
                assert_string_equal(report->gpus[0].uuid, "GPU-a");
                assert_int_equal(report->gpus[0].state, steps[i].state);
                assert_int_equal(report->gpus[1].state, GPU_STATE_OK);
        }
        gpu_nvml.free(driver);
}

static void test_one_bad_gpu_leaves_the_others(void **state) {
        static const struct {
                const char *label;
                const char *script;
                unsigned n_gpus;
                GpuState first;
        } cases[] = {
                { "no permission", "gpu 0\nerror * 4\ngpu 1\n", 1, GPU_STATE_OK },
                { "lost from the start", "gpu 0\nlost\ngpu 1\n", 1, GPU_STATE_OK },
                { "no UUID", "gpu 0\nerror nvmlDeviceGetUUID 999\ngpu 1\n", 1, GPU_STATE_OK },
                { "a UUID that harms", "gpu 0\nuuid GPU-\"x\ngpu 1\n", 1, GPU_STATE_OK },
                { "a UUID without an end", "gpu 0\nunterminated\ngpu 1\n", 1, GPU_STATE_OK },
                { "no name", "gpu 0\nerror nvmlDeviceGetName 999\ngpu 1\n", 2, GPU_STATE_OK },
                { "one UUID for two", "gpu 0\nuuid GPU-a\nprocess self 1G\ngpu 1\nuuid GPU-a\n", 1,
                  GPU_STATE_OK },
                { "v2 does not work", "gpu 0\nerror nvmlDeviceGetMemoryInfo_v2 999\ngpu 1\n", 2,
                  GPU_STATE_OK },
                { "no memory",
                  "gpu 0\nerror nvmlDeviceGetMemoryInfo_v2 999\nerror nvmlDeviceGetMemoryInfo 999\n"
                  "gpu 1\n",
                  2, GPU_STATE_UNKNOWN },
                { "unified memory",
                  "gpu 0\nerror nvmlDeviceGetMemoryInfo_v2 3\nerror nvmlDeviceGetMemoryInfo 3\n"
                  "gpu 1\n",
                  2, GPU_STATE_OK },
                { "no memory of its own", "gpu 0\ntotal 0\ngpu 1\n", 2, GPU_STATE_OK },
                { "split", "gpu 0\nmig\ngpu 1\n", 2, GPU_STATE_OK },
                { "no MIG", "gpu 0\nerror nvmlDeviceGetMigMode 3\ngpu 1\n", 2, GPU_STATE_OK },
                { "lost on the way",
                  "gpu 0\nprocess self 1G\nerror nvmlDeviceGetGraphicsRunningProcesses_v2 15\n"
                  "gpu 1\n",
                  2, GPU_STATE_LOST },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ GpuReport *report = look_at(*state, cases[i].script);

                if (report->n_gpus != cases[i].n_gpus || report->gpus[0].state != cases[i].first ||
                    report->gpus[report->n_gpus - 1].state != GPU_STATE_OK)
                        fail_msg("%s: %u GPUs, '%s'", cases[i].label, report->n_gpus, report->text);
        }
}

/* Both ways in which drivers say so. What a process can have there, all RAM can. */
static void test_a_gpu_without_memory_of_its_own_has_that_of_the_machine(void **state) {
        static const char *const scripts[] = {
                "gpu 0\nunified\nprocess self 2G\n",
                "gpu 0\ntotal 0\nprocess self 2G\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
                _cleanup_free_ GpuReport *report = look_at(*state, scripts[i]);

                assert_int_equal(report->gpus[0].state, GPU_STATE_OK);
                assert_true(report->gpus[0].shares_ram);
                assert_int_equal(report->gpus[0].total_bytes, 0);
                assert_int_equal(report->gpus[0].free_bytes, 0);
                assert_int_equal(used_by(report, 0, getpid()), 2 * GIB);
        }
}

/* One that told its memory once has some, whatever it says now. */
static void test_a_gpu_that_lost_its_memory_does_not_get_that_of_the_machine(void **state) {
        GpuDriver *driver;
        GpuReport *report;

        stand_in_write(*state, "gpu 0\n");
        driver = open_driver(*state);
        free(look(driver, N_PROCESSES_MAX));
        stand_in_write(*state, "gpu 0\nunified\n");
        report = look(driver, N_PROCESSES_MAX);
        assert_int_equal(report->gpus[0].state, GPU_STATE_UNKNOWN);
        assert_false(report->gpus[0].shares_ram);
        assert_string_equal(report->gpus[0].note, "Not Supported (NVML error 3)");
        free(report);
        gpu_nvml.free(driver);
}

static void test_compute_modes_say_who_may_use_a_gpu(void **state) {
        static const struct {
                const char *line;
                GpuUse use;
        } cases[] = {
                { "mode 0", GPU_USE_SHARED },
                { "mode 1", GPU_USE_EXCLUSIVE },
                { "mode 2", GPU_USE_PROHIBITED },
                { "mode 3", GPU_USE_EXCLUSIVE },
                { "mode 77", GPU_USE_SHARED },
                { "error nvmlDeviceGetComputeMode 3", GPU_USE_SHARED },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ GpuReport *report = NULL;
                char script[64];

                (void)snprintf(script, sizeof(script), "gpu 0\n%s\n", cases[i].line);
                report = look_at(*state, script);
                if (report->n_gpus != 1 || report->gpus[0].use != cases[i].use ||
                    report->gpus[0].state != GPU_STATE_OK)
                        fail_msg("'%s': %u", cases[i].line, report->gpus[0].use);
        }
}

/* A program that only draws holds no GPU that one process may compute on. */
static void test_what_computes_is_counted_apart_from_what_draws(void **state) {
        _cleanup_free_ GpuReport *report =
                look_at(*state, "gpu 0\nmode 3\nprocess self 1G graphics\n"
                                "gpu 1\nmode 3\nprocess self 1G\nprocess 1 1G mps\n");

        assert_int_equal(report->gpus[0].n_processes, 1);
        assert_int_equal(report->gpus[0].n_computing, 0);
        assert_int_equal(report->gpus[1].n_processes, 2);
        assert_int_equal(report->gpus[1].n_computing, 1);
}

static void assert_sample(const GpuSample *sample, const char *uuid, unsigned part, uint64_t gib) {
        assert_string_equal(sample->uuid, uuid);
        assert_int_equal(sample->index, 0);
        assert_int_equal(sample->part, part);
        assert_int_equal(sample->state, GPU_STATE_OK);
        assert_int_equal(sample->total_bytes, gib * GIB);
}

/* Of the whole the driver tells no memory, and a place may be empty. */
static void test_the_instances_of_a_split_gpu_are_gpus_of_their_own(void **state) {
        _cleanup_free_ GpuReport *report =
                look_at(*state, "gpu 0\nuuid GPU-a\nmig\n"
                                "instance 0\nuuid MIG-a\ntotal 10G\nprocess self 1G\n"
                                "instance 2\nuuid MIG-c\ntotal 20G\nused 3G\n"
                                "gpu 1\nuuid GPU-b\n");

        assert_int_equal(report->n_gpus, 4);
        assert_sample(&report->gpus[0], "GPU-a", 0, 0);
        assert_int_equal(report->gpus[0].use, GPU_USE_SPLIT);
        assert_sample(&report->gpus[1], "MIG-a", 1, 10);
        assert_sample(&report->gpus[2], "MIG-c", 2, 20);
        assert_int_equal(report->gpus[2].free_bytes, 17 * GIB);
        assert_int_equal(report->gpus[2].use, GPU_USE_SHARED);
        assert_string_equal(report->gpus[3].uuid, "GPU-b");
        assert_int_equal(report->n_processes, 1);
        assert_int_equal(used_by(report, 1, getpid()), GIB);
}

/* Their handles are used again for others. */
static void test_instances_come_and_go(void **state) {
        static const struct {
                const char *script;
                const char *uuid; /* of the first instance */
        } steps[] = {
                { "gpu 0\nmig\ninstance 0\nuuid MIG-a\ntotal 10G\n", "MIG-a" },
                { "gpu 0\nmig\ninstance 0\nuuid MIG-b\ntotal 10G\n", "MIG-b" },
                { "gpu 0\nmig\n", NULL },
                { "gpu 0\ntotal 80G\n", NULL },
                { "gpu 0\nmig\ninstance 0\nuuid MIG-c\ntotal 10G\n", "MIG-c" },
        };
        GpuDriver *driver;

        stand_in_write(*state, "gpu 0\n");
        driver = open_driver(*state);
        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                _cleanup_free_ GpuReport *report = NULL;

                stand_in_write(*state, steps[i].script);
                report = look(driver, N_PROCESSES_MAX);
                assert_int_equal(report->n_gpus, steps[i].uuid ? 2 : 1);
                if (steps[i].uuid)
                        assert_sample(&report->gpus[1], steps[i].uuid, 1, 10);
        }
        gpu_nvml.free(driver);
}

/* All that there can be go, and another one comes, between two looks. */
static void test_a_new_instance_is_found_behind_those_that_went(void **state) {
        GpuDriver *driver;

        stand_in_write(*state, "gpu 0\nmig\ninstance 0\ninstance 1\ninstance 2\ninstance 3\n"
                               "instance 4\ninstance 5\ninstance 6\n");
        driver = open_driver(*state);
        for (size_t i = 0; i < 3; i++) {
                _cleanup_free_ GpuReport *report = look(driver, N_PROCESSES_MAX);

                assert_int_equal(report->n_gpus, i == 0 ? 8 : 2);
                assert_true(i == 0 || strcmp(report->gpus[1].uuid, "MIG-new") == 0);
                stand_in_write(*state, "gpu 0\nmig\ninstance 7\nuuid MIG-new\n");
        }
        gpu_nvml.free(driver);
}

static void test_one_bad_instance_leaves_the_others(void **state) {
        _cleanup_free_ GpuReport *report =
                look_at(*state, "gpu 0\nmig\n"
                                "instance 0\nuuid MIG-a\nerror nvmlDeviceGetMemoryInfo_v2 4\n"
                                "error nvmlDeviceGetMemoryInfo 4\n"
                                "instance 1\nunterminated\n"
                                "instance 2\nuuid MIG-c\nunified\n"
                                "instance 3\nuuid MIG-d\ntotal 5G\n");

        assert_int_equal(report->n_gpus, 4);
        assert_int_equal(report->gpus[1].state, GPU_STATE_UNKNOWN);
        assert_string_equal(report->gpus[1].note, "Insufficient Permissions (NVML error 4)");
        assert_int_equal(report->gpus[2].state, GPU_STATE_UNKNOWN); /* no pool with RAM */
        assert_sample(&report->gpus[3], "MIG-d", 4, 5);
}

static void test_a_name_without_an_end_is_cut(void **state) {
        _cleanup_free_ GpuReport *report =
                look_at(*state, "gpu 0\nuuid GPU-a\nname A\nunterminated name\n");

        assert_int_equal(report->n_gpus, 1);
        assert_int_equal(strlen(report->gpus[0].name), GPU_NAME_MAX - 1);
}

static void test_names_are_made_harmless(void **state) {
        _cleanup_free_ GpuReport *report = look_at(*state, "gpu 0\nname A\033[2J\xff B\n");

        assert_string_equal(report->gpus[0].name, "A?[2J? B");
}

static void append_word(char *text, size_t n, const char *word) {
        size_t n_text = strlen(text);

        (void)snprintf(text + n_text, n - n_text, "%s ", word);
}

static void look_for(GpuDriver *driver, const char *uuids) {
        _cleanup_free_ GpuReport *report = look(driver, N_PROCESSES_MAX);
        char found[64] = "";

        for (unsigned i = 0; i < report->n_gpus; i++)
                if (report->gpus[i].state == GPU_STATE_OK)
                        append_word(found, sizeof(found), report->gpus[i].uuid);
        assert_string_equal(found, uuids);
}

/* NVML itself says nothing of them: the kernel's list does. */
static void test_gpus_may_come_and_go(void **state) {
        const StandIn *stand_in = *state;
        char proc[PATH_MAX];
        GpuSources sources = sources_with(stand_in->library);
        GpuDriver *driver;

        (void)snprintf(proc, sizeof(proc), "%s/proc", stand_in->folder);
        sources.proc = proc;
        make_proc(stand_in);
        put_gpu(stand_in, "0000:01:00.0");
        stand_in_write(stand_in, "gpu 0\nuuid A\n");
        driver = open_sources(&sources);
        look_for(driver, "A ");

        stand_in_write(stand_in, "gpu 0\nuuid C\ngpu 1\nuuid B\ngpu 2\nuuid A\n");
        look_for(driver, "C "); /* it is not looked for more without a reason */
        put_gpu(stand_in, "0000:02:00.0");
        look_for(driver, "C B A ");

        stand_in_write(stand_in, "gpu 0\nuuid B\n");
        look_for(driver, "B "); /* the others are lost */
        drop_gpu(stand_in, "0000:02:00.0");
        look_for(driver, "B ");

        stand_in_write(stand_in, "");
        drop_gpu(stand_in, "0000:01:00.0");
        look_for(driver, ""); /* NVML does not start any more */
        stand_in_write(stand_in, "gpu 0\nuuid B\n");
        look_for(driver, "");
        put_gpu(stand_in, "0000:01:00.0");
        look_for(driver, "B ");

        stand_in_write(stand_in, "init 999\n"); /* as older ones call that */
        drop_gpu(stand_in, "0000:01:00.0");
        look_for(driver, "");

        gpu_nvml.free(driver);
        remove_proc(stand_in);
}

/* The count is of a moment ago. */
static void test_a_count_may_be_too_large(void **state) {
        GpuDriver *driver;

        stand_in_write(*state, "count 0\n");
        driver = open_driver(*state);
        look_for(driver, "");
        stand_in_write(*state, "count 3\ngpu 0\nuuid A\ngpu 1\nuuid B\n");
        look_for(driver, "A B ");
        gpu_nvml.free(driver);
}

static void test_there_is_a_bound_on_gpus(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        char script[1024];
        size_t n = 0;

        for (unsigned i = 0; i < GPU_MAX + 6; i++)
                n += (size_t)sprintf(script + n, "gpu %u\n", i);
        report = look_at(*state, script);
        assert_int_equal(report->n_gpus, GPU_MAX);
}

static void test_a_driver_that_does_not_start_says_what_to_do(void **state) {
        static const struct {
                int status;
                const char *words;
        } cases[] = {
                { 9, "is not loaded" },        { 4, "no permission" },     { 17, "its devices" },
                { 18, "reboot or reload it" }, { 999, "NVML error 999)" },
        };
        const StandIn *stand_in = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const GpuSources sources = sources_with(stand_in->library);
                char text[GPU_REPORT_TEXT_MAX] = "";
                GpuDriver *driver = NULL;
                char script[32];

                (void)snprintf(script, sizeof(script), "init %d\n", cases[i].status);
                stand_in_write(stand_in, script);
                if (gpu_nvml.open(&driver, &sources, text) >= 0 || driver ||
                    !strstr(text, cases[i].words))
                        fail_msg("%d: '%s'", cases[i].status, text);
        }
}

static void test_what_is_no_such_library_is_refused(void **state) {
        static const struct {
                const char *library;
                int r;
                const char *words;
        } cases[] = {
                { "/no/such/library.so", -ENOENT, "there is no library '/no/such/library.so'" },
                { "/etc/passwd", -EIO, "cannot use NVIDIA's library '/etc/passwd'" },
                { "libm.so.6", -EIO, "libm.so.6 has no nvmlInit_v2" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const GpuSources sources = sources_with(cases[i].library);
                char text[GPU_REPORT_TEXT_MAX] = "";
                GpuDriver *driver = NULL;
                int r = gpu_nvml.open(&driver, &sources, text);

                if (r != cases[i].r || driver || !strstr(text, cases[i].words))
                        fail_msg("%s: %d, '%s'", cases[i].library, r, text);
        }
}

static void test_a_driver_that_went_away_asks_to_be_opened_anew(void **state) {
        static const char *const scripts[] = {
                "error nvmlDeviceGetCount_v2 999\ngpu 0\n",
                "gpu 0\nerror nvmlDeviceGetMemoryInfo_v2 1\n",
                "gpu 0\nerror nvmlDeviceGetComputeRunningProcesses_v2 1\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(scripts); i++) {
                _cleanup_free_ GpuReport *report =
                        calloc(1, sizeof(*report) + N_PROCESSES_MAX * sizeof(GpuProcess));
                GpuDriver *driver;

                stand_in_write(*state, scripts[i]);
                driver = open_driver(*state);
                assert_int_equal(gpu_nvml.look(driver, report, N_PROCESSES_MAX), -EIO);
                gpu_nvml.free(driver);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                stand_in_test(test_figures_are_the_drivers),
                stand_in_test(test_what_the_driver_reserves_is_not_free_in_any_generation),
                stand_in_test(test_lists_of_every_generation_are_read),
                stand_in_test(test_a_process_in_two_lists_counts_once),
                stand_in_test(test_a_process_that_is_gone_is_left_out),
                stand_in_test(test_use_that_is_not_told_is_not_known),
                stand_in_test(test_a_list_that_makes_no_sense_is_dropped),
                stand_in_test(test_without_a_list_use_is_not_known),
                stand_in_test(test_long_lists_are_read_whole),
                stand_in_test(test_no_more_processes_are_taken_than_fit),
                stand_in_test(test_a_lost_gpu_leaves_the_others),
                stand_in_test(test_a_gpu_that_came_back_is_found),
                stand_in_test(test_one_bad_gpu_leaves_the_others),
                stand_in_test(test_a_gpu_without_memory_of_its_own_has_that_of_the_machine),
                stand_in_test(test_a_gpu_that_lost_its_memory_does_not_get_that_of_the_machine),
                stand_in_test(test_compute_modes_say_who_may_use_a_gpu),
                stand_in_test(test_what_computes_is_counted_apart_from_what_draws),
                stand_in_test(test_the_instances_of_a_split_gpu_are_gpus_of_their_own),
                stand_in_test(test_instances_come_and_go),
                stand_in_test(test_a_new_instance_is_found_behind_those_that_went),
                stand_in_test(test_one_bad_instance_leaves_the_others),
                stand_in_test(test_a_name_without_an_end_is_cut),
                stand_in_test(test_names_are_made_harmless),
                stand_in_test(test_gpus_may_come_and_go),
                stand_in_test(test_a_count_may_be_too_large),
                stand_in_test(test_there_is_a_bound_on_gpus),
                stand_in_test(test_a_driver_that_does_not_start_says_what_to_do),
                stand_in_test(test_what_is_no_such_library_is_refused),
                stand_in_test(test_a_driver_that_went_away_asks_to_be_opened_anew),
        };

        return cmocka_run_group_tests_name("probe-gpu-nvml", tests, NULL, NULL);
}
