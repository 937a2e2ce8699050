#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Commands that act on tasks by their ids
 */

#include "cli/command.h"
#include "client/client.h"

/**
 * ids_parse() - operands into ids, in their order, each once
 * @command:    names itself in the message
 * @ret:        release with ids_done()
 *
 * Return: 0, or an exit status after saying what is wrong.
 */
int ids_parse(const Command *command, int n_operands, char **operands, IdList *ret);
void ids_done(IdList *ids);

/**
 * ids_report() - say what could not be done
 * @verb:       "cancel"
 *
 * Return: true if the outcome is one of those that mean "not done", and it was said.
 */
bool ids_report(const IdResult *result, const char *verb);

/* ids_report() for each; of an array what can't be done to any of its elements. Return: an exit status. */
int ids_report_all(const Reply *reply, const char *verb);

/**
 * ids_call() - a call whose answer is one outcome a task
 * @ids:        borrowed
 * @ret_client: set to the connection on success; may be NULL
 * @reply:      as for session_call()
 *
 * Return: 0, or an exit status after saying what is wrong.
 */
int ids_call(CallType type, const IdList *ids, int signal, Client **ret_client, Reply *reply);
