#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Who is in the way
 *
 * The tasks that have what another one lacks: those that have most, the others are counted.
 */

#include "core/explain.h"
#include "core/fit.h"

/* Keeps the largest; of equal ones those that came first. */
void holders_add(Lack *lack, const Holder *holder);

/* Of RAM, or of a GPU; @asker: who lacks it. */
void holders_of_pool(const Ledger *ledger, const FitAsker *asker, int slot, Lack *lack);

void holders_of_cpus(const Ledger *ledger, Lack *lack);

/* Of tokens of that name. */
void holders_of_token(const Ledger *ledger, const char *name, Lack *lack);

/* Of what a limit of @user is for: its own tasks. */
void holders_of_user(const Core *core, const User *user, Lack *lack);
