/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Each command becomes one call of _arguments.
 */

#include <string.h>

#include "cli/commands.h"
#include "cli/completion.h"

/* "(low medium any\:)" */
static void put_words(FILE *out, const char *const *words) {
        (void)fputs("(", out);
        for (size_t i = 0; words[i]; i++) {
                (void)fputs(i > 0 ? " " : "", out);
                for (const char *c = words[i]; *c; c++) {
                        if (*c == ':')
                                (void)fputc('\\', out);
                        (void)fputc(*c, out);
                }
        }
        (void)fputs(")", out);
}

/* The part of a specification behind the option: ":what:action". */
static void put_action(FILE *out, Completion completion) {
        switch (completion.kind) {
        case COMPLETION_NOTHING:
                (void)fputs(" ", out);
                return;
        case COMPLETION_WORDS:
                put_words(out, completion.words);
                return;
        case COMPLETION_FILE:
                (void)fputs("_files", out);
                return;
        case COMPLETION_USER:
                (void)fputs("_users", out);
                return;
        case COMPLETION_ID:
                (void)fprintf(out, "{_taskflow_ids %s}", completion.ps_opts);
                return;
        case COMPLETION_COMMAND:
                (void)fputs("_taskflow_commands", out);
                return;
        case COMPLETION_PROGRAM: /* has a form of its own */
                return;
        }
}

/* Text inside a specification that stands in single quotes. */
static void put_text(FILE *out, const char *text) {
        for (; *text; text++) {
                if (*text == '\'')
                        (void)fputs("'\\'", out);
                else if (*text == '[' || *text == ']' || *text == ':' || *text == '\\')
                        (void)fputc('\\', out);
                (void)fputc(*text, out);
        }
}

/* "[help]:SIZE: " */
static void put_spec_end(FILE *out, const Opt *opt) {
        const char *argument = opt->argument;
        bool optional = argument && argument[0] == '[';

        (void)fputs("[", out);
        put_text(out, opt->help);
        (void)fputs("]", out);
        if (argument) {
                (void)fputs(optional ? "::" : ":", out);
                put_text(out, optional ? "argument" : argument);
                (void)fputs(":", out);
                put_action(out, completion_of_opt(opt));
        }
}

/* How the argument may be attached: "-m5G", "--memory=5G". */
static const char *attached(const Opt *opt, bool is_long) {
        if (!opt->argument)
                return "";
        return is_long ? "=" : "+";
}

static void put_spec(FILE *out, const Opt *opt) {
        (void)fputs(" \\\n                ", out);
        if (opt->letter) {
                (void)fprintf(out, "'(-%c --%s)-%c%s", opt->letter, opt->name, opt->letter,
                              attached(opt, false));
                put_spec_end(out, opt);
                (void)fprintf(out, "' \\\n                '(-%c --%s)--%s%s", opt->letter,
                              opt->name, opt->name, attached(opt, true));
        } else {
                /* The sentence of an option that may be repeated says so. */
                (void)fprintf(out, "'%s--%s%s", strstr(opt->help, "repeated") ? "*" : "", opt->name,
                              attached(opt, true));
        }
        put_spec_end(out, opt);
        (void)fputs("'", out);
}

static void put_operands(FILE *out, const Command *command) {
        Completion completion = completion_of_operands(command);

        if (completion.kind == COMPLETION_NOTHING)
                return;
        if (completion.kind == COMPLETION_PROGRAM) {
                (void)fputs(" \\\n                '(-)1:command: _command_names -e'"
                            " \\\n                '*::argument: _normal'",
                            out);
                return;
        }
        (void)fprintf(out, " \\\n                '%s:%s:", command->max_operands < 0 ? "*" : "1",
                      completion.kind == COMPLETION_ID ? "task" : "argument");
        put_action(out, completion);
        (void)fputs("'", out);
}

static void put_command(FILE *out, const Command *command) {
        (void)fprintf(out, "        %s)\n            _arguments -s%s", command->name,
                      command->stop_at_operand ? " -S" : "");
        for (const Opt *opt = command->opts; opt && opt->name; opt++)
                if (completion_has_opt(opt))
                        put_spec(out, opt);
        (void)fputs(" \\\n                '(- *)'{-h,--help}'[show this help]'", out);
        put_operands(out, command);
        (void)fputs("\n            ;;\n", out);
}

static void put_command_list(FILE *out) {
        (void)fputs("_taskflow_commands() {\n"
                    "    local -a commands=(\n",
                    out);
        for (const Command *const *command = commands; *command; command++) {
                if (!completion_has_command(*command))
                        continue;
                (void)fprintf(out, "        '%s:", (*command)->name);
                put_text(out, (*command)->summary);
                (void)fputs("'\n", out);
        }
        (void)fputs("    )\n"
                    "    _describe -t commands 'taskflow command' commands\n"
                    "}\n"
                    "\n",
                    out);
}

void completion_zsh(FILE *out) {
        (void)fputs("#compdef taskflow\n"
                    "# zsh completion for taskflow; made by 'taskflow completion zsh'\n"
                    "\n"
                    "_taskflow_ids() {\n"
                    "    local -a ids=(${(f)\"$(taskflow ps -q \"$@\" 2>/dev/null)\"})\n"
                    "    compadd -V ids -a ids\n"
                    "}\n"
                    "\n",
                    out);
        put_command_list(out);
        (void)fputs(
                "_taskflow() {\n"
                "    local curcontext=$curcontext\n"
                "\n"
                "    if (( CURRENT == 2 )); then\n"
                "        _taskflow_commands\n"
                "        _arguments '(- *)'{-h,--help}'[show help]' '(- *)'{-V,--version}'[show the "
                "version]'\n"
                "        return\n"
                "    fi\n"
                "    shift words\n"
                "    (( CURRENT-- ))\n"
                "    curcontext=${curcontext%:*}-$words[1]:\n"
                "    case $words[1] in\n",
                out);
        for (const Command *const *command = commands; *command; command++)
                if (completion_has_command(*command))
                        put_command(out, *command);
        (void)fputs("    esac\n"
                    "}\n"
                    "\n"
                    "if [[ $funcstack[1] == _taskflow ]]; then\n"
                    "    _taskflow \"$@\"\n"
                    "else\n"
                    "    compdef _taskflow taskflow\n"
                    "fi\n",
                    out);
}
