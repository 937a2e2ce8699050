#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Connections with the daemon
 *
 * A message takes a while. What a process that died had said before still arrives, and then the end of the connection; what it had
 * not read is gone. On the daemon's side these are the channels of wire/frame.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/message.h"

#include "system.h"
#include "world.h"

typedef struct Link Link;

/* @bytes is borrowed; NULL: the connection has ended, and the link is no more. */
typedef void (*link_fn)(void *userdata, Link *link, const char *bytes, size_t n);

void links_begin(void);
void links_end(void);

/* NULL: nobody listens. @actor: who it is on this side. */
Link *link_connect(const Actor *actor, Proc proc, uid_t uid, link_fn on_message, void *userdata);

/* @proc: whose pidfd goes along; 0: none. */
void link_say(Link *link, const Call *call, Proc proc);

/* It ends from this side. */
void link_close(Link *link);

/* The daemon is gone, or the machine. */
void links_daemon_gone(void);
void links_drop_all(void);

/* The daemon's side */
uint32_t links_events(int fd);
uint64_t links_next_us(
        int fd); /* when the next message, or the end, arrives; UINT64_MAX: none is under way */
void links_credentials(int fd, pid_t *ret_pid, uid_t *ret_uid);
