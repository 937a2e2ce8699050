/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "client/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/agent-start.h"
#include "client/clean-start.h"
#include "client/connect.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/fd.h"
#include "wire/places.h"

enum {
        ANSWER_TIMEOUT_US = 10 * 1000 * 1000,
        RETRY_MS = 20,
};

/* FNV-1a */
static uint32_t hash_of(const char *s) {
        uint32_t hash = UINT32_C(0x811c9dc5);

        for (; *s; s++)
                hash = (hash ^ (unsigned char)*s) * UINT32_C(0x01000193);
        return hash;
}

/* "named-…": of the path as it is from everywhere. */
static int name_of_socket(const char *path, char buf[static 32], Error *error) {
        _cleanup_free_ char *cwd = NULL, *whole = NULL;

        if (path[0] != '/') {
                cwd = getcwd(NULL, 0);
                if (!cwd)
                        return error_set(error, -errno, "cannot tell the full path of '%s': %s",
                                         path, strerror(errno));
                if (asprintf(&whole, "%s/%s", cwd, path) < 0)
                        return error_set(error, -ENOMEM, "out of memory");
        }
        (void)snprintf(buf, 32, "named-%08" PRIx32, hash_of(whole ? whole : path));
        return 0;
}

int client_agent_dir(char **ret, Error *error) {
        const char *named = getenv("TASKFLOW_SOCKET");
        _cleanup_free_ char *state = NULL;
        char place[32] = "personal";
        int r;

        if (named && named[0] != '\0') {
                r = name_of_socket(named, place, error);
                if (r < 0)
                        return r;
        } else if (places_machine_has_daemon()) {
                (void)strcpy(place, "machine");
        }
        r = places_personal_state(&state, error);
        if (r < 0)
                return r;
        if (asprintf(ret, "%s/agent-%s", state, place) < 0) {
                *ret = NULL;
                return error_set(error, -ENOMEM, "out of memory");
        }
        return 0;
}

/* Return: 0; CLIENT_E_UNREACHABLE: nobody listens; CLIENT_E_BAD: not us; or negative errno; with @error. */
static int connect_to(const char *folder, Client **ret, Error *error) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -1;
        struct ucred peer;
        socklen_t n = sizeof(peer);
        Place place;
        int r;

        if (asprintf(&path, "%s/sock", folder) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        r = connect_socket(path, &fd);
        if (r == -EAGAIN)
                return error_set(error, r, "the agent at '%s' does not answer", path);
        if (r < 0)
                return error_set(error, CLIENT_E_UNREACHABLE,
                                 "no agent is running; 'taskflow run -D' starts one");

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
                return error_set(error, -errno, "cannot tell who listens at '%s': %s", path,
                                 strerror(errno));
        if (peer.uid != geteuid())
                return error_set(error, CLIENT_E_BAD, "uid %u listens at '%s', not you: not used",
                                 peer.uid, path);

        place = (Place){ .kind = DAEMON_KIND_NAMED, .fd = TAKE_FD(fd), .path = TAKE_PTR(path) };
        return client_new(ret, &place, "the agent", error);
}

/* What it said when it did not come. */
static int refuse_by_log(const char *folder, long log_start, Error *error) {
        _cleanup_free_ char *path = NULL, *line = NULL;
        _cleanup_close_ int fd = -1;

        if (asprintf(&path, "%s/agent.log", folder) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        line = fd < 0 ? NULL : clean_start_last_line(fd, log_start);
        return error_set(error, CLIENT_E_UNREACHABLE,
                         "the agent that runs detached tasks was started, but does not answer%s%s; "
                         "see '%s'",
                         line ? ": " : "", line ? line : "", path);
}

static int await(const char *folder, long log_start, Client **ret, Error *error) {
        uint64_t until_us = clock_boottime_us() + ANSWER_TIMEOUT_US;
        int r;

        while ((r = connect_to(folder, ret, error)) == CLIENT_E_UNREACHABLE) {
                if (clock_boottime_us() >= until_us)
                        return refuse_by_log(folder, log_start, error);
                (void)poll(NULL, 0, RETRY_MS);
        }
        return r;
}

static void say_where_it_lives(AgentLife life) {
        if (life == AGENT_LIFE_SESSION)
                (void)fprintf(
                        stderr,
                        "taskflow: detached tasks end when you log out, as this machine is set "
                        "up; 'taskflow agent enable' changes that\n");
}

static int start(const char *folder, unsigned flags, Client **ret, Error *error) {
        AgentLife life = AGENT_LIFE_DETACHED;
        long log_start = 0;
        int r;

        r = agent_start(folder, &life, &log_start, error);
        if (r == AGENT_START_E_FAILED)
                return CLIENT_E_UNREACHABLE;
        if (r < 0)
                return r;
        r = await(folder, log_start, ret, error);
        if (r == 0 && !(flags & CLIENT_QUIET))
                say_where_it_lives(life);
        return r;
}

int client_connect_agent(Client **ret, unsigned flags, Error *error) {
        _cleanup_free_ char *folder = NULL;
        int r;

        r = client_agent_dir(&folder, error);
        if (r == 0)
                r = places_check_state(error);
        if (r < 0)
                return r == -ENOENT || r == -EPERM ? CLIENT_E_UNREACHABLE : r;

        r = connect_to(folder, ret, error);
        if (r == CLIENT_E_UNREACHABLE && (flags & CLIENT_START))
                r = start(folder, flags, ret, error);
        return r == CLIENT_E_BAD ? CLIENT_E_UNREACHABLE : r;
}

/* Whether a folder has records in it, whose names begin with the id of their task. */
static bool has_records(const char *path) {
        DIR *dir = opendir(path);
        struct dirent *entry;

        if (!dir)
                return false;
        do {
                entry = readdir(dir);
        } while (entry && !(entry->d_name[0] >= '1' && entry->d_name[0] <= '9'));
        (void)closedir(dir);
        return entry != NULL;
}

static bool is_there(const char *folder, const char *name) {
        _cleanup_free_ char *path = NULL;

        return asprintf(&path, "%s/%s", folder, name) >= 0 && access(path, F_OK) == 0;
}

/* An agent that ends with nothing left to do removes its database. */
bool client_agent_has_work(void) {
        _cleanup_free_ char *folder = NULL, *run = NULL;

        if (client_agent_dir(&folder, NULL) < 0)
                return false;
        if (is_there(folder, "agent.db"))
                return true;
        return asprintf(&run, "%s/run", folder) >= 0 && has_records(run);
}

bool client_agent_is_stopped(void) {
        _cleanup_free_ char *folder = NULL;

        return client_agent_dir(&folder, NULL) == 0 && is_there(folder, "stopped");
}
