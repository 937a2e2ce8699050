#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Where keepers come from
 *
 * A small process that the agent forks before it is anything, and that forks keepers for it: so that a start costs the same
 * however large the agent has become. It always has some that wait for their order, which they take from the agent's socket
 * themselves; a start then is one message. Keepers outlive both. One whose command has ended may get the next order: after
 * KEEPER_NEWS_ENDED its pidfd says nothing about that start any more.
 */

#include "agent/keeper-order.h"
#include "agent/keeper.h"
#include "util/macro.h"

typedef struct Nursery Nursery;

/**
 * nursery_start() - fork it
 * @start_agent:        for its keepers; NULL: nobody
 *
 * To be called before there are threads, secrets or much memory: all of it would be in every keeper. The nursery keeps stderr and
 * no other descriptor of the caller, belongs to no terminal, and ends when the caller does or calls nursery_free().
 *
 * Return: 0, or negative errno.
 */
int nursery_start(Nursery **ret, keeper_agent_fn start_agent);

/* Ends the nursery, and waits for that; keepers that have their order go on. */
Nursery *nursery_free(Nursery *nursery);
DEFINE_CLEANUP(Nursery *, nursery_free);

/* nursery_spawn() and nursery_next() */
enum {
        NURSERY_E_AGAIN = 1, /* no room for it now; no news now */
        NURSERY_E_GONE, /* the nursery, and the last of its keepers: nothing was or will be carried out */
};

/**
 * nursery_spawn() - have orders carried out, by one keeper, one after the other
 *
 * KEEPER_NEWS_TAKEN, of the first, is the answer. The next one follows if an end says so with `goes_on`; else the rest is to be
 * ordered anew. Orders wait until a keeper is free for them: a nursery that cannot fork tries on.
 *
 * Return: 0; NURSERY_E_AGAIN: try again after the next news, or in a second; NURSERY_E_GONE; or negative errno.
 */
int nursery_spawn(Nursery *nursery, const KeeperOrder *orders, size_t n);

/* To be polled for reading: there may be news. Does not block. */
int nursery_fd(const Nursery *nursery);

/* To be polled for reading: the nursery is gone, and no order will be taken any more. Its keepers still send news. */
int nursery_pidfd(const Nursery *nursery);

/**
 * nursery_next() - the next news
 * @ret_fd:     set to the descriptor that came with it, the caller's from here on; -1: none
 *
 * Of one start it comes in the order of the types; what is missing at the end is so because the keeper died: see its pidfd, then
 * its record. A keeper that is killed before it could say TAKEN leaves nothing; an agent that waits for that too long claims the
 * start itself with record_file_create(), and nobody will start it any more.
 *
 * Return: 0, NURSERY_E_AGAIN, NURSERY_E_GONE, or negative errno.
 */
int nursery_next(Nursery *nursery, KeeperNews *ret, int *ret_fd);
