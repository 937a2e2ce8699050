/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The probe is this program itself, started anew. Where its library is `test:…` it does wrong on
 * purpose what the word says.
 */

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "probe/gpu-process.h"
#include "util/cleanup.h"

#include "stand-in.h"

enum {
        ANSWER_MS = 20000, /* nobody waits so long unless something is wrong */
        N_PROCESSES = 3,
};

static const char one_gpu[] = "gpu 0\nuuid GPU-a\nname A\ntotal 10G\nused 1G\nprocess self 512M\n";

static GpuProcessHandle start(const char *library) {
        GpuProcessHandle handle = GPU_PROCESS_HANDLE_NULL;

        assert_int_equal(gpu_process_start(&handle, "/proc/self/exe",
                                           &(GpuSources){ .nvml_library = library }),
                         0);
        assert_true(handle.pid > 0);
        return handle;
}

static void wait_for(int fd) {
        assert_int_equal(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, ANSWER_MS), 1);
}

/* What gpu_process_receive() says once it says something. */
static int receive(GpuProcessHandle *handle, GpuReport **ret) {
        int r;

        do {
                wait_for(handle->report_fd);
                r = gpu_process_receive(handle, ret);
        } while (r == GPU_PROCESS_E_AGAIN);
        return r;
}

static GpuReport *ask(GpuProcessHandle *handle) {
        GpuReport *report = NULL;

        assert_int_equal(gpu_process_ask(handle), 0);
        assert_int_equal(receive(handle, &report), 0);
        assert_non_null(report);
        return report;
}

/* One that is traced, as by a sanitizer at its end, is readable before it can be reaped. */
static void reap(GpuProcessHandle *handle) {
        wait_for(handle->pid_fd);
        for (int i = 0; i < ANSWER_MS && !gpu_process_reap(handle); i++)
                (void)poll(NULL, 0, 1);
        assert_int_equal(handle->pid_fd, -1);
}

/* Its wait status. Nothing may be left of it. */
static int end(GpuProcessHandle *handle) {
        pid_t pid = handle->pid;

        gpu_process_stop(handle);
        assert_int_equal(handle->request_fd, -1);
        assert_int_equal(handle->report_fd, -1);
        assert_null(handle->buffer);
        reap(handle);
        assert_true(gpu_process_reap(handle));
        assert_int_equal(kill(pid, 0), -1);
        return handle->wait_status;
}

static void test_each_request_gets_one_report(void **state) {
        const StandIn *stand_in = *state;
        GpuProcessHandle handle;

        stand_in_write(stand_in, one_gpu);
        handle = start(stand_in->library);
        for (size_t i = 0; i < 3; i++) {
                _cleanup_free_ GpuReport *report = ask(&handle);

                assert_true(report->ok);
                assert_int_equal(report->n_gpus, 1);
                assert_int_equal(report->gpus[0].free_bytes, 9 * GIB);
                assert_int_equal(report->n_processes, 1);
                assert_int_equal(report->processes[0].pid, handle.pid);
                assert_int_equal(report->processes[0].used_bytes, 512 * MIB);
        }
        (void)end(&handle);
}

static void test_a_report_shows_the_moment(void **state) {
        const StandIn *stand_in = *state;
        GpuProcessHandle handle;

        stand_in_write(stand_in, one_gpu);
        handle = start(stand_in->library);
        free(ask(&handle));
        stand_in_write(stand_in, "gpu 0\ntotal 10G\nused 7G\n");
        {
                _cleanup_free_ GpuReport *report = ask(&handle);

                assert_int_equal(report->gpus[0].free_bytes, 3 * GIB);
        }
        (void)end(&handle);
}

static void test_without_a_driver_the_report_says_why(void **state) {
        const StandIn *stand_in = *state;
        GpuProcessHandle handle = start("/no/such/library.so");

        for (size_t i = 0; i < 2; i++) {
                _cleanup_free_ GpuReport *report = ask(&handle);

                assert_false(report->ok);
                assert_int_equal(report->n_gpus, 0);
                assert_string_equal(report->text,
                                    "there is no library '/no/such/library.so' (setting "
                                    "nvml_library)");
        }
        (void)end(&handle);

        stand_in_write(stand_in, "init 18\n");
        handle = start(stand_in->library);
        {
                _cleanup_free_ GpuReport *report = ask(&handle);

                assert_false(report->ok);
                assert_string_equal(report->text,
                                    "the NVIDIA driver was upgraded under the running "
                                    "system: reboot or reload it");
        }
        (void)end(&handle);
}

/* The library is found the loader's way. Where a real one is installed, it may be that one. */
static void test_the_soname_is_looked_for_everywhere(void **state) {
        const StandIn *stand_in = *state;
        _cleanup_free_ char *folder = strdup(stand_in->library);
        GpuProcessHandle handle;

        *strrchr(folder, '/') = '\0';
        stand_in_write(stand_in, one_gpu);
        assert_int_equal(setenv("LD_LIBRARY_PATH", folder, 1), 0);
        handle = start("libnvidia-ml.so.1");
        {
                _cleanup_free_ GpuReport *report = ask(&handle);

                assert_true(report->ok);
                assert_string_equal(report->gpus[0].uuid, "GPU-a");
        }
        (void)end(&handle);

        assert_int_equal(unsetenv("LD_LIBRARY_PATH"), 0);
        handle = start("libnvidia-ml.so.1");
        {
                _cleanup_free_ GpuReport *report = ask(&handle);

                if (!report->ok)
                        assert_non_null(strstr(report->text, "NVIDIA"));
        }
        (void)end(&handle);
}

/* A driver that fails is opened again, at first at once. */
static void test_a_driver_is_opened_again(void **state) {
        const StandIn *stand_in = *state;
        GpuProcessHandle handle;
        bool ok = false;

        stand_in_write(stand_in, one_gpu);
        handle = start(stand_in->library);
        free(ask(&handle));

        stand_in_write(stand_in, "error nvmlDeviceGetCount_v2 1\ngpu 0\n");
        {
                _cleanup_free_ GpuReport *report = ask(&handle);

                assert_false(report->ok);
                assert_non_null(strstr(report->text, "the driver of nvidia GPUs fails"));
        }

        stand_in_write(stand_in, one_gpu);
        for (size_t i = 0; i < 2000 && !ok; i++) {
                _cleanup_free_ GpuReport *report = ask(&handle);

                ok = report->ok;
                if (!ok)
                        (void)poll(NULL, 0, 10);
        }
        assert_true(ok);
        (void)end(&handle);
}

static void test_a_crash_is_seen(void **state) {
        const StandIn *stand_in = *state;
        GpuProcessHandle handle;
        GpuReport *report = NULL;

        stand_in_write(stand_in, "crash nvmlDeviceGetMemoryInfo_v2\ngpu 0\n");
        handle = start(stand_in->library);
        assert_int_equal(gpu_process_ask(&handle), 0);
        assert_int_equal(receive(&handle, &report), GPU_PROCESS_E_GONE);
        assert_null(report);
        wait_for(handle.pid_fd);
        assert_true(gpu_process_ask(&handle) < 0); /* and no SIGPIPE */
        reap(&handle);
        assert_true(WIFSIGNALED(handle.wait_status));
        assert_int_equal(WTERMSIG(handle.wait_status), SIGSEGV);
        assert_int_equal(gpu_process_receive(&handle, &report), GPU_PROCESS_E_GONE);
}

static void test_a_hang_holds_nobody_up(void **state) {
        const StandIn *stand_in = *state;
        GpuProcessHandle handle;
        GpuReport *report = NULL;

        stand_in_write(stand_in, "hang nvmlInit_v2\ngpu 0\n");
        handle = start(stand_in->library);
        assert_int_equal(gpu_process_ask(&handle), 0);
        assert_int_equal(gpu_process_receive(&handle, &report), GPU_PROCESS_E_AGAIN);
        assert_false(gpu_process_reap(&handle));

        /* It goes on where it hung, if it may. */
        stand_in_write(stand_in, one_gpu);
        assert_int_equal(receive(&handle, &report), 0);
        free(report);

        stand_in_write(stand_in, "hang nvmlDeviceGetCount_v2\n");
        assert_int_equal(gpu_process_ask(&handle), 0);
        assert_true(WIFSIGNALED(end(&handle)));
}

static void test_what_makes_no_sense_is_refused(_unused_ void **state) {
        static const char *const libraries[] = { "test:noise", "test:huge", "test:tiny",
                                                 "test:wrong-state" };

        for (size_t i = 0; i < ELEMENTSOF(libraries); i++) {
                GpuProcessHandle handle = start(libraries[i]);
                GpuReport *report = NULL;
                int r;

                assert_int_equal(gpu_process_ask(&handle), 0);
                r = receive(&handle, &report);
                if (r != GPU_PROCESS_E_BAD || report)
                        fail_msg("%s: %d", libraries[i], r);
                (void)end(&handle);
        }
}

static void test_half_a_report_is_none(_unused_ void **state) {
        GpuProcessHandle handle = start("test:half");
        GpuReport *report = NULL;

        assert_int_equal(gpu_process_ask(&handle), 0);
        assert_int_equal(receive(&handle, &report), GPU_PROCESS_E_GONE);
        assert_null(report);
        (void)end(&handle);
}

static void test_a_report_may_come_byte_by_byte(_unused_ void **state) {
        GpuProcessHandle handle = start("test:slow");
        _cleanup_free_ GpuReport *report = ask(&handle);

        assert_true(report->ok);
        assert_int_equal(report->n_gpus, 1);
        (void)end(&handle);
}

static void test_one_that_closed_its_pipe_is_gone(_unused_ void **state) {
        GpuProcessHandle handle = start("test:deaf");
        GpuReport *report = NULL;

        assert_int_equal(receive(&handle, &report), GPU_PROCESS_E_GONE);
        assert_false(gpu_process_reap(&handle));
        assert_true(WIFSIGNALED(end(&handle)));
}

static void test_a_program_that_is_not_there_is_an_error(_unused_ void **state) {
        GpuProcessHandle handle = GPU_PROCESS_HANDLE_NULL;

        assert_int_equal(gpu_process_start(&handle, "/no/such/program",
                                           &(GpuSources){ .nvml_library = "x" }),
                         -ENOENT);
        assert_int_equal(handle.pid, 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

/*
 * Blocked and ignored signals, and descriptors, are the daemon's affair: the probe dies if it has
 * them.
 */
static void test_the_probe_starts_clean(_unused_ void **state) {
        _cleanup_close_ int fd = -1;
        GpuProcessHandle handle;
        sigset_t all;
        sigset_t before;

        fd = open("/dev/null", O_RDONLY); /* NOLINT: not close-on-exec, on purpose */
        assert_true(fd >= 0);
        (void)sigfillset(&all);
        (void)sigprocmask(SIG_BLOCK, &all, &before);
        (void)signal(SIGPIPE, SIG_IGN);
        handle = start("test:clean");
        (void)signal(SIGPIPE, SIG_DFL);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);

        reap(&handle);
        assert_true(WIFEXITED(handle.wait_status));
        assert_int_equal(WEXITSTATUS(handle.wait_status), 0);
}

/* A second process starts a probe, says its pid, and dies. */
static void test_the_probe_dies_with_its_parent(void **state) {
        const StandIn *stand_in = *state;
        pid_t pid;
        pid_t probe;
        int fds[2];
        char c;

        stand_in_write(stand_in, "hang nvmlInit_v2\n");
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                GpuProcessHandle handle = GPU_PROCESS_HANDLE_NULL;

                /* The probe's stderr is the pipe, which ends when the probe ends. */
                (void)dup2(fds[1], STDERR_FILENO);
                if (gpu_process_start(&handle, "/proc/self/exe",
                                      &(GpuSources){ .nvml_library = stand_in->library }) < 0 ||
                    gpu_process_ask(&handle) < 0 ||
                    fd_write_all(fds[1], &handle.pid, sizeof(handle.pid)) < 0)
                        _exit(1);
                (void)poll(NULL, 0,
                           50); /* so that it hangs in the driver, or comes too late even to that */
                _exit(0);
        }
        (void)close(fds[1]);
        assert_int_equal(read(fds[0], &probe, sizeof(probe)), sizeof(probe));
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        wait_for(fds[0]);
        assert_int_equal(read(fds[0], &c, 1), 0);
        (void)close(fds[0]);
}

/* A report with two GPUs and N_PROCESSES processes, all right. */
typedef struct Sample {
        GpuReport *report;
        size_t n_bytes;
} Sample;

static int make_sample(void **state) {
        Sample *sample = calloc(1, sizeof(*sample));

        assert_non_null(sample);
        sample->n_bytes = sizeof(GpuReport) + N_PROCESSES * sizeof(GpuProcess);
        sample->report = calloc(1, sample->n_bytes);
        assert_non_null(sample->report);

        sample->report->ok = true;
        sample->report->n_gpus = 2;
        sample->report->gpus[0] = (GpuSample){ .uuid = "GPU-a",
                                               .name = "A",
                                               .state = GPU_STATE_OK,
                                               .total_bytes = 100,
                                               .free_bytes = 100,
                                               .processes_known = true };
        sample->report->gpus[1] =
                (GpuSample){ .uuid = "MIG-b.0/1", .index = 5, .state = GPU_STATE_LOST };
        sample->report->n_processes = N_PROCESSES;
        sample->report->processes[0] = (GpuProcess){ .pid = 1, .gpu = 0, .used_bytes = 100 };
        sample->report->processes[1] = (GpuProcess){ .pid = 2, .gpu = 1, .used_bytes = 1000 };
        sample->report->processes[2] = (GpuProcess){ .pid = 1, .gpu = 0, .used_bytes = UINT64_MAX };
        *state = sample;
        return 0;
}

static int free_sample(void **state) {
        Sample *sample = *state;

        free(sample->report);
        free(sample);
        return 0;
}

static void test_a_good_report_passes(void **state) {
        const Sample *sample = *state;
        GpuReport none = { .text = "no driver" };

        assert_int_equal(gpu_report_check(sample->report, sample->n_bytes), 0);
        assert_int_equal(gpu_report_check(&none, sizeof(none)), 0);
}

static void test_a_report_of_another_length_is_refused(void **state) {
        const Sample *sample = *state;

        for (size_t n = 0; n < sample->n_bytes; n += n < 64 ? 1 : 61)
                assert_int_equal(gpu_report_check(sample->report, n), GPU_PROCESS_E_BAD);
        sample->report->n_processes--;
        assert_int_equal(gpu_report_check(sample->report, sample->n_bytes), GPU_PROCESS_E_BAD);
}

/* One wrong field each, put right again after. */
#define assert_refused(field, value)                                                       \
        do {                                                                               \
                typeof(field) _before = (field);                                           \
                (field) = (value);                                                         \
                assert_int_equal(gpu_report_check(r, sample->n_bytes), GPU_PROCESS_E_BAD); \
                (field) = _before;                                                         \
                assert_int_equal(gpu_report_check(r, sample->n_bytes), 0);                 \
        } while (0)

static void test_each_wrong_field_is_refused(void **state) {
        const Sample *sample = *state;
        GpuReport *r = sample->report;
        char *bytes = (char *)r;

        assert_refused(bytes[offsetof(GpuReport, ok)], 2);
        assert_refused(r->ok, false);
        assert_refused(r->n_gpus, GPU_MAX + 1);
        assert_refused(r->n_gpus, UINT32_MAX);
        assert_refused(r->n_gpus, 1); /* a process of the second remains */
        assert_refused(r->n_processes, UINT32_MAX);
        assert_refused(r->text[0], '\n');
        assert_refused(r->text[0], '\xff');
        assert_refused(r->gpus[0].uuid[0], '\0');
        assert_refused(r->gpus[0].uuid[0], ' ');
        assert_refused(r->gpus[0].uuid[0], '"');
        assert_refused(r->gpus[0].name[0], '\033');
        assert_refused(r->gpus[0].index, GPU_MAX);
        assert_refused(r->gpus[0].index, 5);
        assert_refused(*(unsigned *)&r->gpus[0].state, N_GPU_STATES);
        assert_refused(r->gpus[0].total_bytes, 0);
        assert_refused(r->gpus[0].free_bytes, 101);
        assert_refused(r->gpus[0].n_processes, GPU_REPORT_PROCESSES_MAX + 1);
        assert_refused(*(unsigned *)&r->gpus[0].use, N_GPU_USES);
        assert_refused(r->gpus[0].use, GPU_USE_SPLIT); /* and has figures */
        assert_refused(*((unsigned char *)&r->gpus[0].shares_ram), 2);
        assert_refused(r->gpus[0].shares_ram, true); /* and has memory of its own */
        assert_refused(*((unsigned char *)&r->gpus[0].whole_only), 2);
        assert_refused(r->gpus[0].whole_only, true); /* and has figures */
        assert_refused(*((unsigned char *)&r->gpus[0].integrated), 2);
        assert_refused(r->failed_kinds, 1U << GPU_KIND_OTHER);
        assert_refused(r->gpus[0].note[0], '\033');
        assert_refused(*((unsigned char *)&r->gpus[0].processes_known), 2);
        assert_refused(r->processes[0].pid, 0);
        assert_refused(r->processes[0].pid, -1);
        assert_refused(r->processes[0].gpu, 2);
        assert_refused(r->processes[0].used_bytes, 101);
}

static void test_texts_without_an_end_are_refused(void **state) {
        const Sample *sample = *state;
        GpuReport *r = sample->report;

        memset(r->gpus[0].uuid, 'a', sizeof(r->gpus[0].uuid));
        assert_int_equal(gpu_report_check(r, sample->n_bytes), GPU_PROCESS_E_BAD);
        r->gpus[0].uuid[GPU_UUID_LONGEST + 1] = '\0';
        assert_int_equal(gpu_report_check(r, sample->n_bytes), GPU_PROCESS_E_BAD);
        r->gpus[0].uuid[GPU_UUID_LONGEST] = '\0';
        assert_int_equal(gpu_report_check(r, sample->n_bytes), 0);
        memset(r->gpus[0].name, 'a', sizeof(r->gpus[0].name));
        assert_int_equal(gpu_report_check(r, sample->n_bytes), GPU_PROCESS_E_BAD);
        r->gpus[0].name[5] = '\0';
        memset(r->gpus[0].note, 'a', sizeof(r->gpus[0].note));
        assert_int_equal(gpu_report_check(r, sample->n_bytes), GPU_PROCESS_E_BAD);
        r->gpus[0].note[5] = '\0';
        memset(r->text, 'a', sizeof(r->text));
        assert_int_equal(gpu_report_check(r, sample->n_bytes), GPU_PROCESS_E_BAD);
}

static void test_no_uuid_may_come_twice(void **state) {
        const Sample *sample = *state;

        (void)snprintf(sample->report->gpus[1].uuid, GPU_UUID_MAX, "GPU-a");
        assert_int_equal(gpu_report_check(sample->report, sample->n_bytes), GPU_PROCESS_E_BAD);
}

static void test_without_a_driver_there_is_a_reason_and_no_gpu(_unused_ void **state) {
        GpuReport none = { .text = "" };

        assert_int_equal(gpu_report_check(&none, sizeof(none)), GPU_PROCESS_E_BAD);
        none.text[0] = 'x';
        assert_int_equal(gpu_report_check(&none, sizeof(none)), 0);
        none.n_gpus = 1;
        none.gpus[0] = (GpuSample){ .uuid = "GPU-a", .state = GPU_STATE_LOST };
        assert_int_equal(gpu_report_check(&none, sizeof(none)), GPU_PROCESS_E_BAD);
}

/* What the child's header is; a test may know it. */
typedef struct Header {
        uint32_t magic;
        uint32_t n_bytes;
} Header;

enum {
        MAGIC = 0x74664770,
};

static int send_wrong(const char *how, const GpuReport *report) {
        const char *bytes = (const char *)report;
        Header header = { .magic = MAGIC, .n_bytes = sizeof(*report) };

        if (strcmp(how, "huge") == 0)
                header.n_bytes = UINT32_MAX;
        if (strcmp(how, "tiny") == 0)
                header.n_bytes = 4;
        if (strcmp(how, "noise") == 0)
                header.magic++;
        if (fd_write_all(STDOUT_FILENO, &header, sizeof(header)) < 0)
                return EXIT_FAILURE;
        if (strcmp(how, "half") == 0)
                return fd_write_all(STDOUT_FILENO, bytes, sizeof(*report) / 2) < 0;
        for (size_t i = 0; i < sizeof(*report); i += 7)
                if (fd_write_all(STDOUT_FILENO, bytes + i, MIN(sizeof(*report) - i, (size_t)7)) < 0)
                        return EXIT_FAILURE;
        return EXIT_SUCCESS;
}

/* Whether the signals are as they should be, and nothing is open but what should be. */
static int check_clean(void) {
        struct sigaction action;
        const struct dirent *entry;
        sigset_t mask;
        DIR *dir;

        (void)sigprocmask(SIG_SETMASK, NULL, &mask);
        (void)sigaction(SIGPIPE, NULL, &action);
        if (!sigisemptyset(&mask) || action.sa_handler != SIG_DFL)
                return 1;
        dir = opendir("/proc/self/fd");
        while ((entry = readdir(dir)))
                if (entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) > STDERR_FILENO &&
                    strtol(entry->d_name, NULL, 10) != dirfd(dir))
                        return 2;
        (void)closedir(dir);
        return 0;
}

static int run_wrong(const char *how) {
        GpuReport report = { .ok = true, .n_gpus = 1 };
        char c;

        if (strcmp(how, "clean") == 0)
                return check_clean();
        if (strcmp(how, "deaf") == 0) {
                (void)close(STDOUT_FILENO);
                for (;;)
                        (void)pause();
        }

        report.gpus[0] = (GpuSample){ .uuid = "GPU-a", .state = GPU_STATE_LOST };
        if (strcmp(how, "wrong-state") == 0)
                report.gpus[0].index = GPU_MAX;
        if (read(STDIN_FILENO, &c, 1) != 1)
                return EXIT_FAILURE;
        if (send_wrong(how, &report) != EXIT_SUCCESS || strcmp(how, "half") == 0)
                return EXIT_FAILURE;
        return read(STDIN_FILENO, &c, 1) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define sample_test(f) cmocka_unit_test_setup_teardown(f, make_sample, free_sample)

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                stand_in_test(test_each_request_gets_one_report),
                stand_in_test(test_a_report_shows_the_moment),
                stand_in_test(test_without_a_driver_the_report_says_why),
                stand_in_test(test_the_soname_is_looked_for_everywhere),
                stand_in_test(test_a_driver_is_opened_again),
                stand_in_test(test_a_crash_is_seen),
                stand_in_test(test_a_hang_holds_nobody_up),
                cmocka_unit_test(test_what_makes_no_sense_is_refused),
                cmocka_unit_test(test_half_a_report_is_none),
                cmocka_unit_test(test_a_report_may_come_byte_by_byte),
                cmocka_unit_test(test_one_that_closed_its_pipe_is_gone),
                cmocka_unit_test(test_a_program_that_is_not_there_is_an_error),
                cmocka_unit_test(test_the_probe_starts_clean),
                stand_in_test(test_the_probe_dies_with_its_parent),
                sample_test(test_a_good_report_passes),
                sample_test(test_a_report_of_another_length_is_refused),
                sample_test(test_each_wrong_field_is_refused),
                sample_test(test_texts_without_an_end_are_refused),
                sample_test(test_no_uuid_may_come_twice),
                cmocka_unit_test(test_without_a_driver_there_is_a_reason_and_no_gpu),
        };

        if (argc == 3 && strcmp(argv[1], GPU_PROCESS_ARGUMENT) == 0)
                return strncmp(argv[2], "test:", 5) == 0 ? run_wrong(argv[2] + 5) :
                                                           gpu_process_main(argv);
        return cmocka_run_group_tests_name("probe-gpu-process", tests, NULL, NULL);
}
