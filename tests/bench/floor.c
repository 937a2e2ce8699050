/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The floors under taskflow: what its work costs at least.
 *
 *     floor serve SOCKET             answers every request with one message, until its stdin ends
 *     floor run SOCKET PROGRAM...    asks once, runs the program, exits with its status
 *     floor queue SOCKET FILE        asks once, and writes 256 bytes to the disk at the end of FILE
 *     floor stamp FILE               writes when it began and when it ended, in nanoseconds, at the end of FILE
 *     floor drain N WORKERS PROGRAM  runs the program N times, always WORKERS of them at once
 *
 * It knows no task, no JSON and no signals, and links nothing but libc.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
        FAILED = 125,
        BACKLOG = 16,
};

static _Noreturn void die(const char *what) {
        perror(what);
        exit(FAILED);
}

static struct sockaddr_un address_of(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof(address.sun_path)) {
                errno = ENAMETOOLONG;
                die(path);
        }
        (void)strcpy(address.sun_path, path);
        return address;
}

static void answer(int peer_fd) {
        char request[256];
        ssize_t n;

        n = read(peer_fd, request, sizeof(request));
        if (n > 0 && write(peer_fd, request, (size_t)n) != n)
                die("write");
}

static int serve(const char *path) {
        struct sockaddr_un address = address_of(path);
        struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };

        fds[1].fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fds[1].fd < 0 || bind(fds[1].fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(fds[1].fd, BACKLOG) < 0)
                die(path);

        for (;;) {
                int peer_fd;

                if (poll(fds, 2, -1) < 0)
                        die("poll");
                if (fds[0].revents != 0)
                        return 0;
                peer_fd = accept4(fds[1].fd, NULL, NULL, SOCK_CLOEXEC);
                if (peer_fd < 0)
                        die("accept");
                answer(peer_fd);
                (void)close(peer_fd);
        }
}

static void ask(const char *path) {
        struct sockaddr_un address = address_of(path);
        char reply[256];
        int fd;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                die(path);
        if (write(fd, "may I?", 6) != 6 || read(fd, reply, sizeof(reply)) <= 0)
                die("asking");
}

static void start(char **argv) {
        pid_t pid;

        errno = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
        if (errno != 0)
                die(argv[0]);
}

static int wait_for_one(void) {
        int status;

        if (wait(&status) < 0)
                die("wait");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const char *path, char **argv) {
        ask(path);
        start(argv);
        return wait_for_one();
}

static int queue(const char *path, const char *file) {
        char bytes[256] = { 1 };
        int fd;

        ask(path);
        fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes) ||
            fdatasync(fd) < 0)
                die(file);
        return 0;
}

static unsigned long long now_ns(void) {
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec;
}

static int stamp(const char *file) {
        unsigned long long begin = now_ns();
        FILE *f = fopen(file, "ae");

        if (!f)
                die(file);
        (void)fprintf(f, "%llu %llu\n", begin, now_ns());
        return fclose(f) == 0 ? 0 : FAILED;
}

static int drain(unsigned n, unsigned n_workers, char **argv) {
        unsigned n_started = 0, n_ended = 0;

        while (n_ended < n) {
                while (n_started < n && n_started - n_ended < n_workers) {
                        start(argv);
                        n_started++;
                }
                if (wait_for_one() != 0)
                        return FAILED;
                n_ended++;
        }
        return 0;
}

int main(int argc, char **argv) {
        if (argc == 3 && strcmp(argv[1], "serve") == 0)
                return serve(argv[2]);
        if (argc >= 4 && strcmp(argv[1], "run") == 0)
                return run(argv[2], argv + 3);
        if (argc == 4 && strcmp(argv[1], "queue") == 0)
                return queue(argv[2], argv[3]);
        if (argc == 3 && strcmp(argv[1], "stamp") == 0)
                return stamp(argv[2]);
        if (argc >= 5 && strcmp(argv[1], "drain") == 0)
                return drain((unsigned)strtoul(argv[2], NULL, 10),
                             (unsigned)strtoul(argv[3], NULL, 10), argv + 4);
        (void)fprintf(stderr, "floor: see the top of floor.c\n");
        return FAILED;
}
