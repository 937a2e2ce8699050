/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/completion.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "util/macro.h"

#define NAME "taskflow-sim"

static bool takes_file(const Opt *opt) {
        return opt->argument && strcmp(opt->argument, "FILE") == 0;
}

static void put_words(FILE *out, const char *const *words) {
        for (size_t i = 0; words[i]; i++)
                (void)fprintf(out, "%s%s", i > 0 ? " " : "", words[i]);
}

/* Within single quotes. */
static void put_quoted(FILE *out, const char *text, const char *escaped) {
        for (; *text; text++) {
                if (strchr(escaped, *text))
                        (void)fputc('\\', out);
                (void)fputc(*text, out);
        }
}

static void bash(FILE *out, const Opt *opts) {
        (void)fputs("# bash completion for " NAME "; made by '" NAME " --completion bash'\n"
                    "\n"
                    "_taskflow_sim() {\n"
                    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
                    "\n"
                    "    COMPREPLY=()\n"
                    "    case $prev in\n",
                    out);
        for (const Opt *opt = opts; opt->name; opt++) {
                if (!opt->argument || takes_file(opt))
                        continue;
                (void)fputs("        ", out);
                if (opt->letter)
                        (void)fprintf(out, "-%c | ", opt->letter);
                (void)fprintf(out, "--%s) COMPREPLY=($(compgen -W '", opt->name);
                if (opt->words)
                        put_words(out, opt->words);
                (void)fputs("' -- \"$cur\")); return ;;\n", out);
        }
        (void)fputs("    esac\n"
                    "    if [[ $cur == -* ]]; then\n"
                    "        COMPREPLY=($(compgen -W '",
                    out);
        for (const Opt *opt = opts; opt->name; opt++) {
                if (opt->letter)
                        (void)fprintf(out, "-%c ", opt->letter);
                (void)fprintf(out, "--%s ", opt->name);
        }
        (void)fputs("-h --help' -- \"$cur\"))\n"
                    "    else\n"
                    "        compopt -o default\n"
                    "    fi\n"
                    "}\n"
                    "\n"
                    "complete -F _taskflow_sim " NAME "\n",
                    out);
}

static void zsh(FILE *out, const Opt *opts) {
        (void)fputs("#compdef " NAME "\n"
                    "# zsh completion for " NAME "; made by '" NAME " --completion zsh'\n"
                    "\n"
                    "_arguments -s",
                    out);
        for (const Opt *opt = opts; opt->name; opt++) {
                (void)fputs(" \\\n    ", out);
                if (opt->letter)
                        (void)fprintf(out, "'(-%c --%s)'{-%c%s,--%s%s}'[", opt->letter, opt->name,
                                      opt->letter, opt->argument ? "+" : "", opt->name,
                                      opt->argument ? "=" : "");
                else
                        (void)fprintf(out, "'--%s%s[", opt->name, opt->argument ? "=" : "");
                put_quoted(out, opt->help, "[]:\\");
                (void)fputs("]", out);
                if (opt->argument)
                        (void)fprintf(out, ":%s:", opt->argument);
                if (takes_file(opt))
                        (void)fputs("_files", out);
                else if (opt->words) {
                        (void)fputs("(", out);
                        put_words(out, opt->words);
                        (void)fputs(")", out);
                } else if (opt->argument) {
                        (void)fputs(" ", out);
                }
                (void)fputs("'", out);
        }
        (void)fputs(" \\\n    '(- *)'{-h,--help}'[show this help]' \\\n    '1:TRACE:_files'\n",
                    out);
}

static void fish(FILE *out, const Opt *opts) {
        (void)fputs("# fish completion for " NAME "; made by '" NAME " --completion fish'\n"
                    "\n",
                    out);
        for (const Opt *opt = opts; opt->name; opt++) {
                (void)fputs("complete -c " NAME, out);
                if (opt->letter)
                        (void)fprintf(out, " -s %c", opt->letter);
                (void)fprintf(out, " -l %s", opt->name);
                if (takes_file(opt))
                        (void)fputs(" -r -F", out);
                else if (opt->argument)
                        (void)fputs(" -x", out);
                if (opt->words) {
                        (void)fputs(" -a '", out);
                        put_words(out, opt->words);
                        (void)fputs("'", out);
                }
                (void)fputs(" -d '", out);
                put_quoted(out, opt->help, "'\\");
                (void)fputs("'\n", out);
        }
        (void)fputs("complete -c " NAME " -s h -l help -d 'show this help'\n", out);
}

int completion_print(FILE *out, const char *shell, const Opt *opts) {
        static const struct {
                const char *shell;
                void (*print)(FILE *out, const Opt *opts);
        } scripts[] = { { "bash", bash }, { "zsh", zsh }, { "fish", fish } };

        for (size_t i = 0; i < ELEMENTSOF(scripts); i++)
                if (strcmp(scripts[i].shell, shell) == 0) {
                        scripts[i].print(out, opts);
                        return 0;
                }
        return -EINVAL;
}
