#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The keys of taskflow.conf
 *
 * The one list of them: with it values are read and checked, the example file is written, and the manual is compared.
 */

#include <stddef.h>
#include <stdint.h>

#include "settings/settings.h"
#include "util/error.h"

typedef enum SettingsType {
        SETTINGS_TYPE_DURATION, /* microseconds; `never` and `inf` where the largest is TASK_TIME_INF */
        SETTINGS_TYPE_SIZE,     /* bytes */
        SETTINGS_TYPE_COUNT,   /* a whole number of `unit` */
        SETTINGS_TYPE_FACTOR,  /* 1.5; permille */
        SETTINGS_TYPE_PERCENT, /* 2.5%; permyriad */
        SETTINGS_TYPE_WORD,    /* which of `words` it is */
        SETTINGS_TYPE_TEXT,
        SETTINGS_TYPE_GPUS,    /* of the policy */
        SETTINGS_TYPE_USERS,   /* a list, or the first of `words` */
        SETTINGS_TYPE_FACTORS, /* for users; `unit` is a FactorKind */
} SettingsType;

typedef struct SettingsKey {
        const char *name;
        SettingsType type;
        size_t offset; /* in Settings */
        size_t size;   /* of the field; 0: there is none, the value is only checked */
        uint64_t min, max;
        uint64_t unit;
        const char *words[4]; /* by value, ended by NULL */
        const char *standard; /* the default */
        const char *personal; /* that of a personal daemon; NULL: the same */
        const char *help;     /* a sentence for the example file */
} SettingsKey;

extern const SettingsKey settings_keys[];
extern const size_t n_settings_keys;

/**
 * settings_key_find() - a key by its name
 * @error:      says which one may be meant
 *
 * Return: the key, or NULL with @error.
 */
const SettingsKey *settings_key_find(const char *name, Error *error);

/**
 * settings_key_set() - read a value into its field
 * @settings:   changed unless it fails
 * @error:      what is wrong with @value, and what is allowed
 *
 * Return: 0, -EINVAL, or another negative errno, always with @error.
 */
int settings_key_set(const SettingsKey *key, const char *value, Settings *settings, Error *error);
