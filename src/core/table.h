#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tables
 *
 * Finding tasks, users, classes, experiences and who is waited for. The only module that uses the hash tables'
 * macros.
 */

#include "core/state.h"

/* NULL if there is none. */
Entry *table_find(const Core *core, uint64_t id);
Entry *table_find_key(const Core *core, uid_t uid, const uint8_t key[static TASK_KEY_BYTES]);

/**
 * table_add() - make an entry findable by its task's id and key
 * @entry:      borrowed until table_remove(); its task must stay where it is
 *
 * Return: 0, or -ENOMEM with nothing changed.
 */
int table_add(Core *core, Entry *entry);
void table_remove(Core *core, Entry *entry);

User *table_find_user(const Core *core, uid_t uid);
int table_add_user(Core *core, User *user); /* 0 or -ENOMEM */
void table_remove_user(Core *core, User *user);

Class *table_find_class(const Core *core, const void *key, size_t n_key);
int table_add_class(Core *core, Class *class); /* 0 or -ENOMEM */
void table_remove_class(Core *core, Class *class);

Experience *table_find_experience(const Core *core, const ExperienceKey *key);
int table_add_experience(Core *core, Experience *experience); /* 0 or -ENOMEM */
void table_remove_experience(Core *core, Experience *experience);

Waited *table_find_waited(const Core *core, uint64_t id);
int table_add_waited(Core *core, Waited *waited); /* 0 or -ENOMEM */
void table_remove_waited(Core *core, Waited *waited);
