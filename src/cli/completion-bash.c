/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The script needs nothing of the bash-completion package; with it, the command after
 * `taskflow run` is completed as if it stood alone.
 */

#include "cli/commands.h"
#include "cli/completion.h"

static void put_command_names(FILE *out) {
        for (const Command *const *command = commands; *command; command++)
                if (completion_has_command(*command))
                        (void)fprintf(out, "%s ", (*command)->name);
}

/* "-m --memory --gpu " */
static void put_opt_names(FILE *out, const Opt *opts, bool with_argument_only) {
        for (const Opt *opt = opts; opt && opt->name; opt++) {
                bool takes = opt->argument && opt->argument[0] != '[';

                if (!completion_has_opt(opt) || (with_argument_only && !takes))
                        continue;
                if (opt->letter)
                        (void)fprintf(out, "-%c ", opt->letter);
                (void)fprintf(out, "--%s ", opt->name);
        }
        if (!with_argument_only)
                (void)fputs("-h --help", out);
}

static void put_words(FILE *out, const char *const *words) {
        (void)fputs("_taskflow_words '", out);
        for (size_t i = 0; words[i]; i++)
                (void)fprintf(out, "%s%s", i > 0 ? " " : "", words[i]);
        (void)fputs("'", out);
}

static void put_action(FILE *out, Completion completion) {
        switch (completion.kind) {
        case COMPLETION_NOTHING:
                (void)fputs(":", out);
                return;
        case COMPLETION_WORDS:
                put_words(out, completion.words);
                return;
        case COMPLETION_FILE:
                (void)fputs("compopt -o default", out);
                return;
        case COMPLETION_USER:
                (void)fputs("COMPREPLY=($(compgen -u -- \"$cur\"))", out);
                return;
        case COMPLETION_ID:
                (void)fprintf(out, "_taskflow_words \"$(taskflow ps -q %s 2>/dev/null)\"",
                              completion.ps_opts);
                return;
        case COMPLETION_COMMAND:
                (void)fputs("_taskflow_words '", out);
                put_command_names(out);
                (void)fputs("'", out);
                return;
        case COMPLETION_PROGRAM:
                (void)fputs("_taskflow_program", out);
                return;
        }
}

/* One line for each option that takes an argument: what completes it. */
static void put_arguments(FILE *out, const Command *command) {
        for (const Opt *opt = command->opts; opt && opt->name; opt++) {
                Completion completion = completion_of_opt(opt);

                /* Without an argument in the next word the option is none to wait behind. */
                if (!completion_has_opt(opt) || !opt->argument ||
                    (opt->argument[0] == '[' && completion.kind == COMPLETION_NOTHING))
                        continue;
                (void)fputs("        ", out);
                if (opt->letter)
                        (void)fprintf(out, "%s:-%c | ", command->name, opt->letter);
                (void)fprintf(out, "%s:--%s)\n            ", command->name, opt->name);
                put_action(out, completion);
                (void)fputs("\n            return\n            ;;\n", out);
        }
}

static void put_operands(FILE *out, const Command *command) {
        (void)fprintf(out, "        %s)\n            ", command->name);
        put_action(out, completion_of_operands(command));
        (void)fputs("\n            ;;\n", out);
}

static void put_cases(FILE *out,
                      const char *subject,
                      void (*put)(FILE *out, const Command *command)) {
        (void)fprintf(out, "    case $%s in\n", subject);
        for (const Command *const *command = commands; *command; command++)
                if (completion_has_command(*command))
                        put(out, *command);
        (void)fputs("    esac\n", out);
}

static void put_opts(FILE *out, const Command *command) {
        (void)fprintf(out, "        %s) _taskflow_words '", command->name);
        put_opt_names(out, command->opts, false);
        (void)fputs("' ;;\n", out);
}

static void put_program(FILE *out) {
        (void)fputs("# Where the command behind 'taskflow run' begins: sets $at.\n"
                    "_taskflow_find_program() {\n"
                    "    local with_argument=' ",
                    out);
        put_opt_names(out, command_run.opts, true);
        (void)fputs("' word\n"
                    "    for ((at = 2; at < COMP_CWORD; at++)); do\n"
                    "        word=${COMP_WORDS[at]}\n"
                    "        [[ $word == -- ]] && { ((at++)); return; }\n"
                    "        [[ $word == -?* ]] || return\n"
                    "        [[ $with_argument == *\" $word \"* ]] || continue\n"
                    "        # '--gpu=any:10G' comes as the words --gpu = any : 10G\n"
                    "        [[ ${COMP_WORDS[at + 1]-} == '=' ]] && ((at++))\n"
                    "        ((at++))\n"
                    "        [[ ${COMP_WORDS[at + 1]-} == ':' ]] && ((at += 2))\n"
                    "    done\n"
                    "}\n"
                    "\n"
                    "# The command behind 'taskflow run': as if it stood alone.\n"
                    "_taskflow_program() {\n"
                    "    if declare -F _command_offset >/dev/null; then\n"
                    "        _command_offset \"$at\"\n"
                    "    elif ((at == COMP_CWORD)); then\n"
                    "        COMPREPLY=($(compgen -c -- \"$cur\"))\n"
                    "    else\n"
                    "        compopt -o default\n"
                    "    fi\n"
                    "}\n"
                    "\n",
                    out);
}

static void put_main(FILE *out) {
        (void)fputs("_taskflow() {\n"
                    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
                    "    local command=${COMP_WORDS[1]-} at=0\n"
                    "\n"
                    "    COMPREPLY=()\n"
                    "    if ((COMP_CWORD == 1)); then\n"
                    "        _taskflow_words '",
                    out);
        put_command_names(out);
        (void)fputs("--help --version'\n"
                    "        return\n"
                    "    fi\n"
                    "    if [[ $command == run ]]; then\n"
                    "        _taskflow_find_program\n"
                    "        ((at < COMP_CWORD)) && { _taskflow_program; return; }\n"
                    "        [[ $prev == -- ]] && { _taskflow_program; return; }\n"
                    "    fi\n"
                    "    # '--user=bob' comes as three words\n"
                    "    if [[ $cur == '=' ]]; then\n"
                    "        cur=\n"
                    "    elif [[ $prev == '=' ]]; then\n"
                    "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
                    "    fi\n"
                    "\n",
                    out);
        put_cases(out, "command:$prev", put_arguments);
        (void)fputs("    if [[ $cur == -* ]]; then\n", out);
        put_cases(out, "command", put_opts);
        (void)fputs("        return\n"
                    "    fi\n",
                    out);
        put_cases(out, "command", put_operands);
        (void)fputs("}\n"
                    "\n"
                    "complete -F _taskflow taskflow\n",
                    out);
}

void completion_bash(FILE *out) {
        (void)fputs("# bash completion for taskflow; made by 'taskflow completion bash'\n"
                    "\n"
                    "_taskflow_words() {\n"
                    "    COMPREPLY=($(compgen -W \"$1\" -- \"$cur\"))\n"
                    "}\n"
                    "\n",
                    out);
        put_program(out);
        put_main(out);
}
