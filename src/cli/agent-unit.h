#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The agent as a service of the user's systemd
 *
 * taskflow-agent.service, which is installed with taskflow, starts the agent at login, and at boot for users who linger.
 */

#include <stdbool.h>

/**
 * agent_unit_enable() - have systemd start it from now on
 * @linger:     also at boot and beyond logout, with loginctl
 *
 * Says what it does. Return: an exit status.
 */
int agent_unit_enable(bool linger);
