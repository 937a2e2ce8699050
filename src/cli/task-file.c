/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/task-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/fd.h"
#include "util/ini-file.h"

static const char section_name[] = "task";

/* A copy that lives as long as the file. */
static const char *keep(TaskFile *file, const char *word) {
        char **grown;
        char *copy;

        grown = reallocarray(file->words, file->n_words + 1, sizeof(*grown));
        if (!grown)
                return NULL;
        file->words = grown;
        copy = strdup(word);
        if (!copy)
                return NULL;
        file->words[file->n_words++] = copy;
        return copy;
}

static int parse_bool(const char *word, bool *ret, Error *error) {
        static const char *const yes[] = { "yes", "true", "on", "1" };
        static const char *const no[] = { "no", "false", "off", "0" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                if (strcmp(word, yes[i]) != 0 && strcmp(word, no[i]) != 0)
                        continue;
                *ret = strcmp(word, yes[i]) == 0;
                return 0;
        }
        return error_set(error, -EINVAL, "'%s' is neither yes nor no", word);
}

/* `pin = no` is --no-pin, and `no-pin = no` is --pin; `quiet = no` is said for itself. */
static int parse_flag(const Opt *opt, const char *word, RunOptions *options, Error *error) {
        RunFlag *flag = (RunFlag *)(void *)((char *)options + opt->offset);
        bool value = false;
        int r;

        r = parse_bool(word, &value, error);
        if (r < 0)
                return r;
        if (strncmp(opt->name, "no-", 3) == 0)
                value = !value;
        *flag = (RunFlag){ .word = value ? "yes" : "no", .set = value };
        return 0;
}

static bool is_of_the_command_line(const char *key) {
        return strcmp(key, "from") == 0 || strcmp(key, "save") == 0 || strcmp(key, "dry-run") == 0;
}

static int on_value(void *userdata,
                    const char *section,
                    const char *key,
                    const char *value,
                    _unused_ unsigned line,
                    Error *error) {
        TaskFile *file = userdata;
        const Opt *opt = opt_find(run_opts, key);
        const char *word;
        int r;

        if (strcmp(section, section_name) != 0)
                return error_set(error, -EINVAL, "section [%s]: a task file has [%s] alone",
                                 section, section_name);
        if (!opt)
                return error_set(error, -EINVAL, "'%s' is no option of 'taskflow run'", key);
        if (!opt->parse)
                return error_set(error, -EINVAL, "'%s' is not available yet", key);
        if (is_of_the_command_line(key))
                return error_set(error, -EINVAL, "'%s' can stand on the command line alone", key);
        if (!opt->argument)
                return parse_flag(opt, value, &file->options, error);

        word = keep(file, value);
        if (!word)
                return error_set(error, -ENOMEM, "out of memory");
        r = opt->parse(opt, word, (char *)&file->options + opt->offset, error);
        if (r < 0)
                error_prefix(error, "%s: ", key);
        return r;
}

int task_file_load(const char *path, TaskFile *ret, Error *error) {
        *ret = (TaskFile){ 0 };
        return ini_file_load(path, on_value, ret, error);
}

int task_file_parse(const char *name, const char *text, size_t n, TaskFile *ret, Error *error) {
        *ret = (TaskFile){ 0 };
        return ini_file_parse(name, text, n, on_value, ret, error);
}

void task_file_done(TaskFile *file) {
        for (size_t i = 0; i < file->n_words; i++)
                free(file->words[i]);
        free(file->words);
        *file = (TaskFile){ 0 };
}

static int write_line(void *userdata, const char *name, const char *word) {
        /* A blank and a `;` begin a comment elsewhere, and are refused here. */
        return fprintf(userdata, "%s =%s%s\n", name, word[0] == ';' ? "" : " ", word) < 0 ? -EIO :
                                                                                            0;
}

static int compose(const RunOptions *options, char **ret, size_t *ret_n) {
        FILE *stream;
        int r;

        stream = open_memstream(ret, ret_n);
        if (!stream)
                return -errno;
        (void)fprintf(stream, "# taskflow run --from this-file COMMAND\n[%s]\n", section_name);
        r = run_options_walk(options, write_line, stream);
        return fclose(stream) != 0 ? -ENOMEM : r;
}

static int compare_line(void *userdata, const char *name, const char *word) {
        return fprintf(userdata, "%s=%s%c", name, word, '\0') < 0 ? -EIO : 0;
}

/* All that was given, in one text. */
static int digest(const RunOptions *options, char **ret, size_t *ret_n) {
        FILE *stream;
        int r;

        stream = open_memstream(ret, ret_n);
        if (!stream)
                return -errno;
        r = run_options_walk(options, compare_line, stream);
        return fclose(stream) != 0 ? -ENOMEM : r;
}

static bool is_same(const RunOptions *a, const RunOptions *b) {
        _cleanup_free_ char *x = NULL;
        _cleanup_free_ char *y = NULL;
        size_t n_x = 0;
        size_t n_y = 0;

        return digest(a, &x, &n_x) == 0 && digest(b, &y, &n_y) == 0 && n_x == n_y &&
               memcmp(x, y, n_x) == 0;
}

int task_file_text(const RunOptions *options, char **ret, size_t *ret_n, Error *error) {
        _cleanup_(task_file_done) TaskFile again = { 0 };
        _cleanup_free_ char *text = NULL;
        Error why = { 0 };
        size_t n = 0;
        int r;

        r = compose(options, &text, &n);
        if (r < 0)
                return error_set(error, r, "%s", strerror(-r));
        if (task_file_parse("task file", text, n, &again, &why) < 0)
                return error_set(error, -EINVAL, "a value does not fit in a %s", why.text);
        if (!is_same(options, &again.options))
                return error_set(error, -EINVAL,
                                 "a value begins or ends with blanks, or has a line break");
        *ret = TAKE_PTR(text);
        *ret_n = n;
        return 0;
}

int task_file_save(const char *path, const RunOptions *options, Error *error) {
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r;

        r = task_file_text(options, &text, &n, error);
        if (r < 0) {
                error_prefix(error, "cannot save '%s': ", path);
                return r;
        }
        r = fd_write_file_atomic(AT_FDCWD, path, text, n, 0644);
        if (r < 0)
                return error_set(error, r, "cannot save '%s': %s", path, strerror(-r));
        return 0;
}
