/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * systemd is asked by way of its program: what only the start of an agent needs is no reason to load its library into every
 * command.
 */

#include "client/agent-start.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/clean-start.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/string-table.h"
#include "util/strv.h"
#include "wire/places.h"

enum {
        CONF_BYTES_MAX = 1024 * 1024,
        PATH_BYTES_MAX = 4096,
        N_RUN_WORDS = 32, /* of the words to systemd-run, variables apart */
};

static const char *const agent_life_table[] = {
        [AGENT_LIFE_DETACHED] = "detached",
        [AGENT_LIFE_SYSTEMD] = "systemd",
        [AGENT_LIFE_SESSION] = "session",
};

const char *agent_life_to_string(AgentLife life) {
        return agent_life_table[life];
}

/* What one file says of KillUserProcesses; @ret stays if that is nothing. */
static void read_kills(const char *path, bool *ret) {
        static const char key[] = "KillUserProcesses";
        _cleanup_free_ char *text = NULL;
        char *rest, *line;

        if (fd_read_file(AT_FDCWD, path, &text, NULL, CONF_BYTES_MAX) < 0)
                return;
        rest = text;
        while ((line = strsep(&rest, "\n"))) {
                line += strspn(line, " \t");
                if (strncmp(line, key, sizeof(key) - 1) != 0)
                        continue;
                line += sizeof(key) - 1;
                line += strspn(line, " \t");
                if (*line++ != '=')
                        continue;
                line += strspn(line, " \t");
                *ret = strchr("1yYtT", *line) ? *line != '\0' : strncasecmp(line, "on", 2) == 0;
        }
}

static const char *const conf_folders[] = { "/etc/systemd", "/run/systemd",
                                            "/usr/local/lib/systemd", "/usr/lib/systemd" };

static int is_conf(const struct dirent *entry) {
        size_t n = strlen(entry->d_name);

        return n > 5 && strcmp(entry->d_name + n - 5, ".conf") == 0;
}

/* All names of drop-ins, sorted; those of several folders several times. Return: how many. */
static size_t list_drop_ins(const char *root, char **ret, size_t n_max) {
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(conf_folders); i++) {
                char folder[PATH_BYTES_MAX];
                struct dirent **entries = NULL;
                int n_entries;

                (void)snprintf(folder, sizeof(folder), "%s%s/logind.conf.d", root, conf_folders[i]);
                n_entries = scandir(folder, &entries, is_conf, NULL);
                for (int k = 0; k < n_entries; k++) {
                        if (n < n_max && (ret[n] = strdup(entries[k]->d_name)))
                                n++;
                        free(entries[k]);
                }
                free(entries);
        }
        return n;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The first of the folders that has the file is the one that counts. */
static void read_first(const char *root, const char *name, bool *ret) {
        for (size_t i = 0; i < ELEMENTSOF(conf_folders); i++) {
                char path[PATH_BYTES_MAX];

                (void)snprintf(path, sizeof(path), "%s%s/%s", root, conf_folders[i], name);
                if (access(path, F_OK) < 0)
                        continue;
                read_kills(path, ret);
                return;
        }
}

bool agent_ground_kills(const char *root) {
        char *names[64], path[PATH_BYTES_MAX];
        bool kills = false;
        size_t n;

        read_first(root, "logind.conf", &kills);
        n = list_drop_ins(root, names, ELEMENTSOF(names));
        qsort(names, n, sizeof(*names), compare_names);
        for (size_t i = 0; i < n; i++) {
                (void)snprintf(path, sizeof(path), "logind.conf.d/%s", names[i]);
                read_first(root, path, &kills);
                free(names[i]);
        }
        return kills;
}

static bool exists(const char *root, const char *folder, const char *name) {
        char path[PATH_BYTES_MAX];

        (void)snprintf(path, sizeof(path), "%s%s/%s", root, folder, name);
        return access(path, F_OK) == 0;
}

AgentGround agent_ground_look(const char *root, const char *user, const char *runtime) {
        return (AgentGround){
                .lingers = user[0] != '\0' && exists(root, "/var/lib/systemd/linger", user),
                .manager = exists(root, runtime, "systemd/private"),
                /* Where logind does not run there are no seats. */
                .kills = exists(root, "/run/systemd", "seats") && agent_ground_kills(root),
        };
}

AgentLife agent_life_choose(const AgentGround *ground) {
        if (ground->lingers && ground->manager)
                return AGENT_LIFE_SYSTEMD;
        return ground->kills ? AGENT_LIFE_SESSION : AGENT_LIFE_DETACHED;
}

static int find_program(char **ret, Error *error) {
        int r;

        r = clean_start_find("taskflow-agent", ret);
        if (r < 0)
                return error_set(
                        error, AGENT_START_E_FAILED,
                        "the program 'taskflow-agent', which runs detached tasks, is neither beside 'taskflow' "
                        "nor in PATH: install it");
        return 0;
}

static int make_folder(const char *folder, Error *error) {
        struct stat st;
        int r;

        r = fd_mkdir_p(folder, 0700);
        if (r >= 0 && stat(folder, &st) < 0)
                r = -errno;
        if (r < 0)
                return error_set(
                        error, AGENT_START_E_FAILED,
                        "cannot make the folder '%s' for detached tasks: %s; set XDG_STATE_HOME to a folder "
                        "that you can write to",
                        folder, strerror(-r));
        if (st.st_uid != geteuid())
                return error_set(
                        error, AGENT_START_E_FAILED,
                        "'%s' belongs to another user (uid %u): set HOME or XDG_STATE_HOME to your own",
                        folder, st.st_uid);
        return 0;
}

/* The user's name; empty if he has none. */
static void user_name(char *buf, size_t n) {
        struct passwd entry, *found = NULL;
        char strings[4096];

        buf[0] = '\0';
        if (getpwuid_r(geteuid(), &entry, strings, sizeof(strings), &found) == 0 && found)
                (void)snprintf(buf, n, "%s", found->pw_name);
}

static void runtime_folder(char *buf, size_t n) {
        const char *variable = getenv("XDG_RUNTIME_DIR");

        if (variable && variable[0] == '/')
                (void)snprintf(buf, n, "%s", variable);
        else
                (void)snprintf(buf, n, "/run/user/%u", geteuid());
}

/* Our own ground. */
static AgentGround look_here(char *runtime, size_t n) {
        char user[256];

        user_name(user, sizeof(user));
        runtime_folder(runtime, n);
        return agent_ground_look("", user, runtime);
}

AgentLife agent_life_here(void) {
        char runtime[256];
        AgentGround ground = look_here(runtime, sizeof(runtime));

        return agent_life_choose(&ground);
}

/* The words of systemd-run, ended by NULL; they are to be freed with strv_free(). */
static char **compose_run(const char *program, const char *log_path, AgentLife life) {
        _cleanup_(strv_freep) char **env = NULL, **words = NULL;
        char unit[64], stderr_to[PATH_BYTES_MAX + 64];
        const char *fixed[] = {
                "systemd-run",
                "--user",
                "--quiet",
                "--collect",
                "--service-type=exec",
                unit,
                "--property=KillMode=process",
                "--property=UMask=0077",
                "--property=LimitNOFILE=infinity",
                "--property=StandardInput=null",
                "--property=StandardOutput=null",
                stderr_to,
                "--working-directory=/",
        };
        size_t n = 0, n_env;

        if (clean_start_environment(&env) < 0)
                return NULL;
        (void)snprintf(unit, sizeof(unit), "--unit=taskflow-agent-%d", getpid());
        (void)snprintf(stderr_to, sizeof(stderr_to), "--property=StandardError=append:%s",
                       log_path);
        n_env = strv_n(env);
        words = calloc(N_RUN_WORDS + n_env, sizeof(*words));
        if (!words)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(fixed); i++)
                if (!(words[n++] = strdup(fixed[i])))
                        return NULL;
        for (size_t i = 0; i < n_env; i++)
                if (asprintf(&words[n++], "--setenv=%s", env[i]) < 0)
                        return NULL;
        if (!(words[n++] = strdup("--")) || !(words[n++] = strdup(program)) ||
            !(words[n++] = strdup("--lives")) || !(words[n++] = strdup(agent_life_to_string(life))))
                return NULL;
        return TAKE_PTR(words);
}

/* Whether the user's manager has taken it. */
static bool run_by_manager(const char *program,
                           const char *log_path,
                           const char *runtime,
                           AgentLife life) {
        _cleanup_(strv_freep) char **words = compose_run(program, log_path, life);
        int status;
        pid_t pid;

        if (!words)
                return false;
        pid = fork();
        if (pid < 0)
                return false;
        if (pid == 0) {
                int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

                for (int fd = 0; fd <= 2; fd++)
                        (void)dup2(null_fd, fd);
                (void)setenv("XDG_RUNTIME_DIR", runtime, 1);
                (void)execvp(words[0], words);
                _exit(127);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return false;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int run_by_ourselves(const char *program,
                            const char *log_path,
                            AgentLife life,
                            Error *error) {
        _cleanup_free_ char *word = strdup(agent_life_to_string(life));
        char *argv[] = { (char[]){ "taskflow-agent" }, (char[]){ "--lives" }, word,
                         (char[]){ "--ready" }, NULL };
        int r;

        if (!word)
                return error_set(error, -ENOMEM, "out of memory");
        r = clean_start(&(CleanStart){ .path = program,
                                       .argv = argv,
                                       .log_path = log_path,
                                       .what = "the agent that runs detached tasks" },
                        error);
        switch (r) {
        case CLEAN_START_E_BUSY:
                return AGENT_START_E_AWAIT;
        case CLEAN_START_E_FAILED:
                return AGENT_START_E_FAILED;
        default:
                return r;
        }
}

int agent_start(const char *folder, AgentLife *ret, long *ret_log_start, Error *error) {
        _cleanup_free_ char *program = NULL, *log_path = NULL;
        char runtime[256];
        AgentGround ground;
        int log_fd, r;

        r = find_program(&program, error);
        if (r != 0)
                return r;
        r = make_folder(folder, error);
        if (r != 0)
                return r;
        if (asprintf(&log_path, "%s/agent.log", folder) < 0)
                return error_set(error, -ENOMEM, "out of memory");

        ground = look_here(runtime, sizeof(runtime));
        *ret = agent_life_choose(&ground);
        /* Without a manager that lingers, the manager of a session that is ended outlives at least the terminal. */
        if (*ret == AGENT_LIFE_DETACHED || !ground.manager)
                return run_by_ourselves(program, log_path, *ret, error);

        log_fd = clean_start_open_log(log_path, ret_log_start);
        (void)fd_close(log_fd);
        if (log_fd >= 0 && run_by_manager(program, log_path, runtime, *ret))
                return AGENT_START_E_AWAIT;
        *ret = ground.kills ? AGENT_LIFE_SESSION : AGENT_LIFE_DETACHED;
        return run_by_ourselves(program, log_path, *ret, error);
}
