/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "settings/settings-key.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/gpu-word.h"
#include "settings/settings-factors.h"
#include "settings/settings-users.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/units.h"

#define US_PER_DAY (UINT64_C(86400) * US_PER_SEC)

/* What sums of sizes cannot overflow with, and more than any machine has. */
#define SIZE_BYTES_MAX (UINT64_C(1) << 60)

/* The word that stands for every GPU. */
#define GPUS_ALL "all"

#define FIELD(member) \
        .offset = offsetof(Settings, member), .size = sizeof(((Settings *)NULL)->member)

/* clang-format off */
const SettingsKey settings_keys[] = {
        {
                .name = "default_delay", .type = SETTINGS_TYPE_DURATION,
                FIELD(policy.default_delay_us), .max = TASK_TIME_INF, .standard = "60s",
                .help = "how long a task without -d may take to fill its memory before others count on the rest",
        }, {
                .name = "delay_mode", .type = SETTINGS_TYPE_WORD,
                FIELD(policy.delay_strict), .words = { "ample", "strict" }, .standard = "ample",
                .help = "in that time others start where there is ample room, or (strict) not at all",
        }, {
                .name = "ample_factor", .type = SETTINGS_TYPE_FACTOR,
                FIELD(policy.ample_factor_permille), .min = 1000, .max = 100000, .standard = "2",
                .help = "ample: it would still fit if they took so many times what they asked for",
        }, {
                .name = "unfilled", .type = SETTINGS_TYPE_WORD,
                FIELD(policy.unfilled_delay), .words = { "life", "delay" }, .standard = "life",
                .help = "what a task asked for and did not take stays its own for life, or until its delay is over",
        }, {
                .name = "reserved_memory", .type = SETTINGS_TYPE_SIZE,
                FIELD(policy.reserved_memory_bytes), .max = SIZE_BYTES_MAX, .standard = "100M",
                .help = "RAM that is always left free",
        }, {
                .name = "reserved_gpu_memory", .type = SETTINGS_TYPE_SIZE,
                FIELD(policy.reserved_gpu_memory_bytes), .max = SIZE_BYTES_MAX, .standard = "1M",
                .help = "memory that is always left free on each GPU",
        }, {
                .name = "pressure_limit", .type = SETTINGS_TYPE_PERCENT,
                FIELD(policy.pressure_limit_permyriad), .max = 10000, .standard = "20%",
                .help = "nothing starts while programs waited for memory in more of the last 10 s; 100%: no limit",
        }, {
                .name = "sample_interval", .type = SETTINGS_TYPE_DURATION,
                FIELD(sample_interval_us), .min = 100 * US_PER_MSEC, .max = 3600 * US_PER_SEC,
                .standard = "1s",
                .help = "how often to look at the machine while something waits",
        }, {
                .name = "order", .type = SETTINGS_TYPE_WORD,
                FIELD(policy.order_fifo), .words = { "fair", "fifo" }, .standard = "fair",
                .help = "users of one priority take turns by what they had, or (fifo) first come, first served",
        }, {
                .name = "share_half_life", .type = SETTINGS_TYPE_DURATION,
                FIELD(policy.share_half_life_us), .min = POLICY_HALF_LIFE_MIN_US,
                .max = 365 * US_PER_DAY, .standard = "1d",
                .help = "fair: what a user had so long ago counts half of what is held now",
        }, {
                .name = "weights", .type = SETTINGS_TYPE_FACTORS,
                FIELD(weights), .unit = FACTOR_KIND_WEIGHT, .standard = "none",
                .help = "fair: who counts as having had less, or more, by how much: alice:2, @students:0.5",
        }, {
                .name = "patience", .type = SETTINGS_TYPE_DURATION,
                FIELD(policy.patience_us), .max = TASK_TIME_INF, .standard = "10m",
                .help = "how long later tasks may overtake the first one in line before room is kept for it",
        }, {
                .name = "keep_max", .type = SETTINGS_TYPE_DURATION,
                FIELD(policy.keep_max_us), .min = US_PER_SEC, .max = TASK_TIME_INF, .standard = "1d",
                .help = "for how long room is kept for a task; then others may overtake it again",
        }, {
                .name = "priority_limit", .type = SETTINGS_TYPE_COUNT,
                FIELD(policy.priority_limit), .max = TASK_PRIORITY_MAX, .unit = 1,
                .standard = "100", .personal = "200",
                .help = "between users a priority counts up to this",
        }, {
                .name = "priority_age", .type = SETTINGS_TYPE_DURATION,
                FIELD(policy.priority_age_us), .min = US_PER_SEC, .max = TASK_TIME_INF,
                .standard = "1h",
                .help = "waiting so long raises the priority by 1, up to priority_limit",
        }, {
                .name = "max_delay", .type = SETTINGS_TYPE_DURATION,
                FIELD(policy.max_delay_us), .max = TASK_TIME_INF,
                .standard = "10m", .personal = "inf",
                .help = "a longer -d of others than admins counts as this",
        }, {
                .name = "whole_gpu_used", .type = SETTINGS_TYPE_PERCENT,
                FIELD(policy.whole_gpu_used_permyriad), .max = 10000, .standard = "5%",
                .help = "a whole GPU is given while at most so much of it is used",
        }, {
                .name = "idle_exit", .type = SETTINGS_TYPE_DURATION,
                FIELD(idle_exit_us), .min = US_PER_SEC, .max = TASK_TIME_INF,
                .standard = "never", .personal = "10m",
                .help = "end when there has been nothing to do for so long",
        }, {
                .name = "gpus", .type = SETTINGS_TYPE_GPUS, .standard = "all",
                .help = "GPUs that may be given out: numbers, UUIDs or their beginnings",
        }, {
                .name = "gpu_pick", .type = SETTINGS_TYPE_WORD,
                FIELD(policy.gpu_pick_pack), .words = { "spread", "pack" }, .standard = "spread",
                .help = "for 'any': the GPU with most memory free, or (pack) with least that is enough",
        }, {
                .name = "pin_gpus", .type = SETTINGS_TYPE_WORD,
                FIELD(pin_gpus), .words = { "any", "always", "never" }, .standard = "any",
                .help = "show a task its own GPUs alone: those that asked for 'any', always, or never",
        }, {
                .name = "nvml_library", .type = SETTINGS_TYPE_TEXT,
                FIELD(nvml_library), .standard = "libnvidia-ml.so.1",
                .help = "NVIDIA's library, found the loader's way",
        }, {
                .name = "admins", .type = SETTINGS_TYPE_USERS,
                FIELD(admins), .standard = "root",
                .help = "users, and @groups, who may act on everybody's tasks, and drain",
        }, {
                .name = "allow_users", .type = SETTINGS_TYPE_USERS,
                FIELD(allow_users), .words = { "all" }, .standard = "all",
                .help = "users, and @groups, who may queue tasks and see the queue",
        }, {
                .name = "deny_users", .type = SETTINGS_TYPE_USERS,
                FIELD(deny_users), .words = { "none" }, .standard = "none",
                .help = "users, and @groups, who may not, although allow_users has them",
        }, {
                .name = "max_pending_per_user", .type = SETTINGS_TYPE_COUNT,
                FIELD(max_pending_per_user), .min = 1, .max = 100000000, .unit = 1,
                .standard = "100000",
                .help = "how many waiting tasks one user may have",
        }, {
                .name = "max_running_per_user", .type = SETTINGS_TYPE_FACTORS,
                FIELD(max_running), .unit = FACTOR_KIND_COUNT, .standard = "none",
                .help = "how many tasks of one user may run at once: 8, @students:2, alice:none",
        }, {
                .name = "max_memory_per_user", .type = SETTINGS_TYPE_FACTORS,
                FIELD(max_memory), .unit = FACTOR_KIND_SIZE, .standard = "none",
                .help = "how much RAM the running tasks of one user may have: 128G, @students:32G",
        }, {
                .name = "max_gpus_per_user", .type = SETTINGS_TYPE_FACTORS,
                FIELD(max_gpus), .unit = FACTOR_KIND_COUNT, .standard = "none",
                .help = "how many GPUs the running tasks of one user may have",
        }, {
                .name = "max_gpu_memory_per_user", .type = SETTINGS_TYPE_FACTORS,
                FIELD(max_gpu_memory), .unit = FACTOR_KIND_SIZE, .standard = "none",
                .help = "how much memory on all GPUs together they may have",
        }, {
                .name = "max_time", .type = SETTINGS_TYPE_FACTORS,
                FIELD(max_time), .unit = FACTOR_KIND_TIME, .standard = "none",
                .help = "how long a task may run: a longer -t, and none, is refused",
        }, {
                .name = "client_timeout", .type = SETTINGS_TYPE_DURATION,
                FIELD(client_timeout_us), .min = US_PER_SEC, .max = 86400 * US_PER_SEC,
                .standard = "60s",
                .help = "how long to wait for the rest of a message, for answers to be read, for a first word",
        }, {
                .name = "show_commands", .type = SETTINGS_TYPE_WORD,
                FIELD(show_commands_to_owner_only), .words = { "everyone", "owner" },
                .standard = "everyone",
                .help = "who sees a task's command, folder, name and output",
        }, {
                .name = "history_days", .type = SETTINGS_TYPE_COUNT,
                FIELD(history_us), .min = 1, .max = 36500, .unit = US_PER_DAY, .standard = "30",
                .help = "for how many days an ended task is remembered",
        }, {
                .name = "log_limit", .type = SETTINGS_TYPE_SIZE,
                FIELD(log_limit_bytes), .min = 64 * KIB, .max = SIZE_BYTES_MAX, .standard = "1G",
                .help = "a detached task's own log keeps its last so many bytes; a file of -o keeps all",
        }, {
                .name = "log_days", .type = SETTINGS_TYPE_COUNT,
                FIELD(log_keep_us), .min = 1, .max = 36500, .unit = US_PER_DAY, .standard = "30",
                .help = "for how many days the log of an ended task is kept",
        },
};
/* clang-format on */

const size_t n_settings_keys = ELEMENTSOF(settings_keys);

enum {
        KEY_BYTES_MAX = 32, /* longer words are near to none */
        NEAR_MAX = 3,       /* letters wrong at most */
};

/* Whether letters count as one: somebody may well write a key with the other line in it. */
static bool same_letter(char a, char b) {
        return a == b || (a == '-' && b == '_');
}

/*
 * How many letters to add, drop, change or swap with their neighbour to make @b of @a. Row i of the table is for the first
 * i letters of @a, column j for the first j of @b; the first ones count letters alone.
 */
static unsigned distance(const char *a, const char *b) {
        unsigned table[KEY_BYTES_MAX + 1][KEY_BYTES_MAX + 1] = {};
        size_t n_a = strlen(a);
        size_t n_b = strlen(b);

        if (n_a > KEY_BYTES_MAX || n_b > KEY_BYTES_MAX)
                return UINT32_MAX;

        for (size_t k = 0; k <= n_b; k++)
                table[0][k] = (unsigned)k;
        for (size_t k = 0; k < n_a * n_b; k++) {
                size_t i = 1 + k / n_b;
                size_t j = 1 + k % n_b;
                unsigned best = table[i - 1][j - 1] + !same_letter(a[i - 1], b[j - 1]);

                table[i][0] = (unsigned)i;
                best = MIN(best, table[i - 1][j] + 1);
                best = MIN(best, table[i][j - 1] + 1);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                        best = MIN(best, table[i - 2][j - 2] + 1);
                table[i][j] = best;
        }
        return table[n_a][n_b];
}

static const char *nearest(const char *name) {
        const char *best = NULL;
        unsigned best_distance = MIN(NEAR_MAX + 1U, (unsigned)strlen(name));

        for (size_t i = 0; i < n_settings_keys; i++) {
                unsigned d = distance(name, settings_keys[i].name);

                if (d >= best_distance)
                        continue;
                best = settings_keys[i].name;
                best_distance = d;
        }
        return best;
}

const SettingsKey *settings_key_find(const char *name, Error *error) {
        const char *near;

        for (size_t i = 0; i < n_settings_keys; i++)
                if (strcmp(name, settings_keys[i].name) == 0)
                        return &settings_keys[i];

        near = nearest(name);
        if (near)
                (void)error_set(error, 0, "unknown key '%s'; did you mean '%s'?", name, near);
        else
                (void)error_set(error, 0,
                                "unknown key '%s'; taskflow.conf(5) lists those there are", name);
        return NULL;
}

static void put_number(const SettingsKey *key, uint64_t value, Settings *settings) {
        void *field = (char *)settings + key->offset;
        bool b = value != 0;
        unsigned u = (unsigned)value;

        switch (key->size) {
        case 0:
                return;
        case sizeof(bool):
                memcpy(field, &b, sizeof(b));
                return;
        case sizeof(unsigned): /* or an enum */
                memcpy(field, &u, sizeof(u));
                return;
        case sizeof(uint64_t):
                memcpy(field, &value, sizeof(value));
                return;
        }
        abort();
}

static int set_duration(const SettingsKey *key,
                        const char *value,
                        Settings *settings,
                        Error *error) {
        char min[UNITS_FORMAT_MAX];
        char max[UNITS_FORMAT_MAX];
        uint64_t us = 0;
        int r;

        if (strcmp(value, "never") == 0)
                us = TASK_TIME_INF;
        else {
                r = units_parse_duration_us(value, &us, error);
                if (r < 0)
                        return r;
        }

        if (us < key->min || us > key->max)
                return error_set(error, -EINVAL, "'%s' is out of bounds: a time from %s to %s",
                                 value,
                                 key->min < US_PER_SEC && key->min > 0 ?
                                         "100ms" :
                                         units_format_duration(min, sizeof(min), key->min),
                                 units_format_duration(max, sizeof(max), key->max));
        put_number(key, us, settings);
        return 0;
}

static int set_size(const SettingsKey *key, const char *value, Settings *settings, Error *error) {
        char max[UNITS_FORMAT_MAX];
        uint64_t bytes = 0;
        int r;

        r = units_parse_bytes(value, &bytes, error);
        if (r < 0)
                return r;

        if (bytes < key->min || bytes > key->max)
                return error_set(error, -EINVAL, "'%s' is out of bounds: a size up to %s", value,
                                 units_format_bytes(max, sizeof(max), key->max));
        put_number(key, bytes, settings);
        return 0;
}

static int set_count(const SettingsKey *key, const char *value, Settings *settings, Error *error) {
        uint64_t n = 0;
        int r;

        r = units_parse_uint(value, key->min, key->max, &n, error);
        if (r < 0)
                return r;
        put_number(key, n * key->unit, settings);
        return 0;
}

static int set_factor(const SettingsKey *key, const char *value, Settings *settings, Error *error) {
        uint64_t permille = 0;

        if (settings_parse_decimal(value, strlen(value), 3, &permille) < 0 || permille < key->min ||
            permille > key->max)
                return error_set(error, -EINVAL,
                                 "'%s' is no factor: a number from %" PRIu64 " to %" PRIu64
                                 ", with up to three decimals, such as '1.5'",
                                 value, key->min / 1000, key->max / 1000);
        put_number(key, permille, settings);
        return 0;
}

static int set_percent(const SettingsKey *key,
                       const char *value,
                       Settings *settings,
                       Error *error) {
        size_t n = strlen(value);
        uint64_t permyriad = 0;

        if (n == 0 || value[n - 1] != '%' ||
            settings_parse_decimal(value, n - 1, 2, &permyriad) < 0 || permyriad < key->min ||
            permyriad > key->max)
                return error_set(
                        error, -EINVAL,
                        "'%s' is no percentage: from 0%% to 100%%, with up to two decimals, such "
                        "as '2.5%%'",
                        value);
        put_number(key, permyriad, settings);
        return 0;
}

static int set_word(const SettingsKey *key, const char *value, Settings *settings, Error *error) {
        unsigned n = 0;

        for (; key->words[n]; n++)
                if (strcmp(value, key->words[n]) == 0) {
                        put_number(key, n, settings);
                        return 0;
                }

        if (n == 2)
                return error_set(error, -EINVAL, "'%s' is neither '%s' nor '%s'", value,
                                 key->words[0], key->words[1]);

        return error_set(error, -EINVAL, "'%s' is none of '%s', '%s' and '%s'", value,
                         key->words[0], key->words[1], key->words[2]);
}

static int set_text(const SettingsKey *key, const char *value, Settings *settings, Error *error) {
        size_t n = strlen(value);

        if (n >= key->size)
                return error_set(error, -EINVAL, "it is longer than %zu bytes", key->size - 1);
        memcpy((char *)settings + key->offset, value, n + 1);
        return 0;
}

/* What a GPU may be called: as in what goes to a runner. */
static bool is_gpu_word(const char *word) {
        size_t n_kind = gpu_word_kind_length(word);
        GpuNumber number;
        size_t n = strlen(word);

        return n >= 1 && n <= 80 && (n_kind == 0 || gpu_word_number(word, &number)) &&
               strspn(word + n_kind,
                      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789./-") ==
                       n - n_kind &&
               strcmp(word, GPU_WORD_ANY) != 0 && strcmp(word, GPUS_ALL) != 0;
}

static bool same_gpu(const char *a, const char *b) {
        GpuNumber number_a;
        GpuNumber number_b;

        if (gpu_word_number(a, &number_a) && gpu_word_number(b, &number_b))
                return number_a.has_kind == number_b.has_kind && number_a.kind == number_b.kind &&
                       number_a.index == number_b.index && number_a.part == number_b.part;
        return strcasecmp(a, b) == 0;
}

static int add_gpu(Policy *policy, const char *word, Error *error) {
        if (!is_gpu_word(word))
                return error_set(
                        error, -EINVAL,
                        "'%s' is no id of a GPU: 'all', or numbers, UUIDs or their beginnings "
                        "with commas between",
                        word);
        for (unsigned i = 0; i < policy->n_gpus; i++)
                if (same_gpu(policy->gpus[i], word))
                        return error_set(error, -EINVAL, "GPU '%s' is there twice", word);
        if (policy->n_gpus == GPU_MAX)
                return error_set(error, -EINVAL, "there are more than %d GPUs", GPU_MAX);

        gpu_text_copy(policy->gpus[policy->n_gpus++], word);
        return 0;
}

static int set_gpus(const char *value, Settings *settings, Error *error) {
        _cleanup_free_ char *list = NULL;
        Policy policy = settings->policy;
        char *rest;
        int r;

        policy.gpus_all = strcmp(value, GPUS_ALL) == 0;
        policy.n_gpus = 0;
        if (!policy.gpus_all) {
                list = rest = strdup(value);
                if (!list)
                        return error_set(error, -ENOMEM, "out of memory");
                while (rest) {
                        r = add_gpu(&policy, settings_next_word(&rest), error);
                        if (r < 0)
                                return r;
                }
        }

        settings->policy = policy;
        return 0;
}

int settings_key_set(const SettingsKey *key, const char *value, Settings *settings, Error *error) {
        if (value[0] == '\0')
                return error_set(error, -EINVAL, "there is no value; the default is '%s'",
                                 key->standard);

        switch (key->type) {
        case SETTINGS_TYPE_DURATION:
                return set_duration(key, value, settings, error);
        case SETTINGS_TYPE_SIZE:
                return set_size(key, value, settings, error);
        case SETTINGS_TYPE_COUNT:
                return set_count(key, value, settings, error);
        case SETTINGS_TYPE_FACTOR:
                return set_factor(key, value, settings, error);
        case SETTINGS_TYPE_PERCENT:
                return set_percent(key, value, settings, error);
        case SETTINGS_TYPE_WORD:
                return set_word(key, value, settings, error);
        case SETTINGS_TYPE_TEXT:
                return set_text(key, value, settings, error);
        case SETTINGS_TYPE_GPUS:
                return set_gpus(value, settings, error);
        case SETTINGS_TYPE_FACTORS:
                return settings_factors_set((UserFactors *)(void *)((char *)settings + key->offset),
                                            (FactorKind)key->unit, value, error);
        case SETTINGS_TYPE_USERS:
                return settings_users_set((UserList *)(void *)((char *)settings + key->offset),
                                          key->words[0], value, error);
        }
        abort();
}
