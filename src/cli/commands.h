#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The descriptors of all commands; each stands in the file of its name.
 */

#include "cli/command.h"

extern const Command command_agent;
extern const Command command_cancel;
extern const Command command_completion;
extern const Command command_doctor;
extern const Command command_help;
extern const Command command_history;
extern const Command command_hold;
extern const Command command_logs;
extern const Command command_metrics;
extern const Command command_ps;
extern const Command command_release;
extern const Command command_run;
extern const Command command_show;
extern const Command command_status;
extern const Command command_submit;
extern const Command command_update;
extern const Command command_version;
extern const Command command_wait;
extern const Command command_why;

/* cmd-later.c: known, and not there yet */
extern const Command command_drain;
extern const Command command_top;
extern const Command command_undrain;

/**
 * cli_main() - the whole program
 *
 * Return: its exit status.
 */
int cli_main(int argc, char **argv);

/* Says that there is no such command, and which one may be meant. Returns CLI_STATUS_USAGE. */
int command_refuse_unknown(const char *word);
