/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The floor under `taskflow run`: what it costs at least to ask a server once and to run a program.
 *
 *     floor serve SOCKET             answers every request with one message, until its stdin ends
 *     floor run SOCKET PROGRAM...    asks once, runs the program, exits with its status
 *
 * It knows no task, no JSON and no signals, and links nothing but libc.
 */

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
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

static int run(const char *path, char **argv) {
        struct sockaddr_un address = address_of(path);
        char reply[256];
        int status;
        pid_t pid;
        int fd;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                die(path);
        if (write(fd, "may I?", 6) != 6 || read(fd, reply, sizeof(reply)) <= 0)
                die("asking");

        errno = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
        if (errno != 0)
                die(argv[0]);
        if (waitpid(pid, &status, 0) < 0)
                die("waitpid");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
        if (argc == 3 && strcmp(argv[1], "serve") == 0)
                return serve(argv[2]);
        if (argc >= 4 && strcmp(argv[1], "run") == 0)
                return run(argv[2], argv + 3);
        (void)fprintf(stderr, "floor: see the top of floor.c\n");
        return FAILED;
}
