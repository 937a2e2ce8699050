/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * On the pipe a report is a frame: a word that says what follows, its length, its bytes. Both ends
 * are the same program, so the layout is the compiler's; but a driver library that writes where it
 * should not may have changed anything in the child, so the parent believes nothing of it.
 *
 * The parent never reads beyond the frame that it waits for. What comes without having been asked
 * for stays in the pipe, where the owner of the handle sees it.
 */

#include "probe/gpu-process.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"

#define FRAME_MAGIC UINT32_C(0x74664770)

typedef struct FrameHeader {
        uint32_t magic;
        uint32_t n_bytes; /* of the report behind it */
} FrameHeader;

#define REPORT_SIZE_MAX (sizeof(GpuReport) + GPU_REPORT_PROCESSES_MAX * sizeof(GpuProcess))
#define FRAME_SIZE_MAX  (sizeof(FrameHeader) + REPORT_SIZE_MAX)

/* Their bytes are looked at one by one before they are looked at as what they are. */
_Static_assert(sizeof(bool) == 1, "a bool is a byte");
_Static_assert(sizeof(GpuState) == sizeof(unsigned) && sizeof(GpuKind) == sizeof(unsigned) &&
                       sizeof(GpuUse) == sizeof(unsigned),
               "an enum is a word");

static bool is_text(const char *text, size_t n) {
        const char *end = memchr(text, '\0', n);

        if (!end)
                return false;
        for (const char *p = text; p < end; p++)
                if (*p < 0x20 || *p > 0x7e)
                        return false;
        return true;
}

static bool is_uuid(const char *uuid, size_t n) {
        if (!is_text(uuid, n) || uuid[0] == '\0' || strlen(uuid) > GPU_UUID_LONGEST)
                return false;
        for (const char *p = uuid; *p; p++)
                if (!isalnum((unsigned char)*p) && !strchr("./-", *p))
                        return false;
        return true;
}

static bool are_figures(const GpuSample *sample) {
        bool is_split = sample->use == GPU_USE_SPLIT;

        if (sample->state != GPU_STATE_OK)
                return true;
        if (is_split + sample->shares_ram + sample->whole_only > 1)
                return false;
        if (is_split || sample->shares_ram || sample->whole_only)
                return sample->total_bytes == 0 && sample->free_bytes == 0;
        return sample->total_bytes > 0 && sample->free_bytes <= sample->total_bytes;
}

static bool get_sample(const unsigned char *bytes, GpuSample *ret) {
        unsigned state;
        unsigned kind;
        unsigned use;

        (void)memcpy(&state, bytes + offsetof(GpuSample, state), sizeof(state));
        (void)memcpy(&kind, bytes + offsetof(GpuSample, kind), sizeof(kind));
        (void)memcpy(&use, bytes + offsetof(GpuSample, use), sizeof(use));
        if (state >= N_GPU_STATES || kind >= GPU_KIND_OTHER || use >= N_GPU_USES ||
            bytes[offsetof(GpuSample, processes_known)] > 1 ||
            bytes[offsetof(GpuSample, shares_ram)] > 1 ||
            bytes[offsetof(GpuSample, whole_only)] > 1 ||
            bytes[offsetof(GpuSample, integrated)] > 1)
                return false;

        (void)memcpy(ret, bytes, sizeof(*ret));
        return is_uuid(ret->uuid, sizeof(ret->uuid)) && is_text(ret->name, sizeof(ret->name)) &&
               is_text(ret->note, sizeof(ret->note)) && ret->index < GPU_MAX &&
               ret->part <= GPU_PARTS_MAX && ret->n_processes <= GPU_REPORT_PROCESSES_MAX &&
               are_figures(ret);
}

static bool are_one(const GpuSample *a, const GpuSample *b) {
        return (a->kind == b->kind && a->index == b->index && a->part == b->part) ||
               strcmp(a->uuid, b->uuid) == 0;
}

static bool are_samples(const unsigned char *bytes, unsigned n, GpuSample ret[static GPU_MAX]) {
        for (unsigned i = 0; i < n; i++) {
                if (!get_sample(bytes + i * sizeof(GpuSample), &ret[i]))
                        return false;
                for (unsigned k = 0; k < i; k++)
                        if (are_one(&ret[k], &ret[i]))
                                return false;
        }
        return true;
}

static bool is_process(const unsigned char *bytes, const GpuSample *samples, unsigned n_samples) {
        GpuProcess process;

        (void)memcpy(&process, bytes, sizeof(process));
        if (process.pid <= 0 || process.gpu >= n_samples)
                return false;
        return process.used_bytes == UINT64_MAX || samples[process.gpu].state != GPU_STATE_OK ||
               process.used_bytes <= (samples[process.gpu].shares_ram ?
                                              gpu_ram_total_bytes() :
                                              samples[process.gpu].total_bytes);
}

int gpu_report_check(const void *bytes, size_t n_bytes) {
        const unsigned char *p = bytes;
        GpuSample samples[GPU_MAX];
        unsigned failed_kinds;
        unsigned n_gpus;
        unsigned n_processes;

        if (n_bytes < sizeof(GpuReport))
                return GPU_PROCESS_E_BAD;
        (void)memcpy(&n_gpus, p + offsetof(GpuReport, n_gpus), sizeof(n_gpus));
        (void)memcpy(&n_processes, p + offsetof(GpuReport, n_processes), sizeof(n_processes));
        if (n_gpus > GPU_MAX || n_processes > GPU_REPORT_PROCESSES_MAX ||
            n_bytes != sizeof(GpuReport) + n_processes * sizeof(GpuProcess))
                return GPU_PROCESS_E_BAD;

        (void)memcpy(&failed_kinds, p + offsetof(GpuReport, failed_kinds), sizeof(failed_kinds));
        if (failed_kinds >= 1U << GPU_KIND_OTHER)
                return GPU_PROCESS_E_BAD;

        /* Without a driver there are neither GPUs nor processes on them, but a reason. */
        if (p[offsetof(GpuReport, ok)] > 1 ||
            !is_text((const char *)p + offsetof(GpuReport, text), GPU_REPORT_TEXT_MAX))
                return GPU_PROCESS_E_BAD;
        if (!p[offsetof(GpuReport, ok)] &&
            (n_gpus > 0 || n_processes > 0 || p[offsetof(GpuReport, text)] == '\0'))
                return GPU_PROCESS_E_BAD;

        if (!are_samples(p + offsetof(GpuReport, gpus), n_gpus, samples))
                return GPU_PROCESS_E_BAD;
        for (unsigned i = 0; i < n_processes; i++)
                if (!is_process(p + offsetof(GpuReport, processes) + i * sizeof(GpuProcess),
                                samples, n_gpus))
                        return GPU_PROCESS_E_BAD;
        return 0;
}
_Static_assert(sizeof(GpuReport) == offsetof(GpuReport, processes), "no hole before the processes");

/* Parent */

static int prepare_spawn(posix_spawn_file_actions_t *actions,
                         posix_spawnattr_t *attributes,
                         int request_fd,
                         int report_fd) {
        sigset_t none;
        sigset_t all;
        int r;

        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        r = posix_spawn_file_actions_adddup2(actions, request_fd, STDIN_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(actions, report_fd, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
        if (r == 0)
                r = posix_spawnattr_setsigmask(attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(attributes,
                                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        return -r;
}

/* posix_spawn(), and not fork(): a daemon that holds a million tasks has many pages to copy. */
static int spawn(const char *program,
                 const GpuSources *sources,
                 int request_fd,
                 int report_fd,
                 pid_t *ret) {
        char name[] = "taskflowd"; /* whatever the program's path: it may be /proc/self/exe */
        char argument[] = GPU_PROCESS_ARGUMENT;
        _cleanup_free_ char *library = strdup(sources->nvml_library);
        char *argv[GPU_PROCESS_ARGC + 1] = { name, argument, library, NULL };
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        int r;

        if (!library)
                return -ENOMEM;
        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attributes);
        if (r != 0) {
                (void)posix_spawn_file_actions_destroy(&actions);
                return -r;
        }

        r = prepare_spawn(&actions, &attributes, request_fd, report_fd);
        if (r == 0)
                r = -posix_spawn(ret, program, &actions, &attributes, argv, environ);
        (void)posix_spawnattr_destroy(&attributes);
        (void)posix_spawn_file_actions_destroy(&actions);
        return r;
}

int gpu_process_start(GpuProcessHandle *ret, const char *program, const GpuSources *sources) {
        _cleanup_close_ int request_fd = -1;
        _cleanup_close_ int report_fd = -1;
        _cleanup_close_ int child_request_fd = -1;
        _cleanup_close_ int child_report_fd = -1;
        _cleanup_free_ char *buffer = NULL;
        int fds[2];
        pid_t pid = 0;
        int pid_fd;
        int r;

        buffer = malloc(FRAME_SIZE_MAX);
        if (!buffer)
                return -ENOMEM;

        /* A socket, so that asking one that has died is an error and not a SIGPIPE. */
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        request_fd = fds[0];
        child_request_fd = fds[1];
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        report_fd = fds[0];
        child_report_fd = fds[1];
        r = fd_set_nonblock(report_fd, true);
        if (r < 0)
                return r;

        r = spawn(program, sources, child_request_fd, child_report_fd, &pid);
        if (r < 0)
                return r;
        pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (pid_fd < 0) {
                r = -errno;
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, NULL, 0); /* it has done nothing yet that could hold it up */
                return r;
        }

        *ret = (GpuProcessHandle){ .pid = pid,
                                   .pid_fd = pid_fd,
                                   .request_fd = TAKE_FD(request_fd),
                                   .report_fd = TAKE_FD(report_fd),
                                   .buffer = TAKE_PTR(buffer) };
        return 0;
}

void gpu_process_stop(GpuProcessHandle *handle) {
        handle->request_fd = fd_close(handle->request_fd);
        handle->report_fd = fd_close(handle->report_fd);
        free(TAKE_PTR(handle->buffer));
        handle->n_buffer = 0;
        if (handle->pid_fd >= 0)
                (void)syscall(SYS_pidfd_send_signal, handle->pid_fd, SIGKILL, NULL, 0);
}

bool gpu_process_reap(GpuProcessHandle *handle) {
        int wait_status = 0;

        if (handle->pid_fd < 0)
                return true;
        if (waitpid(handle->pid, &wait_status, WNOHANG) == 0)
                return false;

        /* Its pid may be another's from here on, so no signal must be sent to it. */
        handle->pid_fd = fd_close(handle->pid_fd);
        gpu_process_stop(handle);
        *handle = GPU_PROCESS_HANDLE_NULL;
        handle->wait_status = wait_status;
        return true;
}

int gpu_process_ask(GpuProcessHandle *handle) {
        static const char byte = 'l';
        ssize_t n;

        n = send(handle->request_fd, &byte, sizeof(byte), MSG_NOSIGNAL | MSG_DONTWAIT);
        return n < 0 ? -errno : 0;
}

/*
 * Bytes until the frame, or at first its header, is complete. GPU_PROCESS_E_BAD if it makes no
 * sense.
 */
static int missing(const GpuProcessHandle *handle, size_t *ret_n) {
        FrameHeader header;

        if (handle->n_buffer < sizeof(header)) {
                *ret_n = sizeof(header) - handle->n_buffer;
                return 0;
        }
        (void)memcpy(&header, handle->buffer, sizeof(header));
        if (header.magic != FRAME_MAGIC || header.n_bytes < sizeof(GpuReport) ||
            header.n_bytes > REPORT_SIZE_MAX)
                return GPU_PROCESS_E_BAD;
        *ret_n = sizeof(header) + header.n_bytes - handle->n_buffer;
        return 0;
}

/* The buffer holds a whole frame: check it and hand it out. */
static int take_report(GpuProcessHandle *handle, GpuReport **ret) {
        const char *bytes = handle->buffer + sizeof(FrameHeader);
        size_t n = handle->n_buffer - sizeof(FrameHeader);
        GpuReport *report;
        int r;

        r = gpu_report_check(bytes, n);
        if (r != 0)
                return r;
        report = malloc(n);
        if (!report)
                return -ENOMEM;

        (void)memcpy(report, bytes, n);
        handle->n_buffer = 0;
        *ret = report;
        return 0;
}

int gpu_process_receive(GpuProcessHandle *handle, GpuReport **ret) {
        if (handle->report_fd < 0)
                return GPU_PROCESS_E_GONE;

        for (;;) {
                size_t n_missing;
                ssize_t n;
                int r;

                r = missing(handle, &n_missing);
                if (r != 0)
                        return r;
                if (n_missing == 0)
                        return take_report(handle, ret);

                n = read(handle->report_fd, handle->buffer + handle->n_buffer, n_missing);
                if (n == 0)
                        return GPU_PROCESS_E_GONE;
                if (n < 0 && errno == EAGAIN)
                        return GPU_PROCESS_E_AGAIN;
                if (n < 0 && errno != EINTR)
                        return -errno;
                handle->n_buffer += (size_t)MAX(n, 0);
        }
}

/* Child */

/*
 * A driver that could not be opened is left alone for a while, the longer the more often it failed.
 */
#define REOPEN_MIN_US (1 * US_PER_SEC)
#define REOPEN_MAX_US (4 * US_PER_SEC)

typedef struct Vendor {
        const GpuVendor *vendor;
        GpuDriver *driver; /* NULL: not open */
        int failure;       /* of opening it, with its text; 0: none */
        char text[GPU_REPORT_TEXT_MAX];
        uint64_t back_off_us;
        uint64_t next_open_us; /* CLOCK_BOOTTIME */
} Vendor;

static int note_failure(Vendor *vendor, int r) {
        vendor->failure = r;
        vendor->back_off_us = MAX(REOPEN_MIN_US, MIN(vendor->back_off_us * 2, REOPEN_MAX_US));
        vendor->next_open_us = clock_boottime_us() + vendor->back_off_us;
        return r;
}

/* Open the driver unless it failed a moment ago: 0, also if there is none of this kind. */
static int open_driver(Vendor *vendor, const GpuSources *sources) {
        int r;

        if (vendor->failure < 0 && clock_boottime_us() < vendor->next_open_us)
                return vendor->failure;

        vendor->text[0] = '\0';
        r = vendor->vendor->open(&vendor->driver, sources, vendor->text);
        return r < 0 ? note_failure(vendor, r) : 0;
}

/*
 * Ask one vendor's driver. One that fails is opened anew and asked again: it may have been reloaded
 * since. Returns 1 if it answered, 0 if there is none, or a negative errno with vendor->text.
 */
static int look_at_vendor(Vendor *vendor, const GpuSources *sources, GpuReport *report) {
        const unsigned n_gpus = report->n_gpus;
        const unsigned n_processes = report->n_processes;
        bool is_fresh;
        int r;

        do {
                is_fresh = !vendor->driver;
                if (is_fresh) {
                        r = open_driver(vendor, sources);
                        if (r < 0 || !vendor->driver)
                                return r;
                }
                r = vendor->vendor->look(vendor->driver, report, GPU_REPORT_PROCESSES_MAX);
                if (r >= 0) {
                        vendor->failure = 0;
                        vendor->back_off_us = 0;
                        for (unsigned i = n_gpus; i < report->n_gpus; i++)
                                report->gpus[i].kind = vendor->vendor->kind;
                        return 1;
                }

                vendor->vendor->free(TAKE_PTR(vendor->driver));
                report->n_gpus = n_gpus;
                report->n_processes = n_processes;
                report->text[0] = '\0';
        } while (!is_fresh);

        (void)snprintf(vendor->text, sizeof(vendor->text), "the driver of %s GPUs fails: %s",
                       gpu_kind_to_string(vendor->vendor->kind), strerror(-r));
        return note_failure(vendor, r);
}

static void clean_text(char *text) {
        for (char *p = text; *p; p++)
                if (*p < 0x20 || *p > 0x7e)
                        *p = '?';
}

static bool has_cards(const GpuReport *report) {
        for (unsigned i = 0; i < report->n_gpus; i++)
                if (!report->gpus[i].integrated)
                        return true;
        return false;
}

/*
 * Beside a card, what the processor has is there for the screen: nobody who asks for any GPU means it, and everybody's would have
 * to be told apart from it. A card whose driver fails is a card.
 */
static void drop_integrated(GpuReport *report) {
        unsigned now[GPU_MAX]; /* n_gpus of before: dropped */
        unsigned n_before = report->n_gpus, n_processes = 0;

        if (report->failed_kinds == 0 && !has_cards(report))
                return;
        report->n_gpus = 0;
        for (unsigned i = 0; i < n_before; i++) {
                now[i] = report->gpus[i].integrated ? n_before : report->n_gpus;
                if (now[i] < n_before)
                        report->gpus[report->n_gpus++] = report->gpus[i];
        }
        for (unsigned i = 0; i < report->n_processes; i++) {
                GpuProcess process = report->processes[i];

                process.gpu = now[process.gpu];
                if (process.gpu < n_before)
                        report->processes[n_processes++] = process;
        }
        report->n_processes = n_processes;
}

static void look(Vendor *vendors, const GpuSources *sources, GpuReport *report) {
        const char *failure = "there is no NVIDIA driver (no libnvidia-ml.so.1)";

        *report = (GpuReport){};
        for (Vendor *vendor = vendors; vendor->vendor; vendor++) {
                int r = look_at_vendor(vendor, sources, report);

                if (r >= 0) {
                        report->ok |= r > 0;
                        continue;
                }
                report->failed_kinds |= 1U << vendor->vendor->kind;
                failure = vendor->text;
        }
        drop_integrated(report);
        report->ok &= report->n_gpus > 0 || report->failed_kinds == 0;
        if (!report->ok || (report->failed_kinds != 0 && report->text[0] == '\0'))
                (void)snprintf(report->text, sizeof(report->text), "%s", failure);
        clean_text(report->text);
}

static int send_report(const GpuReport *report) {
        size_t n = sizeof(*report) + report->n_processes * sizeof(report->processes[0]);
        FrameHeader header = { .magic = FRAME_MAGIC, .n_bytes = (uint32_t)n };
        int r;

        r = fd_write_all(STDOUT_FILENO, &header, sizeof(header));
        return r < 0 ? r : fd_write_all(STDOUT_FILENO, report, n);
}

/* Until stdin ends: one report for each byte. */
static int serve(Vendor *vendors, const GpuSources *sources, GpuReport *report) {
        for (;;) {
                char byte;
                ssize_t n;
                int r;

                n = read(STDIN_FILENO, &byte, sizeof(byte));
                if (n == 0)
                        return 0;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                look(vendors, sources, report);
                r = send_report(report);
                if (r < 0)
                        return r;
        }
}

int gpu_process_main(char *const *argv) {
        const char *sysfs = secure_getenv("TASKFLOW_TEST_SYSFS");
        const char *proc = secure_getenv("TASKFLOW_TEST_PROC");
        const GpuSources sources = { .nvml_library = argv[2],
                                     .sysfs = sysfs ? sysfs : GPU_SYSFS,
                                     .proc = proc ? proc : GPU_PROC };
        Vendor vendors[8] = {};
        GpuReport *report;
        int r;

        /*
         * The end of stdin tells us that the daemon died, but only between looks; in a driver that
         * hangs only the kernel can end us. If the daemon died before this line, stdin has ended.
         */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)prctl(PR_SET_NAME, "taskflowd-gpu");

        for (size_t i = 0; gpu_vendors[i]; i++) {
                assert(i + 1 < ELEMENTSOF(vendors));
                vendors[i].vendor = gpu_vendors[i];
        }
        report = malloc(REPORT_SIZE_MAX);
        if (!report)
                return EXIT_FAILURE;

        r = serve(vendors, &sources, report);
        free(report);
        for (Vendor *vendor = vendors; vendor->vendor; vendor++)
                vendor->vendor->free(vendor->driver);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
