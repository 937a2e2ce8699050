/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Commands that are known and not there yet. They have a descriptor so that they are refused by
 * name, and not taken for a slip of the fingers.
 */

#include "cli/commands.h"

const Command command_top = {
        .name = "top",
        .operands = "",
        .summary = "live view in the terminal",
        .max_operands = -1,
        .usage_status = CLI_STATUS_USAGE,
        .not_available = true,
};
