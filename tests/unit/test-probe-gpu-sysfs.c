/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * GPUs of AMD and Intel, in a sysfs of our own
 */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe/drm-clients.h"
#include "probe/drm.h"
#include "probe/gpu-amd.h"
#include "probe/gpu-intel.h"
#include "probe/kfd.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/macro.h"

#include "check.h"

enum {
        N_PROCESSES_MAX = 64,
};

typedef struct Tree {
        char path[64];
} Tree;

/* One line into a file, whose folders are made. */
static void put(const Tree *tree, const char *text, const char *fmt, ...) _printf_(3, 4);
static void put(const Tree *tree, const char *text, const char *fmt, ...) {
        char path[512];
        va_list args;
        FILE *file;
        int n;

        n = snprintf(path, sizeof(path), "%s/", tree->path);
        va_start(args, fmt);
        (void)vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, args);
        va_end(args);
        for (char *p = path + n; (p = strchr(p, '/')); *p++ = '/') {
                *p = '\0';
                assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        }
        file = fopen(path, "we");
        assert_non_null(file);
        (void)fprintf(file, "%s\n", text);
        (void)fclose(file);
}

static void link_to(const Tree *tree, const char *to, const char *fmt, ...) _printf_(3, 4);
static void link_to(const Tree *tree, const char *to, const char *fmt, ...) {
        char path[512];
        va_list args;
        int n;

        n = snprintf(path, sizeof(path), "%s/", tree->path);
        va_start(args, fmt);
        (void)vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, args);
        va_end(args);
        assert_int_equal(symlink(to, path), 0);
}

static int put_gone(const Tree *tree, const char *name) {
        char path[512];

        (void)snprintf(path, sizeof(path), "%s/%s", tree->path, name);
        return unlink(path);
}

static void put_card(const Tree *tree,
                     unsigned n,
                     const char *address,
                     const char *vendor,
                     const char *driver) {
        char to[128];

        put(tree, vendor, "devices/%s/vendor", address);
        put(tree, "0x744c", "devices/%s/device", address);
        (void)snprintf(to, sizeof(to), "../../bus/pci/drivers/%s", driver);
        link_to(tree, to, "devices/%s/driver", address);
        put(tree, "", "class/drm/card%u/dev", n);
        (void)snprintf(to, sizeof(to), "../../../devices/%s", address);
        link_to(tree, to, "class/drm/card%u/device", n);
}

static void put_amd(const Tree *tree,
                    unsigned n,
                    const char *address,
                    const char *total,
                    const char *used) {
        put_card(tree, n, address, "0x1002", "amdgpu");
        put(tree, "0", "devices/%s/gpu_busy_percent", address);
        put(tree, "0", "devices/%s/mem_busy_percent", address);
        put(tree, total, "devices/%s/mem_info_vram_total", address);
        put(tree, used, "devices/%s/mem_info_vram_used", address);
}

static void put_node(const Tree *tree, unsigned n, const char *gpu_id, const char *properties) {
        put(tree, gpu_id, "class/kfd/kfd/topology/nodes/%u/gpu_id", n);
        put(tree, properties, "class/kfd/kfd/topology/nodes/%u/properties", n);
        put(tree, "", "class/kfd/kfd/proc/.keep");
}

static int remove_one(const char *path,
                      _unused_ const struct stat *st,
                      _unused_ int type,
                      _unused_ struct FTW *ftw) {
        return remove(path);
}

static int set_up(void **state) {
        Tree *tree = calloc(1, sizeof(*tree));

        assert_non_null(tree);
        (void)snprintf(tree->path, sizeof(tree->path), "/tmp/taskflow-unit-XXXXXX");
        assert_non_null(mkdtemp(tree->path));
        *state = tree;
        return 0;
}

static int tear_down(void **state) {
        Tree *tree = *state;

        assert_int_equal(nftw(tree->path, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
        free(tree);
        return 0;
}

/* NULL if there is none. */
static GpuDriver *open_vendor(const GpuVendor *vendor, const Tree *tree) {
        char text[GPU_REPORT_TEXT_MAX] = "";
        GpuDriver *driver = NULL;

        char proc[sizeof(tree->path) + sizeof("/proc")];

        (void)snprintf(proc, sizeof(proc), "%s/proc", tree->path);
        assert_int_equal(vendor->open(&driver, &(GpuSources){ .sysfs = tree->path, .proc = proc },
                                      text),
                         0);
        return driver;
}

/* One look; to be freed. */
static GpuReport *look(const GpuVendor *vendor, const Tree *tree) {
        GpuReport *report = calloc(1, sizeof(*report) + N_PROCESSES_MAX * sizeof(GpuProcess));
        GpuDriver *driver = open_vendor(vendor, tree);

        assert_non_null(report);
        assert_non_null(driver);
        assert_int_equal(vendor->look(driver, report, N_PROCESSES_MAX), 0);
        vendor->free(driver);
        return report;
}

static void test_numbers_are_alone_in_their_file(_unused_ void **state) {
        static const struct {
                const char *text;
                unsigned base;
                int want;
                uint64_t value;
        } cases[] = {
                { "12\n", 10, 0, 12 },
                { "0", 10, 0, 0 },
                { "18446744073709551615", 10, 0, UINT64_MAX },
                { "18446744073709551616", 10, -ERANGE, 0 },
                { "0x1002\n", 16, 0, 0x1002 },
                { "ffffffffffffffff", 16, 0, UINT64_MAX },
                { "10000000000000000", 16, -ERANGE, 0 },
                { "", 10, -EBADMSG, 0 },
                { "\n", 10, -EBADMSG, 0 },
                { "0x", 16, -EBADMSG, 0 },
                { "-1", 10, -EBADMSG, 0 },
                { "1 2", 10, -EBADMSG, 0 },
                { "12ab", 10, -EBADMSG, 0 },
                { "1\n\n", 10, -EBADMSG, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 0;
                int r = drm_parse_number(cases[i].text, strlen(cases[i].text), cases[i].base,
                                         &value);

                if (r != cases[i].want || value != cases[i].value)
                        fail_msg("'%s': %d", cases[i].text, r);
        }
        assert_int_equal(drm_parse_number("1\0", 2, 10, &(uint64_t){ 0 }), -EBADMSG);
}

static void test_addresses_are_pci_s(_unused_ void **state) {
        static const char *const wrong[] = { "",
                                             "0000:03:00",
                                             "0000:03:00.8",
                                             "0000:03:20.0",
                                             "0000:003:00.0",
                                             "0000:03:00.0x",
                                             "000000000:03:00.0",
                                             "card0",
                                             "0000:03:0g.0" };
        char uuid[GPU_UUID_MAX];
        PciAddress address;

        assert_true(drm_parse_address("0001:c3:1f.7", &address));
        drm_format_uuid(&address, uuid);
        assert_string_equal(uuid, "PCI-0001.c3.1f.7");
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                if (drm_parse_address(wrong[i], &address))
                        fail_msg("'%s'", wrong[i]);
}

static void test_nodes_say_where_they_are(_unused_ void **state) {
        static const char text[] = "cpu_cores_count 0\nlocation_id 49920\ndomain 2\n";
        static const char part[] = "location_id 268485376\n"; /* 1 << 28: the second of one */
        static const char none[] = "domain 2\n";
        PciAddress address;

        assert_true(kfd_parse_properties(text, strlen(text), &address));
        assert_int_equal(address.domain, 2);
        assert_int_equal(address.bus, 0xc3);
        assert_int_equal(address.device, 0);
        assert_true(kfd_parse_properties(part, strlen(part), &address));
        assert_int_equal(address.domain, 0);
        assert_int_equal(address.bus, 0xc3);
        assert_false(kfd_parse_properties(none, strlen(none), &address));
}

static void test_where_there_is_no_card_there_is_no_driver(void **state) {
        const Tree *tree = *state;

        assert_null(open_vendor(&gpu_amd, tree));
        assert_null(open_vendor(&gpu_intel, tree));
        put_card(tree, 0, "0000:01:00.0", "0x10de", "nvidia");
        put_card(tree, 1, "0000:02:00.0", "0x1002", "vfio-pci");
        put_card(tree, 2, "0000:04:00.0", "0x1002", "radeon");
        assert_null(open_vendor(&gpu_amd, tree));
        assert_null(open_vendor(&gpu_intel, tree));
}

static void test_memory_and_names_are_the_driver_s(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        const Tree *tree = *state;

        put_amd(tree, 1, "0000:43:00.0", "25753026560", "753026560");
        put_amd(tree, 0, "0000:03:00.0", "17163091968", "0");
        put(tree, "e3f1a2b3c4d5e6f7", "devices/0000:43:00.0/unique_id");
        put(tree, "Radeon \033PRO", "devices/0000:43:00.0/product_name");
        put(tree, "", "class/drm/card1-DP-1/status");
        put(tree, "", "class/drm/renderD128/dev");

        report = look(&gpu_amd, tree);
        assert_int_equal(report->n_gpus, 2);
        assert_string_equal(report->gpus[0].uuid, "PCI-0000.03.00.0");
        assert_string_equal(report->gpus[0].name, "AMD GPU 744c");
        assert_int_equal(report->gpus[0].free_bytes, 17163091968);
        assert_int_equal(report->gpus[1].index, 1);
        assert_string_equal(report->gpus[1].uuid, "GPU-e3f1a2b3c4d5e6f7");
        assert_string_equal(report->gpus[1].name, "Radeon ?PRO");
        assert_int_equal(report->gpus[1].total_bytes, 25753026560);
        assert_int_equal(report->gpus[1].free_bytes, 25000000000);
        assert_false(report->gpus[1].processes_known); /* there is no list */
}

/* The compute driver's order is that in which programs count them; a card that can't compute comes last. */
static void test_processes_are_the_compute_driver_s(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        const Tree *tree = *state;

        put_amd(tree, 0, "0000:03:00.0", "17163091968", "0");
        put_amd(tree, 1, "0000:43:00.0", "17163091968", "3000000");
        put_amd(tree, 2, "0000:01:00.0", "2147483648", "0");
        put_node(tree, 0, "0", "location_id 0");
        put_node(tree, 2, "4001", "location_id 17152\ndomain 0");
        put_node(tree, 10, "4002", "location_id 768\ndomain 0");
        put(tree, "1000000", "class/kfd/kfd/proc/%d/vram_4001", getpid());
        put(tree, "0", "class/kfd/kfd/proc/%d/vram_4002", getpid());
        put(tree, "5", "class/kfd/kfd/proc/%d/vram_4001", 2147483647); /* has just ended */
        put(tree, "5", "class/kfd/kfd/proc/no-pid/vram_4001");

        report = look(&gpu_amd, tree);
        assert_int_equal(report->n_gpus, 3);
        assert_string_equal(report->gpus[0].uuid, "PCI-0000.43.00.0");
        assert_string_equal(report->gpus[1].uuid, "PCI-0000.03.00.0");
        assert_string_equal(report->gpus[2].uuid, "PCI-0000.01.00.0");
        assert_true(report->gpus[0].processes_known);
        assert_int_equal(report->gpus[0].n_processes, 1);
        assert_true(report->gpus[1].processes_known);
        assert_int_equal(report->gpus[1].n_processes, 0);
        assert_false(report->gpus[2].processes_known);
        assert_int_equal(report->n_processes, 1);
        assert_int_equal(report->processes[0].pid, getpid());
        assert_int_equal(report->processes[0].gpu, 0);
        assert_int_equal(report->processes[0].used_bytes, 1000000);
}

static void put_client(const Tree *tree, pid_t pid, unsigned fd, const char *to, const char *text) {
        put(tree, text, "proc/%d/fdinfo/%u", pid, fd);
        put(tree, "", "proc/%d/fd/.keep", pid);
        link_to(tree, to, "proc/%d/fd/%u", pid, fd);
}

static void test_clients_say_what_they_have(_unused_ void **state) {
        static const struct {
                const char *text;
                bool want;
                uint64_t bytes;
        } cases[] = {
                { "drm-driver:\tamdgpu\ndrm-pdev:\t0000:03:00.0\ndrm-client-id:\t7\n"
                  "drm-memory-vram:\t12 KiB\n",
                  true, 12 * KIB },
                { "drm-driver: amdgpu\ndrm-pdev: 0000:03:00.0\ndrm-client-id: 7\n"
                  "drm-total-vram: 9 MiB\ndrm-resident-vram: 3 MiB\n",
                  true, 3 * MIB },
                { "drm-driver: amdgpu\ndrm-pdev: 0000:03:00.0\ndrm-client-id: 7\n"
                  "drm-memory-vram: 5",
                  true, 5 },
                { "drm-driver: i915\ndrm-pdev: 0000:03:00.0\ndrm-client-id: 7\n"
                  "drm-memory-vram: 5\n",
                  false, 0 },
                { "drm-driver: amdgpu\ndrm-pdev: 0000:03:00\ndrm-client-id: 7\n"
                  "drm-memory-vram: 5\n",
                  false, 0 },
                { "drm-driver: amdgpu\ndrm-pdev: 0000:03:00.0\ndrm-memory-vram: 5\n", false, 0 },
                { "drm-driver: amdgpu\ndrm-pdev: 0000:03:00.0\ndrm-client-id: 7\n", false, 0 },
                { "drm-driver: amdgpu\ndrm-pdev: 0000:03:00.0\ndrm-client-id: 7\n"
                  "drm-memory-vram: 18446744073709551615 KiB\n",
                  false, 0 },
                { "drm-driver: amdgpu\ndrm-pdev: 0000:03:00.0\ndrm-client-id: 7\n"
                  "drm-memory-vram: 5 pages\n",
                  false, 0 },
                { "pos:\t0\n", false, 0 },
                { "", false, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                DrmClient client = {};
                bool is = drm_client_parse(cases[i].text, strlen(cases[i].text), "amdgpu", &client);

                if (is != cases[i].want || (is && client.vram_bytes != cases[i].bytes))
                        fail_msg("case %zu", i);
        }
}

#define CLIENT(address, id, size)                                           \
        "drm-driver:\tamdgpu\ndrm-pdev:\t" address "\ndrm-client-id:\t" #id \
        "\ndrm-memory-vram:\t" size " KiB"

/* Each client once, though several may have it open. Who computes too has what that takes, not the sum. */
static void test_programs_that_draw_are_listed(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        const Tree *tree = *state;
        const pid_t self = getpid(), parent = getppid();

        put_amd(tree, 0, "0000:03:00.0", "17163091968", "0");
        put_amd(tree, 1, "0000:43:00.0", "17163091968", "0");
        put_node(tree, 1, "1", "location_id 768");
        put_node(tree, 2, "2", "location_id 17152");
        put_client(tree, self, 3, "/dev/dri/renderD128", CLIENT("0000:03:00.0", 1, "100"));
        put_client(tree, self, 4, "/dev/dri/card0", CLIENT("0000:03:00.0", 2, "20"));
        put_client(tree, self, 5, "/dev/dri/card0", CLIENT("0000:03:00.0", 2, "20"));
        put_client(tree, self, 6, "/dev/dri/renderD129", CLIENT("0000:43:00.0", 1, "7"));
        put_client(tree, self, 7, "/dev/null", CLIENT("0000:03:00.0", 9, "1000"));
        put_client(tree, self, 8, "/dev/dri/card7", CLIENT("0000:99:00.0", 1, "1000"));
        put_client(tree, self, 9, "/dev/dri/card0", "pos: 0");
        put_client(tree, parent, 3, "/dev/dri/renderD129", CLIENT("0000:43:00.0", 3, "1"));
        put_client(tree, 2147483647, 3, "/dev/dri/card0", CLIENT("0000:03:00.0", 4, "1"));
        put(tree, "8192", "class/kfd/kfd/proc/%d/vram_2", self);

        report = look(&gpu_amd, tree);
        assert_int_equal(report->n_processes, 3);
        for (unsigned i = 0; i < 3; i++) {
                const GpuProcess *process = &report->processes[i];

                if (process->gpu == 0)
                        assert_int_equal(process->used_bytes, 120 * KIB);
                else if (process->pid == self)
                        assert_int_equal(process->used_bytes, 8192);
                else
                        assert_int_equal(process->used_bytes, KIB);
        }
        assert_int_equal(report->gpus[0].n_processes, 1);
        assert_int_equal(report->gpus[0].n_computing, 0);
        assert_int_equal(report->gpus[1].n_processes, 2);
        assert_int_equal(report->gpus[1].n_computing, 1);
}

static void count_client(_unused_ pid_t pid, const DrmClient *client, void *userdata) {
        *(uint64_t *)userdata += client->vram_bytes;
}

/* To look for them is dear; those that were found are read each time. */
static void test_who_draws_is_looked_for_now_and_then(void **state) {
        _cleanup_free_ DrmClients *clients = calloc(1, sizeof(*clients));
        _cleanup_close_ int proc_fd = -1;
        const Tree *tree = *state;
        uint64_t bytes[4] = {};
        char path[128];

        assert_non_null(clients);
        put_client(tree, 1, 3, "/dev/dri/renderD128", CLIENT("0000:03:00.0", 1, "1"));
        (void)snprintf(path, sizeof(path), "%s/proc", tree->path);
        proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        clients->proc_fd = proc_fd;

        drm_clients_read(clients, "amdgpu", 10 * US_PER_SEC, count_client, &bytes[0]);
        put_client(tree, 1, 4, "/dev/dri/renderD128", CLIENT("0000:03:00.0", 2, "10"));
        put(tree, CLIENT("0000:03:00.0", 1, "2"), "proc/1/fdinfo/3");
        drm_clients_read(clients, "amdgpu", 14 * US_PER_SEC, count_client, &bytes[1]);
        drm_clients_read(clients, "amdgpu", 15 * US_PER_SEC, count_client, &bytes[2]);
        drm_clients_read(clients, "nouveau", 15 * US_PER_SEC, count_client, &bytes[3]);
        assert_int_equal(bytes[0], KIB);
        assert_int_equal(bytes[1], 2 * KIB);
        assert_int_equal(bytes[2], 12 * KIB);
        assert_int_equal(bytes[3], 0);
}

static void test_a_list_that_can_t_be_true_is_dropped(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        const Tree *tree = *state;

        put_amd(tree, 0, "0000:03:00.0", "17163091968", "0");
        put_amd(tree, 1, "0000:43:00.0", "17163091968", "0");
        put_node(tree, 1, "1", "location_id 768");
        put_node(tree, 2, "2", "location_id 17152");
        put(tree, "99999999999999", "class/kfd/kfd/proc/%d/vram_1", getpid());
        put(tree, "7", "class/kfd/kfd/proc/%d/vram_2", getpid());

        report = look(&gpu_amd, tree);
        assert_false(report->gpus[0].processes_known);
        assert_int_equal(report->gpus[0].state, GPU_STATE_OK);
        assert_true(report->gpus[1].processes_known);
        assert_int_equal(report->n_processes, 1);
        assert_int_equal(report->processes[0].gpu, 1);
}

static void test_memory_that_is_not_told_is_unknown(void **state) {
        static const char *const odd[] = { "", "many", "0", "-1", "99999999999999999999999" };

        for (size_t i = 0; i < ELEMENTSOF(odd); i++) {
                _cleanup_free_ GpuReport *report = NULL;
                const Tree *tree = *state;

                if (i == 0)
                        put_amd(tree, 0, "0000:03:00.0", "", "0");
                put(tree, odd[i], "devices/0000:03:00.0/mem_info_vram_total");
                report = look(&gpu_amd, tree);
                assert_int_equal(report->n_gpus, 1);
                assert_int_equal(report->gpus[0].state, GPU_STATE_UNKNOWN);
                assert_string_equal(report->gpus[0].note, "the driver does not tell its memory");
        }
}

static void test_more_used_than_there_is_leaves_nothing(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        const Tree *tree = *state;

        put_amd(tree, 0, "0000:03:00.0", "1000", "2000");
        report = look(&gpu_amd, tree);
        assert_int_equal(report->gpus[0].state, GPU_STATE_OK);
        assert_int_equal(report->gpus[0].free_bytes, 0);
}

static void test_a_gpu_in_the_processor_shares_ram(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        const Tree *tree = *state;

        put_amd(tree, 0, "0000:c5:00.0", "536870912", "100000000");
        assert_int_equal(put_gone(tree, "devices/0000:c5:00.0/mem_busy_percent"), 0);
        report = look(&gpu_amd, tree);
        assert_int_equal(report->gpus[0].state, GPU_STATE_OK);
        assert_true(report->gpus[0].shares_ram);
        assert_true(report->gpus[0].integrated);
        assert_int_equal(report->gpus[0].total_bytes, 0);
        assert_int_equal(report->gpus[0].free_bytes, 0);
}

static void test_no_process_has_more_ram_than_there_is(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        const Tree *tree = *state;

        put_amd(tree, 0, "0000:03:00.0", "536870912", "0");
        assert_int_equal(put_gone(tree, "devices/0000:03:00.0/mem_busy_percent"), 0);
        put_node(tree, 1, "1", "location_id 768");
        put(tree, "18446744073709551614", "class/kfd/kfd/proc/%d/vram_1", getpid());
        report = look(&gpu_amd, tree);
        assert_true(report->gpus[0].shares_ram);
        assert_false(report->gpus[0].processes_known);
        assert_int_equal(report->n_processes, 0);
}

/* MI300: programs count the parts, so that those behind them have other numbers, too. */
static void test_the_parts_of_a_card_are_counted_each(void **state) {
        static const char *const uuids[] = { "PCI-0000.03.00.0-1", "PCI-0000.03.00.0-2",
                                             "PCI-0000.03.00.0-3", "PCI-0000.43.00.0",
                                             "PCI-0000.01.00.0" };
        _cleanup_free_ GpuReport *report = NULL;
        const Tree *tree = *state;

        put_amd(tree, 0, "0000:03:00.0", "206141652992", "0");
        put(tree, "CPX", "devices/0000:03:00.0/current_compute_partition");
        put(tree, "e3f1a2b3c4d5e6f7", "devices/0000:03:00.0/unique_id");
        put_amd(tree, 1, "0000:43:00.0", "17163091968", "0");
        put_amd(tree, 2, "0000:01:00.0", "2147483648", "0");
        put_node(tree, 1, "1", "location_id 768");
        put_node(tree, 2, "2", "location_id 268436224"); /* 1 << 28 */
        put_node(tree, 3, "3", "location_id 536871680");
        put_node(tree, 4, "4", "location_id 17152");
        put(tree, "1000000", "class/kfd/kfd/proc/%d/vram_2", getpid());
        put(tree, "2000000", "class/kfd/kfd/proc/%d/vram_4", getpid());

        report = look(&gpu_amd, tree);
        assert_int_equal(report->n_gpus, ELEMENTSOF(uuids));
        for (unsigned i = 0; i < report->n_gpus; i++) {
                assert_string_equal(report->gpus[i].uuid, uuids[i]);
                assert_int_equal(report->gpus[i].state, GPU_STATE_OK);
                assert_int_equal(report->gpus[i].whole_only, i < 3);
        }
        assert_non_null(strstr(report->gpus[1].note, "partition 2 of a GPU that is split by CPX"));
        assert_non_null(strstr(report->gpus[1].note, "given out whole"));
        assert_int_equal(report->gpus[3].total_bytes, 17163091968);
        assert_int_equal(report->n_processes, 1);
        assert_int_equal(report->processes[0].gpu, 3);
}

/* It lacks the same file, and has its own memory. */
static void test_the_first_vega_is_a_card(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        const Tree *tree = *state;

        put_amd(tree, 0, "0000:c5:00.0", "8573157376", "0");
        assert_int_equal(put_gone(tree, "devices/0000:c5:00.0/mem_busy_percent"), 0);
        put(tree, "e3f1a2b3c4d5e6f7", "devices/0000:c5:00.0/unique_id");
        report = look(&gpu_amd, tree);
        assert_false(report->gpus[0].shares_ram);
        assert_int_equal(report->gpus[0].total_bytes, 8573157376);
}

static void test_intel_s_are_counted(void **state) {
        _cleanup_free_ GpuReport *report = NULL;
        const Tree *tree = *state;

        put_card(tree, 1, "0000:03:00.0", "0x8086", "xe");
        put_card(tree, 0, "0000:00:02.0", "0x8086", "i915");
        report = look(&gpu_intel, tree);
        assert_int_equal(report->n_gpus, 2);
        assert_string_equal(report->gpus[0].uuid, "PCI-0000.00.02.0");
        assert_true(report->gpus[0].integrated);
        assert_false(report->gpus[1].integrated);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(report->gpus[i].state, GPU_STATE_OK);
                assert_true(report->gpus[i].whole_only);
                assert_int_equal(report->gpus[i].total_bytes, 0);
                assert_non_null(strstr(report->gpus[i].note, "given out whole"));
        }
}

static void test_when_the_last_card_goes_the_driver_does(void **state) {
        GpuReport *report = calloc(1, sizeof(*report));
        const Tree *tree = *state;
        GpuDriver *driver;

        assert_non_null(report);
        put_amd(tree, 0, "0000:03:00.0", "1000", "0");
        driver = open_vendor(&gpu_amd, tree);
        assert_int_equal(gpu_amd.look(driver, report, 0), 0);
        assert_int_equal(put_gone(tree, "class/drm/card0/device"), 0);
        assert_int_equal(gpu_amd.look(driver, report, 0), -ENODEV);
        gpu_amd.free(driver);
        assert_null(open_vendor(&gpu_amd, tree));
        free(report);
}

#define tree_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers_are_alone_in_their_file),
                cmocka_unit_test(test_addresses_are_pci_s),
                cmocka_unit_test(test_nodes_say_where_they_are),
                tree_test(test_where_there_is_no_card_there_is_no_driver),
                tree_test(test_memory_and_names_are_the_driver_s),
                tree_test(test_processes_are_the_compute_driver_s),
                cmocka_unit_test(test_clients_say_what_they_have),
                tree_test(test_programs_that_draw_are_listed),
                tree_test(test_who_draws_is_looked_for_now_and_then),
                tree_test(test_a_list_that_can_t_be_true_is_dropped),
                tree_test(test_memory_that_is_not_told_is_unknown),
                tree_test(test_more_used_than_there_is_leaves_nothing),
                tree_test(test_a_gpu_in_the_processor_shares_ram),
                tree_test(test_no_process_has_more_ram_than_there_is),
                tree_test(test_the_parts_of_a_card_are_counted_each),
                tree_test(test_the_first_vega_is_a_card),
                tree_test(test_intel_s_are_counted),
                tree_test(test_when_the_last_card_goes_the_driver_does),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
