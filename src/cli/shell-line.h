#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Lines that need no shell
 *
 * A shell costs more than everything else that starting a command does. GNU make has long run the plain lines of its recipes
 * itself; so do we: a line that is nothing but words, for a shell that would do nothing but search PATH and exec it. Whoever
 * looks at the command can't tell the difference; where one could be told, the shell is asked.
 */

/**
 * shell_line_split() - the words of a line that any POSIX shell would just execute
 * @line:       what would follow -c
 * @shell:      path of the shell: sh, dash and bash are known to read no file for -c
 * @envp:       what the shell would be started with: functions and options may come through it
 * @ret:        set to the words, to be freed with strv_free(); NULL if the line needs the shell
 *
 * Words of letters, digits and _@+=:,./- alone; the first is no assignment, no builtin, no word of the language. (`true` and
 * `false` are builtins of which nobody can tell.)
 *
 * Return: 0, or -ENOMEM.
 */
int shell_line_split(const char *line, const char *shell, char *const *envp, char ***ret);
