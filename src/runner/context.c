/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * As bytes: magic, folder, then numbers in decimal, the mask of CPUs in hexadecimal, the environment last; util/nul-text.h. What
 * can be negative is stored with an offset. Another version of taskflow may have left the bytes in the agent's store: the magic
 * has the version, and the limits, of which kernels get more, are counted.
 */

#include "runner/context.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/nul-text.h"

#define MAGIC "taskflow-context-2"

enum {
        NICE_OFFSET = 20,
        IO_PRIORITY_MAX = 0xffff,
        MODE_MAX = 0777,
        LIMITS_MAX =
                64, /* as many as any kernel may have one day; those that we do not know are passed over */
};

static const struct {
        const char *file;
        const char *what;
} namespaces[N_CONTEXT_NAMESPACES] = {
        { "mnt", "the mounts" },          { "net", "the network" },
        { "pid", "the process numbers" }, { "user", "the user numbers" },
        { "ipc", "the shared memory" },   { "uts", "the host name" },
};

static uint64_t read_namespace(pid_t pid, size_t i) {
        char path[48];
        struct stat st;

        (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, namespaces[i].file);
        return stat(path, &st) == 0 ? st.st_ino : 0;
}

void context_look_at(Context *context, pid_t pid) {
        for (size_t i = 0; i < N_CONTEXT_NAMESPACES; i++)
                context->namespaces[i] = read_namespace(pid, i);
}

static int read_nice(void) {
        int nice;

        errno = 0;
        nice = getpriority(PRIO_PROCESS, 0);
        return errno == 0 ? nice : 0;
}

static int read_io_priority(void) {
        long priority = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);

        return priority >= 0 && priority <= IO_PRIORITY_MAX ? (int)priority : 0;
}

static int compare_groups(const void *a, const void *b) {
        gid_t x = *(const gid_t *)a;
        gid_t y = *(const gid_t *)b;

        return (x > y) - (x < y);
}

/* Sorted, so that equal contexts are equal bytes. Return: 0, or negative errno. */
static int read_groups(gid_t **ret, size_t *ret_n) {
        _cleanup_free_ gid_t *groups = NULL;
        int n = getgroups(0, NULL);

        if (n < 0)
                return -errno;
        groups = calloc((size_t)n + 1, sizeof(*groups));
        if (!groups)
                return -ENOMEM;
        n = getgroups(n, groups);
        if (n < 0)
                return -errno;
        qsort(groups, (size_t)n, sizeof(*groups), compare_groups);
        *ret = TAKE_PTR(groups);
        *ret_n = (size_t)n;
        return 0;
}

static void put_limits(NulWriter *writer) {
        nul_put_number(writer, N_CONTEXT_LIMITS);
        for (size_t i = 0; i < N_CONTEXT_LIMITS; i++) {
                struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

                (void)getrlimit((__rlimit_resource_t)i, &limit);
                nul_put_number(writer, limit.rlim_cur);
                nul_put_number(writer, limit.rlim_max);
        }
}

static void put_cpus(NulWriter *writer) {
        unsigned char cpus[CONTEXT_CPUS_BYTES];
        static const char digits[] = "0123456789abcdef";
        char text[2 * CONTEXT_CPUS_BYTES + 1];
        char *end = text;
        long n = syscall(SYS_sched_getaffinity, 0, sizeof(cpus), cpus);

        for (long i = 0; i < n; i++) {
                *end++ = digits[cpus[i] >> 4];
                *end++ = digits[cpus[i] & 0xf];
        }
        *end = '\0';
        nul_put_text(writer, text);
}

static int put_groups(NulWriter *writer) {
        _cleanup_free_ gid_t *groups = NULL;
        size_t n;
        int r;

        r = read_groups(&groups, &n);
        if (r < 0)
                return r;
        nul_put_number(writer, getegid());
        nul_put_number(writer, n);
        for (size_t i = 0; i < n; i++)
                nul_put_number(writer, groups[i]);
        return 0;
}

/* The mask can be read only by setting it; nobody else runs in this process meanwhile. */
static mode_t read_umask(void) {
        mode_t mask = umask(077);

        (void)umask(mask);
        return mask;
}

int context_capture(char **ret, size_t *ret_n, Error *error) {
        _cleanup_(nul_writer_done) NulWriter writer = { 0 };
        _cleanup_free_ char *cwd = getcwd(NULL, 0);
        int nice, r;

        if (!cwd)
                return error_set(error, -errno, "cannot find the current folder: %s",
                                 strerror(errno));
        if (cwd[0] != '/')
                return error_set(error, -ENOENT,
                                 "the current folder cannot be reached by its path");

        nul_put_text(&writer, MAGIC);
        nul_put_text(&writer, cwd);
        nul_put_number(&writer, read_umask());
        put_limits(&writer);
        nice = read_nice() + NICE_OFFSET;
        nul_put_number(&writer, (uint64_t)nice);
        nul_put_number(&writer, (uint64_t)read_io_priority());
        put_cpus(&writer);
        r = put_groups(&writer);
        if (r < 0)
                return error_set(error, r, "cannot read the groups: %s", strerror(-r));
        nul_put_vector(&writer, environ);

        if (writer.n > CONTEXT_MAX)
                return error_set(error, -E2BIG,
                                 "the environment is too large: at most 8M can be kept");
        r = nul_writer_take(&writer, ret, ret_n);
        return r < 0 ? error_set(error, r, "out of memory") : 0;
}

static bool get_limits(NulReader *reader, Context *context) {
        uint64_t n, soft, hard;

        if (!nul_get_number(reader, 0, LIMITS_MAX, &n))
                return false;
        for (size_t i = 0; i < N_CONTEXT_LIMITS; i++)
                context->limits[i] = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
        for (size_t i = 0; i < n; i++) {
                if (!nul_get_number(reader, 0, UINT64_MAX, &soft) ||
                    !nul_get_number(reader, 0, UINT64_MAX, &hard) || soft > hard)
                        return false;
                if (i < N_CONTEXT_LIMITS)
                        context->limits[i] = (struct rlimit){ soft, hard };
        }
        return true;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool get_cpus(NulReader *reader, Context *context) {
        const char *text;
        size_t n;

        if (!nul_get_text(reader, &text))
                return false;
        n = strlen(text);
        if (n % 2 != 0 || n / 2 > CONTEXT_CPUS_BYTES)
                return false;
        for (size_t i = 0; i < n / 2; i++) {
                int high = hex_digit(text[2 * i]);
                int low = hex_digit(text[2 * i + 1]);

                if (high < 0 || low < 0)
                        return false;
                context->cpus[i] = (unsigned char)(high << 4 | low);
        }
        context->n_cpus_bytes = n / 2;
        return true;
}

static bool get_groups(NulReader *reader, Context *context) {
        uint64_t gid, n;

        if (!nul_get_number(reader, 0, UINT32_MAX, &gid) ||
            !nul_get_number(reader, 0, CONTEXT_GROUPS_MAX, &n))
                return false;
        context->gid = (gid_t)gid;
        context->groups = calloc((size_t)n + 1, sizeof(*context->groups));
        if (!context->groups)
                return false;
        for (size_t i = 0; i < n; i++) {
                if (!nul_get_number(reader, 0, UINT32_MAX, &gid))
                        return false;
                context->groups[i] = (gid_t)gid;
        }
        context->n_groups = (size_t)n;
        return true;
}

static bool get_numbers(NulReader *reader, Context *context) {
        uint64_t mask, nice, io_priority;

        if (!nul_get_number(reader, 0, MODE_MAX, &mask) || !get_limits(reader, context) ||
            !nul_get_number(reader, 0, 2 * NICE_OFFSET - 1, &nice) ||
            !nul_get_number(reader, 0, IO_PRIORITY_MAX, &io_priority) ||
            !get_cpus(reader, context) || !get_groups(reader, context))
                return false;
        context->umask = (mode_t)mask;
        context->nice = (int)nice - NICE_OFFSET;
        context->io_priority = (int)io_priority;
        return true;
}

int context_parse(Context **ret, const char *bytes, size_t n) {
        _cleanup_(context_freep) Context *context = NULL;
        NulReader reader = nul_reader(bytes, n);
        const char *magic;

        if (n > CONTEXT_MAX)
                return -EBADMSG;
        context = calloc(1, sizeof(*context));
        if (!context)
                return -ENOMEM;
        if (!nul_get_text(&reader, &magic) || strcmp(magic, MAGIC) != 0 ||
            !nul_get_text(&reader, &context->cwd) || context->cwd[0] != '/' ||
            !get_numbers(&reader, context) ||
            !nul_get_vector(&reader, CONTEXT_ENVIRONMENT_MAX, &context->environment) ||
            !nul_reader_is_over(&reader))
                return -EBADMSG;
        *ret = TAKE_PTR(context);
        return 0;
}

Context *context_free(Context *context) {
        if (!context)
                return NULL;
        free(context->groups);
        free(context->environment);
        free(context);
        return NULL;
}

/* As near to @want as this process may come; most are as they are wanted already. */
static void set_limit(__rlimit_resource_t resource, const struct rlimit *want) {
        struct rlimit have, next = *want;

        if (getrlimit(resource, &have) < 0 ||
            (have.rlim_cur == want->rlim_cur && have.rlim_max == want->rlim_max) ||
            setrlimit(resource, &next) == 0)
                return;
        next.rlim_max = MIN(want->rlim_max, have.rlim_max);
        next.rlim_cur = MIN(want->rlim_cur, next.rlim_max);
        (void)setrlimit(resource, &next);
}

/* Looks first: setting them makes the scheduler think. */
static void set_cpus(const Context *context) {
        unsigned char cpus[CONTEXT_CPUS_BYTES];
        long n = syscall(SYS_sched_getaffinity, 0, sizeof(cpus), cpus);

        if (context->n_cpus_bytes == 0 ||
            (n == (long)context->n_cpus_bytes && memcmp(cpus, context->cpus, (size_t)n) == 0))
                return;
        (void)syscall(SYS_sched_setaffinity, 0, context->n_cpus_bytes, context->cpus);
}

/*
 * Limits last, since they are ours as well from then on. Everything but the folder is done as far as it may be, and nothing is
 * said of it: a command that runs at another priority is better than one that does not run.
 */
int context_apply(const Context *context) {
        if (chdir(context->cwd) < 0)
                return errno;
        (void)umask(context->umask);
        if (read_nice() != context->nice)
                (void)setpriority(PRIO_PROCESS, 0, context->nice);
        if (read_io_priority() != context->io_priority)
                (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, context->io_priority);
        set_cpus(context);
        for (size_t i = 0; i < N_CONTEXT_LIMITS; i++)
                set_limit((__rlimit_resource_t)i, &context->limits[i]);
        return 0;
}

/* Of the capabilities in force. */
static bool has_capability(unsigned capability) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

        return syscall(SYS_capget, &header, data) == 0 &&
               data[capability / 32].effective & UINT32_C(1) << capability % 32;
}

static void miss_limits(const Context *context, FILE *out) {
        static const struct {
                __rlimit_resource_t resource;
                const char *what;
        } limits[] = {
                { RLIMIT_NOFILE, "open files" },
                { RLIMIT_NPROC, "processes" },
                { RLIMIT_MEMLOCK, "locked memory" },
                { RLIMIT_STACK, "stack" },
                { RLIMIT_CORE, "core files" },
                { RLIMIT_AS, "address space" },
                { RLIMIT_DATA, "data" },
                { RLIMIT_FSIZE, "file size" },
                { RLIMIT_CPU, "CPU time" },
                { RLIMIT_RTPRIO, "real-time priority" },
                { RLIMIT_NICE, "raising of nice" },
                { RLIMIT_MSGQUEUE, "message queues" },
                { RLIMIT_SIGPENDING, "queued signals" },
        };

        if (has_capability(CAP_SYS_RESOURCE))
                return;
        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                rlim_t want = context->limits[limits[i].resource].rlim_max;
                struct rlimit have;

                if (getrlimit(limits[i].resource, &have) == 0 && want > have.rlim_max)
                        (void)fprintf(out, ", its limit of %s", limits[i].what);
        }
}

static void miss_nice(const Context *context, FILE *out) {
        struct rlimit limit = { 0 };

        if (context->nice >= read_nice() || has_capability(CAP_SYS_NICE))
                return;
        /* setrlimit(2): the limit is 20 less the lowest nice that may be had */
        if (getrlimit(RLIMIT_NICE, &limit) == 0 &&
            (rlim_t)(NICE_OFFSET - context->nice) <= limit.rlim_cur)
                return;
        (void)fprintf(out, ", nice %d", context->nice);
}

static int miss_groups(const Context *context, FILE *out) {
        _cleanup_free_ gid_t *groups = NULL;
        size_t n;
        int r;

        r = read_groups(&groups, &n);
        if (r < 0)
                return r;
        if (context->gid != getegid())
                (void)fprintf(out, ", group %u as its own", context->gid);
        for (size_t i = 0; i < context->n_groups; i++) {
                gid_t gid = context->groups[i];

                if (gid != getegid() && !bsearch(&gid, groups, n, sizeof(gid), compare_groups))
                        (void)fprintf(out, ", group %u", gid);
        }
        return 0;
}

static void miss_namespaces(const Context *context, FILE *out) {
        static uint64_t own[N_CONTEXT_NAMESPACES];

        for (size_t i = 0; i < N_CONTEXT_NAMESPACES; i++) {
                uint64_t have = own[i] ? own[i] : (own[i] = read_namespace(getpid(), i));

                if (have != 0 && context->namespaces[i] != 0 && have != context->namespaces[i])
                        (void)fprintf(out, ", %s of this place (another namespace)",
                                      namespaces[i].what);
        }
}

int context_missing(const Context *context, char **ret) {
        static const char separator[] = ", ";
        _cleanup_free_ char *list = NULL;
        size_t n;
        FILE *out;
        int r;

        out = open_memstream(&list, &n);
        if (!out)
                return -ENOMEM;
        miss_limits(context, out);
        miss_nice(context, out);
        r = miss_groups(context, out);
        miss_namespaces(context, out);
        if (fclose(out) != 0)
                return -ENOMEM;
        if (r < 0)
                return r;

        *ret = NULL;
        if (n == 0)
                return 0;
        if (asprintf(ret, "the command will run without %s: the agent, which starts it, has it not",
                     list + strlen(separator)) < 0)
                return -ENOMEM;
        return 0;
}
