#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * People
 *
 * They submit, remember the numbers they are told, hold, release and cancel; some ask again when they were told nothing.
 */

#include <stdbool.h>
#include <stdint.h>

typedef struct Request Request;

void people_begin(unsigned n_submissions, uint64_t span_us);

/* The answer of an agent to a request. @ids: NULL: nothing was queued */
void people_answer(Request *request, const uint64_t *ids);
void people_agent_gone(unsigned owner);
void people_booted(void);

/* Nothing new is asked for; what is held is released. */
void people_calm(void);
bool people_rest(void);
