#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * When a task that waits may start
 *
 * The line is played forward, three times: with all that run, and all that start before it, ending as soon, about as, and as late
 * as can be expected (expect.h). Who starts is found by fit.h, so that what holds up the task now holds it up then. What is not known
 * is not guessed: a task of which nothing is known does not end here.
 */

#include "core/explain.h"
#include "core/state.h"

/**
 * forecast_start() - set @ret->start
 * @entry:      waits; @ret has its lacks
 *
 * Nothing is said where something else than room is lacking, where the ends that are known bring not enough, or where the line
 * before it is too long to be played.
 *
 * Return: 0, or -ENOMEM.
 */
int forecast_start(const Core *core, const Entry *entry, uint64_t now_boot_us, Explain *ret);
