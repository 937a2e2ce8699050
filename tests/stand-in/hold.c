/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * hold - a program that takes what it is told to take
 *
 *     hold [CLAUSE]…        each in its turn; at the end it sleeps until a signal comes
 *
 *     ram SIZE              allocate so much RAM and touch every page of it
 *     shm SIZE              the same, shared with the children that come later
 *     gpu ID SIZE           take memory of a stand-in GPU (nvml.c): an index or a UUID
 *     drop                  give all of the above back
 *     fork N                N children; they and this process all run the clauses behind it
 *     wait SECONDS          fractions are allowed: `wait 0.2`
 *     say TEXT              a line on stdout
 *     touch FILE            make a file, so that a test sees how far this is
 *     until FILE            wait until the file is there
 *     stdin                 wait for the end of stdin
 *     exit STATUS           end now
 *
 * SIZE is in bytes, or ends in K, M, G or T (powers of 1024). So
 *
 *     hold wait 1 ram 2G gpu 0 10G wait 60 exit 0
 *
 * takes a second to begin, and a minute to end. SIGTERM, SIGINT and SIGHUP end it as they end any
 * program. The file that stands for its GPU memory is removed at the end; after a SIGKILL it stays,
 * and means nothing.
 */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
        BLOCKS_MAX = 64,
        STATUS_USAGE = 2,
        STEP_MS = 10,
};

typedef struct Block {
        void *address;
        size_t n_bytes;
} Block;

static Block blocks[BLOCKS_MAX];
static size_t n_blocks;
static char gpu_text[4096];
static char gpu_path[PATH_MAX]; /* empty: none */

static _Noreturn void give_up(const char *what) {
        (void)fprintf(stderr, "hold: %s: %s\n", what, errno ? strerror(errno) : "not understood");
        _exit(STATUS_USAGE);
}

static uint64_t parse_size(const char *word) {
        static const char units[] = "KMGT";
        const char *unit;
        uint64_t value;
        char *end = NULL;

        errno = 0;
        value = strtoull(word, &end, 10);
        if (end == word || errno != 0)
                give_up(word);
        if (*end == '\0')
                return value;
        unit = strchr(units, toupper((unsigned char)*end));
        if (!unit)
                give_up(word);
        return value << (10 * (unit - units + 1));
}

/* A signal must not leave the file behind; unlink(), _exit() and raise() may be called here. */
static void on_signal(int number) {
        if (gpu_path[0] != '\0')
                (void)unlink(gpu_path);
        (void)signal(number, SIG_DFL);
        (void)raise(number);
}

static void sleep_ms(long ms) {
        struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

        while (nanosleep(&t, &t) < 0 && errno == EINTR)
                ;
}

static void take_ram(uint64_t n_bytes, int flags) {
        volatile char *p;
        long page = sysconf(_SC_PAGESIZE);

        if (n_blocks == BLOCKS_MAX)
                give_up("too many blocks");
        p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
                give_up("mmap");
        for (uint64_t i = 0; i < n_bytes; i += (uint64_t)page)
                p[i] = (char)(i / (uint64_t)page + 1); /* not zero: such pages may be shared */
        blocks[n_blocks++] = (Block){ .address = (void *)(uintptr_t)p, .n_bytes = n_bytes };
}

/* Under another name first, which the stand-in does not look at: it must never see half a file. */
static void write_gpu_file(void) {
        const char *script = getenv("TASKFLOW_TEST_NVML");
        char temporary[PATH_MAX];
        FILE *f;

        if (!script)
                give_up("TASKFLOW_TEST_NVML is not set");
        (void)snprintf(temporary, sizeof(temporary), "%s.d", script);
        if (mkdir(temporary, 0777) < 0 && errno != EEXIST)
                give_up(temporary);
        (void)snprintf(temporary, sizeof(temporary), "%s.d/.%d", script, getpid());
        (void)snprintf(gpu_path, sizeof(gpu_path), "%s.d/%d", script, getpid());

        f = fopen(temporary, "we");
        if (!f || fputs(gpu_text, f) < 0 || fclose(f) != 0 || rename(temporary, gpu_path) < 0)
                give_up(gpu_path);
}

static void take_gpu(const char *id, const char *size) {
        size_t n = strlen(gpu_text);

        (void)snprintf(gpu_text + n, sizeof(gpu_text) - n, "%s %s\n", id, size);
        write_gpu_file();
}

static void drop(void) {
        for (size_t i = 0; i < n_blocks; i++)
                (void)munmap(blocks[i].address, blocks[i].n_bytes);
        n_blocks = 0;
        if (gpu_path[0] != '\0')
                (void)unlink(gpu_path);
        gpu_path[0] = '\0';
        gpu_text[0] = '\0';
}

/* A child has its parent's RAM, shared until one of them writes, and none of its GPU memory. */
static void fork_children(uint64_t n) {
        for (uint64_t i = 0; i < n; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        give_up("fork");
                if (pid == 0) {
                        gpu_path[0] = '\0';
                        gpu_text[0] = '\0';
                        return;
                }
        }
}

static void touch(const char *path) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

        if (fd < 0)
                give_up(path);
        (void)close(fd);
}

static void wait_for_stdin(void) {
        char buf[256];
        ssize_t n;

        do
                n = read(STDIN_FILENO, buf, sizeof(buf));
        while (n > 0 || (n < 0 && errno == EINTR));
}

static _Noreturn void end(int status) {
        drop();
        exit(status);
}

/* Clauses with one word. */
static void run_clause(const char *clause, const char *word) {
        errno = 0;
        if (!word)
                give_up(clause);
        if (strcmp(clause, "ram") == 0)
                take_ram(parse_size(word), MAP_PRIVATE);
        else if (strcmp(clause, "shm") == 0)
                take_ram(parse_size(word), MAP_SHARED);
        else if (strcmp(clause, "fork") == 0)
                fork_children(parse_size(word));
        else if (strcmp(clause, "wait") == 0)
                sleep_ms((long)(strtod(word, NULL) * 1000));
        else if (strcmp(clause, "say") == 0)
                (void)(puts(word), fflush(stdout));
        else if (strcmp(clause, "touch") == 0)
                touch(word);
        else if (strcmp(clause, "exit") == 0)
                end((int)parse_size(word));
        else if (strcmp(clause, "until") == 0)
                while (access(word, F_OK) < 0)
                        sleep_ms(STEP_MS);
        else
                give_up(clause);
}

int main(int argc, char **argv) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP };

        for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
                /* What was ignored stays so: nohup, and shells that put us in the background. */
                if (signal(signals[i], on_signal) == SIG_IGN)
                        (void)signal(signals[i], SIG_IGN);

        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], "drop") == 0) {
                        drop();
                } else if (strcmp(argv[i], "stdin") == 0) {
                        wait_for_stdin();
                } else if (strcmp(argv[i], "gpu") == 0 && i + 2 < argc) {
                        take_gpu(argv[i + 1], argv[i + 2]);
                        i += 2;
                } else {
                        run_clause(argv[i], argv[i + 1]);
                        i++;
                }
        }
        for (;;)
                (void)pause();
}
