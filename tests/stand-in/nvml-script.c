/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "nvml-script.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where in the script a line stands, and what the call is about. */
typedef struct Place {
        const char *call;
        int index;
        int instance;
        int now; /* -1: in front of the first GPU */
        int now_instance;
} Place;

static uint64_t parse_size(const char *word) {
        static const char units[] = "KMGT";
        char *end = NULL;
        uint64_t value = strtoull(word, &end, 10);
        const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;

        return unit ? value << (10 * (unit - units + 1)) : value;
}

static unsigned parse_lists(char **rest) {
        unsigned lists = 0;

        for (char *word = strtok_r(NULL, " \t", rest); word; word = strtok_r(NULL, " \t", rest))
                if (strcmp(word, "graphics") == 0)
                        lists |= GRAPHICS;
                else if (strcmp(word, "mps") == 0)
                        lists |= MPS;
                else
                        lists |= COMPUTE;
        return lists ? lists : COMPUTE;
}

static void add_process(Gpu *gpu, unsigned pid, const char *size, char **rest) {
        if (gpu->n_processes == PROCESSES_MAX)
                return;
        gpu->processes[gpu->n_processes++] = (Process){
                .pid = pid,
                .bytes = strcmp(size, "n/a") == 0 ? NOT_AVAILABLE : parse_size(size),
                .lists = parse_lists(rest),
        };
}

/* Lines that say how calls fail. */
static bool parse_trouble(Script *script, const char *call, const char *key, char **rest) {
        const char *which;
        const char *value;
        bool is_meant;

        if (strcmp(key, "error") != 0 && strcmp(key, "hang") != 0 && strcmp(key, "slow") != 0 &&
            strcmp(key, "crash") != 0)
                return false;

        which = strtok_r(NULL, " \t", rest);
        value = strtok_r(NULL, " \t", rest);
        is_meant = which && (strcmp(which, "*") == 0 || strcmp(which, call) == 0);
        if (!is_meant)
                return true;
        if (*key == 'e' && value)
                script->status = atoi(value); /* NOLINT(cert-err34-c): a test wrote it */
        if (*key == 's' && value)
                script->slow_ms = atol(value); /* NOLINT(cert-err34-c): a test wrote it */
        script->hang |= *key == 'h';
        script->hang_for_ever |= *key == 'h' && value && strcmp(value, "for-ever") == 0;
        script->crash |= *key == 'c';
        return true;
}

static void parse_gpu_process(Gpu *gpu, char **rest) {
        const char *pid = strtok_r(NULL, " \t", rest);
        const char *size = strtok_r(NULL, " \t", rest);

        if (!pid || !size)
                return;
        if (strcmp(pid, "self") == 0)
                add_process(gpu, (unsigned)getpid(), size, rest);
        else
                add_process(gpu, (unsigned)parse_size(pid), size, rest);
}

static void set_processes(Gpu *gpu, const char *value) {
        gpu->bytes_unknown = strcmp(value, "n/a") == 0;
        gpu->processes_hidden = strcmp(value, "hidden") == 0;
}

static void parse_gpu_line(Gpu *gpu, const char *key, char **rest) {
        const char *value;

        if (strcmp(key, "name") == 0) {
                (void)snprintf(gpu->name, sizeof(gpu->name), "%s", *rest + strspn(*rest, " \t"));
                return;
        }
        if (strcmp(key, "process") == 0) {
                parse_gpu_process(gpu, rest);
                return;
        }

        value = strtok_r(NULL, " \t", rest);
        if (strcmp(key, "unterminated") == 0) {
                gpu->name_unterminated = true;
                gpu->uuid_unterminated = !value || strcmp(value, "name") != 0;
                return;
        }
        if (strcmp(key, "mig") == 0)
                gpu->is_mig = true;
        else if (strcmp(key, "unified") == 0)
                gpu->is_unified = true;
        else if (!value)
                return;
        else if (strcmp(key, "uuid") == 0)
                (void)snprintf(gpu->uuid, sizeof(gpu->uuid), "%s", value);
        else if (strcmp(key, "total") == 0)
                gpu->total_bytes = parse_size(value);
        else if (strcmp(key, "used") == 0)
                gpu->used_bytes = parse_size(value);
        else if (strcmp(key, "reserved") == 0)
                gpu->reserved_bytes = parse_size(value);
        else if (strcmp(key, "mode") == 0)
                gpu->compute_mode = (int)parse_size(value);
        else if (strcmp(key, "processes") == 0)
                set_processes(gpu, value);
        else if (strcmp(key, "race") == 0)
                gpu->race = (unsigned)parse_size(value);
}

/* A line that begins what is said of a GPU, or of an instance of the last one. */
static bool parse_heading(Script *script, const char *key, char **rest, Place *place) {
        const char *number;

        if (strcmp(key, "gpu") != 0 && strcmp(key, "instance") != 0)
                return false;

        number = strtok_r(NULL, " \t", rest);
        if (*key == 'g') {
                place->now = number ? (int)parse_size(number) : -1;
                place->now_instance = WHOLE;
                script->n_gpus++;
        } else {
                place->now_instance = number ? (int)parse_size(number) : 0;
        }
        script->gpu.exists |= place->now >= 0 && place->now == place->index &&
                              place->now_instance == place->instance;
        return true;
}

static void parse_line(Script *script, char *line, Place *place) {
        char *rest = NULL;
        const char *key;

        line[strcspn(line, "#\n")] = '\0';
        key = strtok_r(line, " \t", &rest);
        if (!key || parse_heading(script, key, &rest, place))
                return;
        if ((place->now >= 0 &&
             (place->now != place->index || place->now_instance != place->instance)) ||
            parse_trouble(script, place->call, key, &rest))
                return;

        if (place->now >= 0 && strcmp(key, "lost") == 0) {
                script->status = GPU_IS_LOST;
                script->gpu.is_lost_until_init |= strstr(rest, "until-init") != NULL;
        }
        if (place->now >= 0)
                parse_gpu_line(&script->gpu, key, &rest);
        else if (strcmp(key, "init") == 0)
                script->init_status = (int)parse_size(rest + strspn(rest, " \t"));
        else if (strcmp(key, "count") == 0)
                script->count = (int)parse_size(rest + strspn(rest, " \t"));
}

static bool is_alive(unsigned pid) {
        char path[64];
        char text[512];
        const char *name_end;
        FILE *f;
        size_t n;

        (void)snprintf(path, sizeof(path), "/proc/%u/stat", pid);
        f = fopen(path, "re");
        if (!f)
                return false;
        n = fread(text, 1, sizeof(text) - 1, f);
        (void)fclose(f);
        text[n] = '\0';
        name_end = strrchr(text, ')');
        return name_end && name_end[1] == ' ' && name_end[2] != 'Z' && name_end[2] != 'X';
}

/* One file of the folder: what a process says that it holds. */
static void read_holder(Gpu *gpu, const Place *place, const char *folder, const char *pid) {
        char path[4096];
        char line[256];
        FILE *f;

        (void)snprintf(path, sizeof(path), "%s/%s", folder, pid);
        f = fopen(path, "re");
        if (!f)
                return;
        while (fgets(line, sizeof(line), f)) {
                char *rest = NULL;
                char number[32];
                const char *which;
                const char *size;

                line[strcspn(line, "\n")] = '\0';
                which = strtok_r(line, " \t", &rest);
                size = strtok_r(NULL, " \t", &rest);
                if (place->instance == WHOLE)
                        (void)snprintf(number, sizeof(number), "%d", place->index);
                else
                        (void)snprintf(number, sizeof(number), "%d.%d", place->index,
                                       place->instance);
                if (!which || !size ||
                    (strcmp(which, number) != 0 && strcmp(which, gpu->uuid) != 0))
                        continue;
                gpu->used_bytes += parse_size(size);
                add_process(gpu, (unsigned)parse_size(pid), size, &rest);
        }
        (void)fclose(f);
}

static void read_holders(Gpu *gpu, const Place *place, const char *script_path) {
        char folder[3072];
        const struct dirent *entry;
        DIR *dir;

        (void)snprintf(folder, sizeof(folder), "%s.d", script_path);
        dir = opendir(folder);
        if (!dir)
                return;
        while ((entry = readdir(dir)))
                if (isdigit((unsigned char)entry->d_name[0]) &&
                    is_alive((unsigned)parse_size(entry->d_name)))
                        read_holder(gpu, place, folder, entry->d_name);
        (void)closedir(dir);
}

static void set_defaults(Script *script, int index, int instance) {
        *script = (Script){ .count = -1, .gpu = { .total_bytes = UINT64_C(80) << 30 } };
        if (instance == WHOLE)
                (void)snprintf(script->gpu.uuid, sizeof(script->gpu.uuid),
                               "GPU-00000000-0000-0000-0000-%012d", index);
        else
                (void)snprintf(script->gpu.uuid, sizeof(script->gpu.uuid),
                               "MIG-00000000-0000-0000-%04d-%012d", instance, index);
        (void)snprintf(script->gpu.name, sizeof(script->gpu.name), "NVIDIA Stand-In%s",
                       instance == WHOLE ? "" : " MIG 1g.10gb");
}

bool script_read(Script *script, const char *call, int index, int instance) {
        const char *path = getenv("TASKFLOW_TEST_NVML");
        Place place = {
                .call = call, .index = index, .instance = instance, .now = -1, .now_instance = WHOLE
        };
        char line[512];
        FILE *f;

        set_defaults(script, index, instance);
        f = path ? fopen(path, "re") : NULL;
        if (!f)
                return false;
        while (fgets(line, sizeof(line), f))
                parse_line(script, line, &place);
        (void)fclose(f);
        if (script->gpu.exists)
                read_holders(&script->gpu, &place, path);
        return true;
}
