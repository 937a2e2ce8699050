/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "cli/shell-line.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/macro.h"
#include "util/strv.h"

#define BLANKS "\t "
#define PLAIN  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@+=:,./-"

/* Of sh, dash and bash; without those that do just what the programs of their name do. */
static const char *const words_of_shells[] = {
        ".",         ":",        "[",        "[[",     "]]",      "alias", "bg",       "bind",
        "break",     "builtin",  "caller",   "case",   "cd",      "chdir", "command",  "compgen",
        "complete",  "compopt",  "continue", "coproc", "declare", "dirs",  "disown",   "do",
        "done",      "echo",     "elif",     "else",   "enable",  "esac",  "eval",     "exec",
        "exit",      "export",   "fc",       "fg",     "fi",      "for",   "function", "getopts",
        "hash",      "help",     "history",  "if",     "in",      "jobs",  "kill",     "let",
        "local",     "logout",   "mapfile",  "popd",   "printf",  "pushd", "pwd",      "read",
        "readarray", "readonly", "return",   "select", "set",     "shift", "shopt",    "source",
        "suspend",   "test",     "then",     "time",   "times",   "trap",  "type",     "typeset",
        "ulimit",    "umask",    "unalias",  "unset",  "until",   "wait",  "while",
};

/* How something other than the line could reach a shell that is started with -c. */
static const char *const ways_in[] = { "BASH_ENV=", "BASH_FUNC_", "SHELLOPTS=", "BASHOPTS=" };

static bool is_known_shell(const char *shell) {
        const char *slash = strrchr(shell, '/');
        const char *name = slash ? slash + 1 : shell;

        return strcmp(name, "sh") == 0 || strcmp(name, "dash") == 0 || strcmp(name, "bash") == 0;
}

static bool environment_is_plain(char *const *envp) {
        for (; *envp; envp++)
                for (size_t i = 0; i < ELEMENTSOF(ways_in); i++)
                        if (strncmp(*envp, ways_in[i], strlen(ways_in[i])) == 0)
                                return false;
        return true;
}

static bool is_word_of_shells(const char *word) {
        for (size_t i = 0; i < ELEMENTSOF(words_of_shells); i++)
                if (strcmp(words_of_shells[i], word) == 0)
                        return true;
        return false;
}

/* The words; NULL when out of memory. */
static char **split(const char *line) {
        _cleanup_(strv_freep) char **words = calloc(strlen(line) / 2 + 2, sizeof(*words));
        size_t n = 0;

        if (!words)
                return NULL;
        for (line += strspn(line, BLANKS); *line; line += strspn(line, BLANKS)) {
                size_t l = strcspn(line, BLANKS);

                words[n] = strndup(line, l);
                if (!words[n++])
                        return NULL;
                line += l;
        }
        return TAKE_PTR(words);
}

int shell_line_split(const char *line, const char *shell, char *const *envp, char ***ret) {
        _cleanup_(strv_freep) char **words = NULL;

        *ret = NULL;
        if (line[strspn(line, PLAIN BLANKS)] != '\0' || !is_known_shell(shell) ||
            !environment_is_plain(envp))
                return 0;
        words = split(line);
        if (!words)
                return -ENOMEM;
        if (words[0] && !strchr(words[0], '=') && !is_word_of_shells(words[0]))
                *ret = TAKE_PTR(words);
        return 0;
}
