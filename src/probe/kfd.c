/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/kfd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "probe/fields.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"

enum {
        ENTRIES_MAX = 16384, /* of one folder that are looked at */
        NODE_NUMBER_MAX = 9999,
};

/* Bus, device and function as PCI packs them; above them, what part of the GPU it is. */
bool kfd_parse_properties(const char *text, size_t n, PciAddress *ret) {
        uint64_t location, domain;

        if (fields_get(text, n, "location_id", &location) < 0)
                return false;
        if (fields_get(text, n, "domain", &domain) < 0 || domain > UINT32_MAX)
                domain = 0; /* older kernels have none */
        *ret = (PciAddress){
                .domain = (unsigned)domain,
                .bus = (location >> 8) & 0xff,
                .device = (location >> 3) & 0x1f,
                .function = location & 7,
        };
        return true;
}

/* Nodes without a GPU are processors. */
static bool read_node(int nodes_fd, const char *name, KfdNode *ret) {
        char path[NAME_MAX + sizeof("/properties")];
        char text[FIELDS_TEXT_MAX];
        uint64_t number, gpu_id;
        ssize_t n;

        if (drm_parse_number(name, strlen(name), 10, &number) < 0 || number > NODE_NUMBER_MAX)
                return false;
        (void)snprintf(path, sizeof(path), "%s/gpu_id", name);
        if (drm_read_number(nodes_fd, path, 10, &gpu_id) < 0 || gpu_id == 0 || gpu_id > UINT32_MAX)
                return false;
        (void)snprintf(path, sizeof(path), "%s/properties", name);
        n = fields_read(nodes_fd, path, text, sizeof(text));
        if (n < 0 || !kfd_parse_properties(text, (size_t)n, &ret->address))
                return false;

        ret->number = (unsigned)number;
        ret->gpu_id = (uint32_t)gpu_id;
        return true;
}

static void add_node(KfdNodes *nodes, const KfdNode *node) {
        unsigned at = nodes->n;

        if (nodes->n == ELEMENTSOF(nodes->nodes))
                return;
        while (at > 0 && nodes->nodes[at - 1].number > node->number)
                at--;
        (void)memmove(&nodes->nodes[at + 1], &nodes->nodes[at],
                      (nodes->n - at) * sizeof(nodes->nodes[0]));
        nodes->nodes[at] = *node;
        nodes->n++;
}

static DIR *open_folder(int sysfs_fd, const char *path) {
        int fd;
        DIR *dir;

        fd = openat(sysfs_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        dir = fdopendir(fd);
        if (!dir)
                (void)fd_close(fd);
        return dir;
}

void kfd_read_nodes(int sysfs_fd, KfdNodes *ret) {
        unsigned n_entries = 0;
        struct dirent *entry;
        DIR *dir;

        ret->n = 0;
        dir = open_folder(sysfs_fd, "class/kfd/kfd/topology/nodes");
        if (!dir)
                return;
        while (n_entries++ < ENTRIES_MAX && (entry = readdir(dir))) {
                KfdNode node;

                if (read_node(dirfd(dir), entry->d_name, &node))
                        add_node(ret, &node);
        }
        (void)closedir(dir);
}

static void read_process(int proc_fd,
                         const char *name,
                         const KfdNodes *nodes,
                         kfd_process_fn fn,
                         void *userdata) {
        uint64_t pid, bytes;

        if (drm_parse_number(name, strlen(name), 10, &pid) < 0 || pid == 0 || pid > INT_MAX)
                return;
        for (unsigned i = 0; i < nodes->n; i++) {
                char path[NAME_MAX + sizeof("/vram_4294967295")];

                (void)snprintf(path, sizeof(path), "%s/vram_%" PRIu32, name,
                               nodes->nodes[i].gpu_id);
                if (drm_read_number(proc_fd, path, 10, &bytes) == 0 && bytes > 0)
                        fn((pid_t)pid, nodes->nodes[i].gpu_id, bytes, userdata);
        }
}

int kfd_read_processes(int sysfs_fd, const KfdNodes *nodes, kfd_process_fn fn, void *userdata) {
        unsigned n_entries = 0;
        struct dirent *entry;
        DIR *dir;

        dir = open_folder(sysfs_fd, "class/kfd/kfd/proc");
        if (!dir)
                return -ENOENT;
        while (n_entries++ < ENTRIES_MAX && (entry = readdir(dir)))
                read_process(dirfd(dir), entry->d_name, nodes, fn, userdata);
        (void)closedir(dir);
        return 0;
}
