/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * As bytes (util/nul-text.h): magic, the context's bytes, the number of tasks, each one's bytes. A task's: the words, the plain
 * words (an empty list: none), the output (an empty string: none).
 */

#include "runner/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "runner/context.h"
#include "util/cleanup.h"
#include "util/nul-text.h"

#define MAGIC "taskflow-bundle-1"
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

struct Bundle {
        void *map; /* NULL: the bytes are somebody else's */
        size_t n_map;
        BundlePart context;
        size_t n_tasks;
        BundlePart tasks[];
};

int bundle_task_compose(const BundleTask *task, char **ret, size_t *ret_n) {
        NulWriter writer = { 0 };

        nul_put_vector(&writer, task->argv);
        nul_put_vector(&writer, task->plain_argv);
        nul_put_text(&writer, task->output ? task->output : "");
        return nul_writer_take(&writer, ret, ret_n);
}

int bundle_task_parse(BundleTask *ret, const char *bytes, size_t n) {
        _cleanup_(bundle_task_done) BundleTask task = { 0 };
        NulReader reader = nul_reader(bytes, n);

        if (n > BUNDLE_TASK_MAX || !nul_get_vector(&reader, BUNDLE_ARGV_MAX, &task.argv) ||
            !task.argv[0] || !nul_get_vector(&reader, BUNDLE_ARGV_MAX, &task.plain_argv) ||
            !nul_get_text(&reader, &task.output) || !nul_reader_is_over(&reader))
                return -EBADMSG;
        if (task.output[0] == '\0')
                task.output = NULL;
        else if (task.output[0] != '/')
                return -EBADMSG;
        if (!task.plain_argv[0]) {
                free(task.plain_argv);
                task.plain_argv = NULL;
        }
        *ret = (BundleTask){ .argv = TAKE_PTR(task.argv),
                             .plain_argv = TAKE_PTR(task.plain_argv),
                             .output = task.output };
        return 0;
}

void bundle_task_done(BundleTask *task) {
        free(task->argv);
        free(task->plain_argv);
        *task = (BundleTask){ 0 };
}

static int put_task(NulWriter *writer, const BundleTask *task, Error *error) {
        _cleanup_free_ char *bytes = NULL;
        size_t n;
        int r;

        r = bundle_task_compose(task, &bytes, &n);
        if (r < 0)
                return error_set(error, r, "out of memory");
        if (n > BUNDLE_TASK_MAX)
                return error_set(error, -E2BIG,
                                 "the command is too long: at most 4M of words can be kept");
        nul_put_bytes(writer, bytes, n);
        return 0;
}

/* A memfd with these bytes that stays as it is. */
static int make_sealed(int *ret_fd, const char *bytes, size_t n) {
        _cleanup_close_ int fd = memfd_create("taskflow-bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r;

        if (fd < 0)
                return -errno;
        r = fd_write_all(fd, bytes, n);
        if (r < 0)
                return r;
        if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int bundle_seal(int *ret_fd,
                const char *context,
                size_t n_context,
                const BundleTask *tasks,
                size_t n_tasks,
                Error *error) {
        _cleanup_(nul_writer_done) NulWriter writer = { 0 };
        _cleanup_free_ char *bytes = NULL;
        size_t n;
        int r;

        nul_put_text(&writer, MAGIC);
        nul_put_bytes(&writer, context, n_context);
        nul_put_number(&writer, n_tasks);
        for (size_t i = 0; i < n_tasks; i++) {
                r = put_task(&writer, &tasks[i], error);
                if (r < 0)
                        return r;
        }
        if (writer.n > BUNDLE_MAX)
                return error_set(error, -E2BIG,
                                 "the commands are too long: at most 64M can be submitted at once");
        r = nul_writer_take(&writer, &bytes, &n);
        if (r >= 0)
                r = make_sealed(ret_fd, bytes, n);
        return r < 0 ? error_set(error, r, "cannot hand the command over: %s", strerror(-r)) : 0;
}

int bundle_capture(int *ret_fd, const BundleTask *tasks, size_t n_tasks, Error *error) {
        _cleanup_free_ char *context = NULL;
        size_t n;
        int r;

        r = context_capture(&context, &n, error);
        if (r < 0)
                return r;
        return bundle_seal(ret_fd, context, n, tasks, n_tasks, error);
}

/* Whether a context and tasks are what they should be; they are read again by whoever needs them. */
static int check_parts(const Bundle *bundle) {
        _cleanup_(context_freep) Context *context = NULL;
        int r;

        r = context_parse(&context, bundle->context.bytes, bundle->context.n);
        for (size_t i = 0; i < bundle->n_tasks && r == 0; i++) {
                _cleanup_(bundle_task_done) BundleTask task = { 0 };

                r = bundle_task_parse(&task, bundle->tasks[i].bytes, bundle->tasks[i].n);
        }
        return r;
}

int bundle_parse(Bundle **ret, const char *bytes, size_t n) {
        _cleanup_(bundle_freep) Bundle *bundle = NULL;
        NulReader reader = nul_reader(bytes, n);
        BundlePart context;
        const char *magic;
        uint64_t n_tasks;
        int r;

        if (n > BUNDLE_MAX || !nul_get_text(&reader, &magic) || strcmp(magic, MAGIC) != 0 ||
            !nul_get_bytes(&reader, &context.bytes, &context.n) ||
            !nul_get_number(&reader, 1, BUNDLE_TASKS_MAX, &n_tasks))
                return -EBADMSG;

        bundle = calloc(1, sizeof(*bundle) + (size_t)n_tasks * sizeof(*bundle->tasks));
        if (!bundle)
                return -ENOMEM;
        bundle->context = context;
        bundle->n_tasks = (size_t)n_tasks;
        for (size_t i = 0; i < n_tasks; i++)
                if (!nul_get_bytes(&reader, &bundle->tasks[i].bytes, &bundle->tasks[i].n))
                        return -EBADMSG;
        if (!nul_reader_is_over(&reader))
                return -EBADMSG;
        r = check_parts(bundle);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bundle);
        return 0;
}

/* Without the seals its bytes could become others between two looks, or end sooner than they did. */
static int map_sealed(int fd, void **ret, size_t *ret_n, Error *error) {
        int seals = fcntl(fd, F_GET_SEALS);
        struct stat st;
        void *map;

        if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || st.st_size <= 0 ||
            (uint64_t)st.st_size > BUNDLE_MAX)
                return error_set(error, -EBADMSG, "what came is no sealed bundle");
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
                return error_set(error, -errno, "cannot read the bundle: %s", strerror(errno));
        *ret = map;
        *ret_n = (size_t)st.st_size;
        return 0;
}

int bundle_open(Bundle **ret, int fd, Error *error) {
        Bundle *bundle;
        void *map = NULL;
        size_t n = 0;
        int r;

        r = map_sealed(fd, &map, &n, error);
        if (r < 0)
                return r;
        r = bundle_parse(&bundle, map, n);
        if (r < 0) {
                (void)munmap(map, n);
                return error_set(error, r,
                                 r == -EBADMSG ? "what came is no bundle that this taskflow knows" :
                                                 "out of memory");
        }
        bundle->map = map;
        bundle->n_map = n;
        *ret = bundle;
        return 0;
}

Bundle *bundle_free(Bundle *bundle) {
        if (!bundle)
                return NULL;
        if (bundle->map)
                (void)munmap(bundle->map, bundle->n_map);
        free(bundle);
        return NULL;
}

BundlePart bundle_context(const Bundle *bundle) {
        return bundle->context;
}

size_t bundle_n_tasks(const Bundle *bundle) {
        return bundle->n_tasks;
}

BundlePart bundle_task(const Bundle *bundle, size_t i) {
        return bundle->tasks[i];
}
