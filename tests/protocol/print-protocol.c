/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Prints the protocol as the program knows it: what tools/check-protocol.py holds docs/protocol.md against
 *
 * One line a thing, with tabs between:
 *
 *     method  NAME  WHO  HOW               followed by its  call  and  reply  lines
 *     object  NAME                         followed by its  member  lines
 *     call|reply|member  KEY  TYPE  NEEDED
 *     error   NAME
 */

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/methods.h"
#include "util/macro.h"
#include "wire/tables.h"

enum {
        OBJECTS_MAX = 64,
};

/* Those that were named by a row, each once. */
static const Object *objects[OBJECTS_MAX];
static size_t n_objects;

static void note_object(const Object *object) {
        for (size_t i = 0; i < n_objects; i++)
                if (objects[i] == object)
                        return;

        assert(n_objects < OBJECTS_MAX);
        objects[n_objects++] = object;
}

static bool has_object(const Field *field) {
        return field->type == FIELD_OBJECT || field->type == FIELD_BEHIND ||
               field->type == FIELD_ARRAY || field->type == FIELD_WITHIN;
}

static void print_number(const Field *field) {
        if (field->max == INT64_MAX)
                (void)printf("number from %" PRId64, field->min);
        else
                (void)printf("number %" PRId64 " to %" PRId64, field->min, field->max);
}

static void print_words(const Field *field) {
        for (int64_t i = field->min; i <= field->max; i++)
                (void)printf("%s%s", i > field->min ? ", " : "", field->to_word((unsigned)i));
}

static void print_type(const Field *field) {
        switch ((FieldType)field->type) {
        case FIELD_BOOL:
                (void)printf("bool");
                break;
        case FIELD_NUMBER:
                print_number(field);
                break;
        case FIELD_ENUM:
                print_words(field);
                break;
        case FIELD_TEXT:
                (void)printf("text");
                break;
        case FIELD_CHARS:
                if (field->valid)
                        (void)printf("%s", field->pattern);
                else
                        (void)printf("text to %" PRIu32 " bytes", field->size - 1);
                break;
        case FIELD_HEX:
                (void)printf("%" PRIu32 " hexadecimal digits", 2 * field->size);
                break;
        case FIELD_ARGV:
                (void)printf("list of texts");
                break;
        case FIELD_TEXTS:
                (void)printf("list of texts to %" PRId64, field->max);
                break;
        case FIELD_REF:
                (void)printf("id");
                break;
        case FIELD_SET:
                (void)printf("numbers and ranges to %" PRId64 " bytes", field->max);
                break;
        case FIELD_IDS:
                (void)printf("list of ids to %" PRId64, field->max);
                break;
        case FIELD_OBJECT:
        case FIELD_BEHIND:
                (void)printf("%s", field->object->name);
                break;
        case FIELD_ARRAY:
        case FIELD_WITHIN:
                (void)printf("list of %s to %" PRId64, field->object->name, field->max);
                break;
        case FIELD_FIXED:
                (void)printf("%s", field->fixed);
                break;
        case FIELD_PART:
                assert(false);
        }
        if (field->flags & FIELD_NULLABLE)
                (void)printf(" or null");
}

static void print_fields(const char *what, const Field *fields) {
        for (const Field *field = fields; field->key; field++) {
                if (field->type == FIELD_PART) {
                        print_fields(what, field->object->fields);
                        continue;
                }
                (void)printf("%s\t%s\t", what, field->key);
                print_type(field);
                (void)printf("\t%s\n", field_may_be_left_out(field) ? "no" : "yes");
                if (has_object(field))
                        note_object(field->object);
        }
}

/* Who may call it. */
static const char *who(CallType type) {
        static const char *const by_access[] = {
                [ACCESS_ANYONE] = "anyone", [ACCESS_OWNER] = "owner",      [ACCESS_ADMIN] = "admin",
                [ACCESS_RUNNER] = "runner", [ACCESS_RUNNER_LATE] = "late",
        };

        if (call_specs[type].of_agent)
                return "user";
        for (size_t i = 0; i < n_methods; i++)
                if (methods[i].type == type)
                        return by_access[methods[i].access];
        return "daemon";
}

static void print_method(CallType type) {
        const CallSpec *spec = &call_specs[type];

        (void)printf("method\t%s\t%s\t%s%s%s\n", spec->method, who(type),
                     spec->oneway ? "oneway" : "answered", spec->fd ? ", with a " : "",
                     spec->fd ? spec->fd : "");
        if (spec->call)
                print_fields("call", spec->call->fields);
        if (spec->reply)
                print_fields("reply", spec->reply->fields);
}

int main(void) {
        for (int i = 0; i < N_CALL_TYPES; i++)
                print_method((CallType)i);

        (void)printf("object\tAny reply\n");
        print_fields("member", object_reply.fields);
        for (size_t i = 0; i < n_objects; i++) { /* it grows meanwhile */
                (void)printf("object\t%s\n", objects[i]->name);
                print_fields("member", objects[i]->fields);
        }

        for (int i = ERROR_NONE + 1; i < N_ERROR_NAMES; i++)
                (void)printf("error\t%s\n", error_name_to_string((ErrorName)i));
        return 0;
}
