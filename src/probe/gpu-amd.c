/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Everything is read anew at each look: it is a handful of small files, which wake no GPU that sleeps.
 *
 * A GPU in the processor (APU) has no memory of its own: what its driver calls VRAM is a part that the firmware has cut off from
 * RAM, beyond which it takes RAM. It is told by what the driver leaves out for it (is_integrated()), since nothing says so.
 *
 * A card that is split (MI300) has a node of the compute driver for each partition, and programs count these. What is used of
 * memory the driver tells of the card alone, so each partition is given out whole.
 */

#include "probe/gpu-amd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/drm-clients.h"
#include "probe/drm.h"
#include "probe/kfd.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"
#include "util/macro.h"

enum {
        VENDOR_AMD = 0x1002,
        DEVICE_MI300A = 0x74a0, /* processor and GPU on one memory, with the files of a card */
};

static const char *const drivers[] = { "amdgpu", NULL };

/* The inode of the first pid namespace, a constant of the kernel (PROC_PID_INIT_INO). */
static const char first_pid_namespace[] = "pid:[4026531836]";

struct GpuDriver {
        int sysfs_fd;
        bool pids_are_ours; /* the kernel tells those of the first pid namespace */
        DrmClients clients;
};

/* A card, or a part of one that is split, with its node of the compute driver. */
typedef struct Gpu {
        const DrmCard *card;
        const KfdNode *node; /* NULL: it can't compute */
        unsigned part;       /* from 1; 0: the whole card */
} Gpu;

/* One look. */
typedef struct Look {
        DrmCards cards;
        KfdNodes nodes;
        unsigned n_gpus;
        Gpu gpus[GPU_MAX];             /* by index */
        unsigned n_computing[GPU_MAX]; /* processes on each */
        unsigned first;                /* of ours in the report */
        unsigned first_process;
        size_t n_processes_max;
        GpuReport *report;
} Look;

static void amd_free(GpuDriver *driver) {
        if (!driver)
                return;
        driver->sysfs_fd = fd_close(driver->sysfs_fd);
        driver->clients.proc_fd = fd_close(driver->clients.proc_fd);
        free(driver);
}

static bool is_in_first_namespace(void) {
        char link[64];
        ssize_t n;

        n = readlink("/proc/self/ns/pid", link, sizeof(link));
        return n == (ssize_t)strlen(first_pid_namespace) &&
               memcmp(link, first_pid_namespace, (size_t)n) == 0;
}

static int amd_open(GpuDriver **ret,
                    const GpuSources *sources,
                    char text[static GPU_REPORT_TEXT_MAX]) {
        _cleanup_close_ int sysfs_fd = drm_open(sources->sysfs, VENDOR_AMD, drivers);
        GpuDriver *driver;

        *ret = NULL;
        if (sysfs_fd < 0)
                return 0;
        driver = calloc(1, sizeof(*driver));
        if (!driver)
                return -ENOMEM;
        driver->sysfs_fd = TAKE_FD(sysfs_fd);
        driver->clients.proc_fd = open(sources->proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
        driver->pids_are_ours = strcmp(sources->sysfs, GPU_SYSFS) != 0 || is_in_first_namespace();
        *ret = driver;
        return 0;
}

/* The driver of a card that has memory of its own has a file for how busy that is, but for the first Vega, which has a unique id. */
static bool is_integrated(const DrmCard *card) {
        return faccessat(card->fd, "gpu_busy_percent", F_OK, 0) == 0 &&
               faccessat(card->fd, "mem_busy_percent", F_OK, 0) != 0 &&
               faccessat(card->fd, "unique_id", F_OK, 0) != 0;
}

static bool is_listed(const GpuReport *report, const char *uuid) {
        for (unsigned i = 0; i < report->n_gpus; i++)
                if (strcmp(report->gpus[i].uuid, uuid) == 0)
                        return true;
        return false;
}

/* @report: with those before it */
static void name_gpu(const Gpu *gpu, const GpuReport *report, GpuSample *sample) {
        const DrmCard *card = gpu->card;
        uint64_t unique_id = 0;

        /* As ROCm has it, so that ROCR_VISIBLE_DEVICES takes it. */
        if (drm_read_number(card->fd, "unique_id", 16, &unique_id) == 0)
                (void)snprintf(sample->uuid, sizeof(sample->uuid), "GPU-%016" PRIx64, unique_id);
        if (unique_id == 0 || gpu->part > 0 || is_listed(report, sample->uuid))
                drm_format_uuid(&card->address, sample->uuid);
        if (gpu->part > 0) {
                size_t n = strlen(sample->uuid);

                (void)snprintf(sample->uuid + n, sizeof(sample->uuid) - n, "-%u", gpu->part);
        }
        if (!drm_read_text(card->fd, "product_name", sample->name, sizeof(sample->name)))
                (void)snprintf(sample->name, sizeof(sample->name), "AMD GPU %04x", card->device);
}

/* How it is split the driver says in a word, as CPX. */
static void measure_part(const Gpu *gpu, GpuSample *sample) {
        char how[8] = "";

        (void)drm_read_text(gpu->card->fd, "current_compute_partition", how, sizeof(how));
        (void)snprintf(
                sample->note, sizeof(sample->note),
                "partition %u of a GPU that is split%s%s: what is used of it can't be known, it "
                "is given out whole",
                gpu->part, how[0] ? " by " : "", how);
        sample->whole_only = true;
        sample->processes_known = false;
        sample->state = GPU_STATE_OK;
}

static void measure(const DrmCard *card, GpuSample *sample) {
        uint64_t used_bytes;

        sample->integrated = is_integrated(card);
        if (sample->integrated || card->device == DEVICE_MI300A) {
                sample->shares_ram = true;
                sample->state = GPU_STATE_OK;
                return;
        }
        if (drm_read_number(card->fd, "mem_info_vram_total", 10, &sample->total_bytes) < 0 ||
            drm_read_number(card->fd, "mem_info_vram_used", 10, &used_bytes) < 0 ||
            sample->total_bytes == 0) {
                sample->total_bytes = 0;
                (void)snprintf(sample->note, sizeof(sample->note),
                               "the driver does not tell its memory");
                return;
        }
        sample->free_bytes = sample->total_bytes - MIN(used_bytes, sample->total_bytes);
        sample->state = GPU_STATE_OK;
}

static bool is_of(const KfdNode *node, const DrmCard *card) {
        return drm_compare_addresses(&node->address, &card->address) == 0;
}

static unsigned count_nodes(const Look *look, const DrmCard *card, unsigned end) {
        unsigned n = 0;

        for (unsigned i = 0; i < end; i++)
                n += is_of(&look->nodes.nodes[i], card);
        return n;
}

/* Those that compute first, in the order in which ROCm counts them; the others by their addresses. */
static void sort_gpus(Look *look) {
        for (unsigned i = 0; i < look->nodes.n; i++)
                for (unsigned k = 0; k < look->cards.n; k++) {
                        const DrmCard *card = &look->cards.cards[k];
                        bool is_split = count_nodes(look, card, look->nodes.n) > 1;

                        if (is_of(&look->nodes.nodes[i], card))
                                look->gpus[look->n_gpus++] =
                                        (Gpu){ .card = card,
                                               .node = &look->nodes.nodes[i],
                                               .part = is_split ? count_nodes(look, card, i + 1) :
                                                                  0 };
                }
        for (unsigned k = 0; k < look->cards.n && look->n_gpus < GPU_MAX; k++)
                if (count_nodes(look, &look->cards.cards[k], look->nodes.n) == 0)
                        look->gpus[look->n_gpus++] = (Gpu){ .card = &look->cards.cards[k] };
}

/* Its entry, made if need be; NULL: it has ended meanwhile, or there is no room. */
static GpuProcess *get_process(Look *look, pid_t pid, unsigned gpu) {
        GpuReport *report = look->report;
        char path[32];

        for (unsigned i = look->first_process; i < report->n_processes; i++)
                if (report->processes[i].pid == pid && report->processes[i].gpu == gpu)
                        return &report->processes[i];
        (void)snprintf(path, sizeof(path), "/proc/%d", pid);
        if (access(path, F_OK) < 0 || gpu >= GPU_MAX ||
            report->n_processes >= look->n_processes_max)
                return NULL;
        report->processes[report->n_processes] = (GpuProcess){ .pid = pid, .gpu = gpu };
        return &report->processes[report->n_processes++];
}

/* A program that draws has a client or more. */
static void take_client(pid_t pid, const DrmClient *client, void *userdata) {
        Look *look = userdata;

        for (unsigned i = 0; i < look->n_gpus && client->vram_bytes > 0; i++) {
                const Gpu *gpu = &look->gpus[i];
                GpuProcess *process;

                if (!gpu->node || gpu->part > 0 ||
                    drm_compare_addresses(&gpu->card->address, &client->address) != 0)
                        continue;
                process = get_process(look, pid, look->first + i);
                if (process && __builtin_add_overflow(process->used_bytes, client->vram_bytes,
                                                      &process->used_bytes))
                        process->used_bytes = UINT64_MAX - 1;
                return;
        }
}

/* One that computes has what it has for that, of which its clients tell as well, or a part. */
static void take_process(pid_t pid, uint32_t gpu_id, uint64_t bytes, void *userdata) {
        Look *look = userdata;

        for (unsigned i = 0; i < look->n_gpus; i++) {
                GpuProcess *process;

                if (!look->gpus[i].node || look->gpus[i].node->gpu_id != gpu_id)
                        continue;
                process = get_process(look, pid, look->first + i);
                if (!process)
                        return;
                process->used_bytes = MAX(process->used_bytes, bytes);
                look->n_computing[i]++;
                return;
        }
}

/* No process has more than there is: such a list is dropped. */
static void check_processes(const Look *look, unsigned gpu, GpuSample *sample) {
        const uint64_t most_bytes =
                sample->shares_ram ? gpu_ram_total_bytes() : sample->total_bytes;
        GpuReport *report = look->report;
        unsigned first = look->first_process, n = first;

        if (sample->state != GPU_STATE_OK)
                sample->processes_known = false;
        for (unsigned i = first; i < report->n_processes; i++)
                if (report->processes[i].gpu == gpu && report->processes[i].used_bytes > most_bytes)
                        sample->processes_known = false;

        for (unsigned i = first; i < report->n_processes; i++) {
                bool is_here = report->processes[i].gpu == gpu;

                if (is_here && !sample->processes_known)
                        continue;
                sample->n_processes += is_here;
                report->processes[n++] = report->processes[i];
        }
        report->n_processes = n;
        if (sample->processes_known)
                sample->n_computing = look->n_computing[gpu - look->first];
        if (sample->state == GPU_STATE_OK && !sample->processes_known && !sample->whole_only)
                (void)snprintf(sample->note, sizeof(sample->note),
                               "%sthe driver does not tell what each program uses of it",
                               sample->shares_ram ? "its memory is the machine's RAM; " : "");
}

static int amd_look(GpuDriver *driver, GpuReport *report, size_t n_processes_max) {
        _cleanup_free_ Look *look = calloc(1, sizeof(*look));
        bool listed;
        int r;

        if (!look)
                return -ENOMEM;
        look->first = report->n_gpus;
        look->first_process = report->n_processes;
        look->report = report;
        look->n_processes_max = n_processes_max;
        r = drm_cards_open(driver->sysfs_fd, VENDOR_AMD, drivers, &look->cards);
        kfd_read_nodes(driver->sysfs_fd, &look->nodes);
        sort_gpus(look);

        /* Processes before memory (decisions.md 2). */
        drm_clients_read(&driver->clients, drivers[0], clock_boottime_us(), take_client, look);
        listed = driver->pids_are_ours &&
                 kfd_read_processes(driver->sysfs_fd, &look->nodes, take_process, look) == 0;
        for (unsigned i = 0; i < look->n_gpus && report->n_gpus < GPU_MAX; i++) {
                GpuSample *sample = &report->gpus[report->n_gpus];

                *sample = (GpuSample){
                        .index = i,
                        .state = GPU_STATE_UNKNOWN,
                        .processes_known = listed && look->gpus[i].node,
                };
                name_gpu(&look->gpus[i], report, sample);
                if (look->gpus[i].part > 0)
                        measure_part(&look->gpus[i], sample);
                else
                        measure(look->gpus[i].card, sample);
                check_processes(look, report->n_gpus++, sample);
        }
        drm_cards_close(&look->cards);
        if (r < 0)
                return r;
        return look->n_gpus > 0 ? 0 : -ENODEV;
}

const GpuVendor gpu_amd = {
        .kind = GPU_KIND_AMD,
        .open = amd_open,
        .look = amd_look,
        .free = amd_free,
};
