/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "settings/settings.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "settings/settings-factors.h"
#include "settings/settings-key.h"
#include "settings/settings-users.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/ini-file.h"
#include "util/macro.h"
#include "util/units.h"

static const char section_name[] = "taskflow";
static const char tokens_name[] = "tokens";

enum {
        KEYS_MAX = 64, /* more than there are */

        /* A file of settings has a few KiB; one that is larger is something else. */
        FILE_BYTES_MAX = 1 << 20,
};

typedef struct Reading {
        Settings settings;
        unsigned lines[KEYS_MAX]; /* where each key stood; 0: not yet */
        unsigned token_lines[TOKENS_MAX];
} Reading;

static void reading_done(Reading *reading) {
        settings_done(&reading->settings);
}

/* `matlab = 3` */
static int add_token(Reading *reading,
                     const char *name,
                     const char *value,
                     unsigned line,
                     Error *error) {
        Policy *policy = &reading->settings.policy;
        int at = token_find(policy->tokens, policy->n_tokens, name);
        Token *token = &policy->tokens[policy->n_tokens];
        uint64_t n = 0;
        int r;

        if (at >= 0)
                return error_set(error, -EINVAL, "'%s' is there already, in line %u", name,
                                 reading->token_lines[at]);
        r = token_check_name(name, error);
        if (r < 0)
                return r;
        if (policy->n_tokens == TOKENS_MAX)
                return error_set(error, -EINVAL, "more than %d names of tokens", TOKENS_MAX);
        r = units_parse_uint(value, 0, TOKEN_NUMBER_MAX, &n, error);
        if (r < 0) {
                error_prefix(error, "%s: ", name);
                return r;
        }

        (void)snprintf(token->name, sizeof(token->name), "%s", name);
        token->n = (unsigned)n;
        reading->token_lines[policy->n_tokens++] = line;
        return 0;
}

static int on_value(void *userdata,
                    const char *section,
                    const char *name,
                    const char *value,
                    unsigned line,
                    Error *error) {
        Reading *reading = userdata;
        const SettingsKey *key;
        unsigned *first;
        int r;

        if (section[0] == '\0')
                return error_set(error, -EINVAL, "'%s' stands before '[%s]'", name, section_name);
        if (strcmp(section, tokens_name) == 0)
                return add_token(reading, name, value, line, error);
        if (strcmp(section, section_name) != 0)
                return error_set(error, -EINVAL,
                                 "unknown section '[%s]'; there are '[%s]' and '[%s]'", section,
                                 section_name, tokens_name);

        key = settings_key_find(name, error);
        if (!key)
                return -EINVAL;

        first = &reading->lines[key - settings_keys];
        if (*first > 0)
                return error_set(error, -EINVAL, "'%s' is there already, in line %u", name, *first);
        *first = line;

        r = settings_key_set(key, value, &reading->settings, error);
        if (r < 0)
                error_prefix(error, "%s: ", name);
        return r;
}

static int set_defaults(Settings *settings, bool personal, Error *error) {
        long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
        int r;

        assert(n_settings_keys <= KEYS_MAX);

        *settings = (Settings){ .policy = policy_default() };
        if (n_cpus > 0)
                settings->policy.n_cpus = (unsigned)n_cpus;

        for (size_t i = 0; i < n_settings_keys; i++) {
                const SettingsKey *key = &settings_keys[i];

                r = settings_key_set(key, personal && key->personal ? key->personal : key->standard,
                                     settings, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* What holds whatever the file says. */
static int finish(Reading *reading, bool personal, Error *error) {
        int r;

        if (!personal)
                return 0;
        r = settings_users_add_uid(&reading->settings.admins, geteuid());
        return r < 0 ? error_set(error, r, "out of memory") : 0;
}

/* Whether a line is the first one that opens this section. */
static bool take_header(const char *line, size_t n_line, const char *section, bool *seen) {
        size_t n = strlen(section);

        if (*seen || n_line < n + 2 || strncmp(line + 1, section, n) != 0 || line[n + 1] != ']')
                return false;
        *seen = true;
        return true;
}

/*
 * Each value comes with its section; this is about those with none in them, and those that are opened again: what stands
 * there was not meant as it would be read.
 */
static int check_sections(const char *name, const char *text, size_t n, Error *error) {
        const char *end = text + n;
        bool settings_seen = false, tokens_seen = false;
        unsigned line = 1;

        for (const char *at = text; at < end; line++) {
                const char *stop = memchr(at, '\n', (size_t)(end - at));
                size_t n_line = (size_t)((stop ? stop : end) - at);

                if (n_line > 0 && at[0] == '[' &&
                    !take_header(at, n_line, section_name, &settings_seen) &&
                    !take_header(at, n_line, tokens_name, &tokens_seen))
                        return error_set(error, -EINVAL,
                                         "'%s' line %u: there are two sections, '[%s]' and '[%s]', "
                                         "each once",
                                         name, line, section_name, tokens_name);
                at = stop ? stop + 1 : end;
        }
        return 0;
}

int settings_parse(Settings *ret,
                   const char *name,
                   const char *text,
                   size_t n,
                   bool personal,
                   Error *error) {
        _cleanup_(reading_done) Reading reading = {};
        int r;

        r = set_defaults(&reading.settings, personal, error);
        if (r == 0)
                r = ini_file_parse(name, text, n, on_value, &reading, error);
        if (r == 0)
                r = check_sections(name, text, n, error);
        if (r == 0)
                r = finish(&reading, personal, error);
        if (r < 0)
                return r;

        *ret = reading.settings;
        reading.settings = (Settings){};
        return 0;
}

int settings_load(Settings *ret, const char *path, bool required, bool personal, Error *error) {
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r;

        if (!path)
                return settings_parse(ret, "", "", 0, personal, error);

        r = fd_read_file(AT_FDCWD, path, &text, &n, FILE_BYTES_MAX);
        if (r == -ENOENT && !required)
                return settings_parse(ret, path, "", 0, personal, error);
        if (r < 0)
                return error_set(error, r, "cannot read '%s': %s", path, strerror(-r));
        return settings_parse(ret, path, text, n, personal, error);
}

void settings_done(Settings *settings) {
        settings_users_done(&settings->admins);
        settings_users_done(&settings->allow_users);
        settings_users_done(&settings->deny_users);
        settings_factors_done(&settings->weights);
        settings_factors_done(&settings->max_running);
        settings_factors_done(&settings->max_memory);
        settings_factors_done(&settings->max_gpus);
        settings_factors_done(&settings->max_gpu_memory);
        settings_factors_done(&settings->max_time);
        *settings = (Settings){};
}

bool settings_is_admin(const Settings *settings, uid_t uid, const gid_t *gids, size_t n_gids) {
        return settings_users_contain(&settings->admins, uid, gids, n_gids);
}

bool settings_is_allowed(const Settings *settings, uid_t uid, const gid_t *gids, size_t n_gids) {
        return settings_is_admin(settings, uid, gids, n_gids) ||
               (settings_users_contain(&settings->allow_users, uid, gids, n_gids) &&
                !settings_users_contain(&settings->deny_users, uid, gids, n_gids));
}

UserRules settings_rules(const Settings *settings, uid_t uid, const gid_t *gids, size_t n_gids) {
        const Settings *s = settings;

        return (UserRules){
                .weight_permille = (unsigned)settings_factors_get(&s->weights, uid, gids, n_gids),
                .max_running = settings_factors_get(&s->max_running, uid, gids, n_gids),
                .max_memory_bytes = settings_factors_get(&s->max_memory, uid, gids, n_gids),
                .max_gpus = settings_factors_get(&s->max_gpus, uid, gids, n_gids),
                .max_gpu_memory_bytes = settings_factors_get(&s->max_gpu_memory, uid, gids, n_gids),
                .max_time_us = settings_factors_get(&s->max_time, uid, gids, n_gids),
        };
}

int settings_print_defaults(FILE *f) {
        (void)fprintf(
                f,
                "# What taskflowd goes by; taskflow.conf(5) explains each key.\n"
                "#\n"
                "# The lines below show the defaults: take a '#' away and change the value. SIGHUP "
                "(systemctl reload\n"
                "# taskflowd) makes the daemon read them again; a mistake is refused, and named by "
                "its line.\n"
                "\n"
                "[%s]\n",
                section_name);
        for (size_t i = 0; i < n_settings_keys; i++) {
                const SettingsKey *key = &settings_keys[i];

                (void)fprintf(f, "\n# %s", key->help);
                if (key->personal)
                        (void)fprintf(f, " (personal daemon: %s)", key->personal);
                (void)fprintf(f, "\n#%s = %s\n", key->name, key->standard);
        }
        (void)fprintf(
                f,
                "\n# Things that can only be counted, as the seats of a licence: tasks ask for "
                "them with --token.\n"
                "#[%s]\n"
                "#matlab = 3\n",
                tokens_name);
        return ferror(f) ? -EIO : 0;
}
