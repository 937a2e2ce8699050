#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Signals as a new program expects them
 */

/*
 * Every signal to its default action, also the two that the C library keeps for itself: it does not let them be changed, but
 * they are inherited like all others, and some programs start theirs with everything ignored. Which signals are blocked stays
 * as it is. Only for a process that is about to become another program, or has no threads and never will.
 */
void signal_default_all(void);
