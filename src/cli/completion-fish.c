/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * fish takes one `complete` for each thing that may stand somewhere.
 */

#include "cli/commands.h"
#include "cli/completion.h"

/* In fish's single quotes only these two are special. */
static void put_quoted(FILE *out, const char *text) {
        (void)fputc('\'', out);
        for (; *text; text++) {
                if (*text == '\'' || *text == '\\')
                        (void)fputc('\\', out);
                (void)fputc(*text, out);
        }
        (void)fputc('\'', out);
}

static void put_action(FILE *out, Completion completion) {
        switch (completion.kind) {
        case COMPLETION_NOTHING:
                (void)fputs(" -x", out);
                return;
        case COMPLETION_WORDS:
                (void)fputs(" -x -a '", out);
                for (size_t i = 0; completion.words[i]; i++)
                        (void)fprintf(out, "%s%s", i > 0 ? " " : "", completion.words[i]);
                (void)fputs("'", out);
                return;
        case COMPLETION_FILE:
                (void)fputs(" -r -F", out);
                return;
        case COMPLETION_USER:
                (void)fputs(" -x -a '(__fish_complete_users)'", out);
                return;
        case COMPLETION_ID:
                (void)fprintf(out, " -x -a '(taskflow ps -q %s 2>/dev/null)'", completion.ps_opts);
                return;
        case COMPLETION_COMMAND:
                (void)fputs(" -x -a '", out);
                for (const Command *const *command = commands; *command; command++)
                        if (completion_has_command(*command))
                                (void)fprintf(out, "%s ", (*command)->name);
                (void)fputs("'", out);
                return;
        case COMPLETION_PROGRAM: /* has a form of its own */
                return;
        }
}

static void put_condition(FILE *out, const Command *command) {
        (void)fprintf(out, "complete -c taskflow -n '__taskflow_is %s'", command->name);
}

static void put_opt(FILE *out, const Command *command, const Opt *opt) {
        put_condition(out, command);
        if (opt->letter)
                (void)fprintf(out, " -s %c", opt->letter);
        (void)fprintf(out, " -l %s", opt->name);
        if (opt->argument)
                put_action(out, completion_of_opt(opt));
        (void)fputs(" -d ", out);
        put_quoted(out, opt->help);
        (void)fputc('\n', out);
}

/* The command behind `run`: fish skips the options, of those with an argument that too. */
static void put_program(FILE *out, const Command *command) {
        put_condition(out, command);
        (void)fputs(" -x -a '(__fish_complete_subcommand --fcs-skip=2", out);
        for (const Opt *opt = command->opts; opt && opt->name; opt++) {
                if (!completion_has_opt(opt) || !opt->argument || opt->argument[0] == '[')
                        continue;
                if (opt->letter)
                        (void)fprintf(out, " -%c", opt->letter);
                (void)fprintf(out, " --%s", opt->name);
        }
        (void)fputs(")'\n", out);
}

static void put_command(FILE *out, const Command *command) {
        Completion completion = completion_of_operands(command);

        (void)fprintf(out, "complete -c taskflow -n __taskflow_is_first -a %s -d ", command->name);
        put_quoted(out, command->summary);
        (void)fputc('\n', out);

        for (const Opt *opt = command->opts; opt && opt->name; opt++)
                if (completion_has_opt(opt))
                        put_opt(out, command, opt);
        put_condition(out, command);
        (void)fputs(" -s h -l help -d 'show this help'\n", out);

        if (completion.kind == COMPLETION_PROGRAM) {
                put_program(out, command);
        } else if (completion.kind == COMPLETION_FILE) { /* -r is of options alone */
                put_condition(out, command);
                (void)fputs(" -F\n", out);
        } else if (completion.kind != COMPLETION_NOTHING) {
                put_condition(out, command);
                put_action(out, completion);
                (void)fputc('\n', out);
        }
}

void completion_fish(FILE *out) {
        (void)fputs(
                "# fish completion for taskflow; made by 'taskflow completion fish'\n"
                "\n"
                "function __taskflow_is_first\n"
                "    test (count (commandline -opc)) -eq 1\n"
                "end\n"
                "\n"
                "function __taskflow_is\n"
                "    set -l words (commandline -opc)\n"
                "    test (count $words) -gt 1; and test $words[2] = $argv[1]\n"
                "end\n"
                "\n"
                "complete -c taskflow -f\n"
                "complete -c taskflow -n __taskflow_is_first -s h -l help -d 'show help'\n"
                "complete -c taskflow -n __taskflow_is_first -s V -l version -d 'show the version'\n",
                out);
        for (const Command *const *command = commands; *command; command++)
                if (completion_has_command(*command))
                        put_command(out, *command);
}
