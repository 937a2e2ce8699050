#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The end of processes, and of all of them at once
 */

/* The machine goes down: every actor is dead. */
void power_kill_all(void);

/* After each thing that happened: what is dead is buried, and comes back a while later. */
void power_bury(void);
