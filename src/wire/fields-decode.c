/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What comes from the other side is hostile until it has passed here. Whatever a row does not allow is refused with the
 * key's whole path: "'task.needs.gpus[2].bytes' must be …".
 */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "core/index-set.h"
#include "core/ref.h"
#include "core/task.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/text.h"
#include "wire/fields.h"
#include "wire/message.h"

/* "task.needs.gpus[2].bytes" */
static void format_path(const FieldsReader *reader, char *buf, size_t n) {
        size_t n_used = 0;

        buf[0] = '\0';
        for (unsigned i = 0; i < reader->depth && n_used < n; i++) {
                int n_more;

                if (reader->path[i].i < 0)
                        n_more = snprintf(buf + n_used, n - n_used, "%s%s", i > 0 ? "." : "",
                                          reader->path[i].key);
                else
                        n_more = snprintf(buf + n_used, n - n_used, "%s%s[%ld]", i > 0 ? "." : "",
                                          reader->path[i].key, reader->path[i].i);
                n_used += n_more > 0 ? (size_t)n_more : 0;
        }
}

/* Refuses the member that is being read. */
_printf_(2, 3) static int refuse(FieldsReader *reader, const char *fmt, ...) {
        char path[128], why[160];
        va_list ap;

        format_path(reader, path, sizeof(path));
        va_start(ap, fmt);
        (void)vsnprintf(why, sizeof(why), fmt, ap);
        va_end(ap);
        return error_set(reader->error, MESSAGE_E_BAD, "'%s' %s", path[0] ? path : "parameters",
                         why);
}

static void set_pointer(void *base, const Field *field, void *value) {
        memcpy(field_at(base, field->offset), &value, sizeof(value));
}

static int decode_bool(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        if (!json_is_boolean(json))
                return refuse(reader, "must be true or false");

        field_store(field_at(base, field->offset), field->size, json_is_true(json));
        return 0;
}

static int refuse_number(FieldsReader *reader, const Field *field) {
        const char *or_null = field->flags & FIELD_NULLABLE ? ", or null" : "";

        if (field->max == INT64_MAX)
                return refuse(reader, "must be a whole number from %" PRId64 " on%s", field->min,
                              or_null);
        return refuse(reader, "must be a whole number from %" PRId64 " to %" PRId64 "%s",
                      field->min, field->max, or_null);
}

static int decode_number(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        json_int_t value = json_integer_value(json);

        if (!json_is_integer(json) || value < field->min || value > field->max)
                return refuse_number(reader, field);

        field_store(field_at(base, field->offset), field->size, (uint64_t)value);
        return 0;
}

static int decode_enum(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        int value;

        if (!json_is_string(json))
                return refuse(reader, "must be a word");

        value = field->from_word(json_string_value(json));
        if (value < field->min && (field->flags & FIELD_OR_ELSE) && !reader->strict)
                value = (int)field->null_as;
        if (value < field->min || value > field->max)
                return refuse(reader, "is none of the words allowed");

        field_store(field_at(base, field->offset), field->size, (uint64_t)value);
        return 0;
}

/* A text of at most @max bytes. */
static int check_text(FieldsReader *reader, const json_t *json, size_t max) {
        if (!json_is_string(json))
                return refuse(reader, "must be a text");
        if (json_string_length(json) > max)
                return refuse(reader, "is longer than %zu bytes", max);
        return 0;
}

static int copy_text(FieldsReader *reader, const json_t *json, char **ret) {
        char *copy;
        int r;

        r = check_text(reader, json, TASK_TEXT_MAX);
        if (r != 0)
                return r;

        copy = strdup(json_string_value(json));
        if (!copy)
                return -ENOMEM;

        *ret = copy;
        return 0;
}

static int decode_text(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        char *copy;
        int r;

        r = copy_text(reader, json, &copy);
        if (r == 0)
                set_pointer(base, field, copy);
        return r;
}

static int decode_chars(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        size_t n = json_string_length(json);
        int r;

        r = check_text(reader, json, field->size - 1);
        if (r != 0)
                return r;
        if (field->valid && !field->valid(json_string_value(json)))
                return refuse(reader, "must be %s", field->pattern);

        memcpy(field_at(base, field->offset), json_string_value(json), n + 1);
        return 0;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

static int decode_hex(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        uint8_t *bytes = field_at(base, field->offset);
        const char *s = json_string_value(json);

        if (json_string_length(json) != (size_t)2 * field->size)
                return refuse(reader, "must be %" PRIu32 " hexadecimal digits", 2 * field->size);

        for (size_t i = 0; i < field->size; i++) {
                int high = hex_digit(s[2 * i]), low = hex_digit(s[2 * i + 1]);

                if (high < 0 || low < 0)
                        return refuse(reader, "must be %" PRIu32 " hexadecimal digits",
                                      2 * field->size);
                bytes[i] = (uint8_t)(high << 4 | low);
        }

        return 0;
}

static int check_array(FieldsReader *reader, const json_t *json, int64_t max) {
        if (!json_is_array(json))
                return refuse(reader, "must be a list");
        if (json_array_size(json) > (size_t)max)
                return refuse(reader, "has %zu elements, more than %" PRId64, json_array_size(json),
                              max);
        return 0;
}

static void enter_element(FieldsReader *reader, size_t i) {
        reader->path[reader->depth - 1].i = (long)i;
}

static int decode_argv(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        size_t n_bytes = 0, n = json_array_size(json);
        char **argv;
        int r;

        r = check_array(reader, json, TASK_TEXT_MAX);
        if (r != 0)
                return r;

        argv = calloc(n + 1, sizeof(*argv));
        if (!argv)
                return -ENOMEM;

        set_pointer(base, field, argv);
        for (size_t i = 0; i < n; i++) {
                const json_t *word = json_array_get(json, i);

                enter_element(reader, i);
                r = copy_text(reader, word, &argv[i]);
                if (r != 0)
                        return r;
                n_bytes += json_string_length(word) + 1;
        }

        enter_element(reader, (size_t)-1);
        if (n_bytes > TASK_TEXT_MAX)
                return refuse(reader, "is longer than %d bytes", TASK_TEXT_MAX);
        return 0;
}

static int decode_texts(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        int r;

        r = check_array(reader, json, field->max);
        if (r != 0)
                return r;

        for (size_t i = 0; i < json_array_size(json); i++) {
                char *copy;

                enter_element(reader, i);
                r = copy_text(reader, json_array_get(json, i), &copy);
                if (r != 0)
                        return r;
                memcpy(field_at(base, field->offset + i * sizeof(copy)), &copy, sizeof(copy));
                field_store(field_at(base, field->n_offset), field->n_size, i + 1);
        }

        return 0;
}

/* There is one way only to write each: an element as a text, anything else as a number. */
static bool read_ref(const json_t *json, uint64_t *ret) {
        json_int_t id = json_integer_value(json);
        uint64_t ref;

        if (json_is_integer(json) && id >= 1 && (uint64_t)id <= TASK_ID_MAX) {
                *ret = (uint64_t)id;
                return true;
        }
        if (!json_is_string(json) || task_ref_parse(json_string_value(json), &ref, NULL) < 0 ||
            task_ref_index(ref) < 0)
                return false;

        *ret = ref;
        return true;
}

static int refuse_ref(FieldsReader *reader) {
        return refuse(reader, "must be a whole number from 1 to %" PRIu64 ", or \"12_3\"",
                      TASK_ID_MAX);
}

static int decode_ref(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        uint64_t ref;

        if (!read_ref(json, &ref))
                return refuse_ref(reader);

        field_store(field_at(base, field->offset), field->size, ref);
        return 0;
}

static int decode_ids(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        size_t n = json_array_size(json);
        uint64_t *ids;
        int r;

        r = check_array(reader, json, field->max);
        if (r != 0 || n == 0)
                return r;

        ids = calloc(n, sizeof(*ids));
        if (!ids)
                return -ENOMEM;

        set_pointer(base, field, ids);
        field_store(field_at(base, field->n_offset), field->n_size, n);
        for (size_t i = 0; i < n; i++) {
                const json_t *id = json_array_get(json, i);

                enter_element(reader, i);
                if (!read_ref(id, &ids[i]))
                        return refuse_ref(reader);
        }

        return 0;
}

static int decode_set(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        IndexSet set;
        int r;

        r = check_text(reader, json, (size_t)field->max);
        if (r != 0)
                return r;

        r = index_set_parse(json_string_value(json), TASK_INDEX_MAX, &set, NULL);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(reader, "must be numbers and ranges to %d, as 0-9,12",
                              TASK_INDEX_MAX);

        memcpy(field_at(base, field->offset), &set, sizeof(set));
        return 0;
}

static int decode_behind(FieldsReader *reader, const Field *field, json_t *json, void *base) {
        void *value;

        value = field->object->make ? field->object->make() : calloc(1, field->size);
        if (!value)
                return -ENOMEM;

        set_pointer(base, field, value);
        return fields_decode(reader, field->object, json, value);
}

/* The elements of an array, which are all zero. */
static int decode_elements(FieldsReader *reader,
                           const Field *field,
                           const json_t *json,
                           void *elements) {
        for (size_t i = 0; i < json_array_size(json); i++) {
                int r;

                enter_element(reader, i);
                r = fields_decode(reader, field->object, json_array_get(json, i),
                                  field_at(elements, i * field->size));
                if (r != 0)
                        return r;
        }

        return 0;
}

static int decode_array(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        size_t n = json_array_size(json);
        void *elements;
        int r;

        r = check_array(reader, json, field->max);
        if (r != 0)
                return r;
        if ((field->flags & FIELD_COUNTED) && n != field_n(field, base))
                return refuse(reader, "must be a list of %zu", field_n(field, base));
        if (n == 0)
                return 0;

        elements = calloc(n, field->size);
        if (!elements)
                return -ENOMEM;

        set_pointer(base, field, elements);
        if (!(field->flags & FIELD_COUNTED))
                field_store(field_at(base, field->n_offset), field->n_size, n);
        return decode_elements(reader, field, json, elements);
}

static int decode_within(FieldsReader *reader, const Field *field, const json_t *json, void *base) {
        int r;

        r = check_array(reader, json, field->max);
        if (r != 0)
                return r;

        if (!(field->flags & FIELD_FILLED))
                field_store(field_at(base, field->n_offset), field->n_size, json_array_size(json));
        return decode_elements(reader, field, json, field_at(base, field->offset));
}

/* A value that is there and not null. */
static int decode_value(FieldsReader *reader, const Field *field, json_t *json, void *base) {
        switch ((FieldType)field->type) {
        case FIELD_BOOL:
                return decode_bool(reader, field, json, base);
        case FIELD_NUMBER:
                return decode_number(reader, field, json, base);
        case FIELD_ENUM:
                return decode_enum(reader, field, json, base);
        case FIELD_TEXT:
                return decode_text(reader, field, json, base);
        case FIELD_CHARS:
                return decode_chars(reader, field, json, base);
        case FIELD_HEX:
                return decode_hex(reader, field, json, base);
        case FIELD_ARGV:
                return decode_argv(reader, field, json, base);
        case FIELD_TEXTS:
                return decode_texts(reader, field, json, base);
        case FIELD_REF:
                return decode_ref(reader, field, json, base);
        case FIELD_IDS:
                return decode_ids(reader, field, json, base);
        case FIELD_SET:
                return decode_set(reader, field, json, base);
        case FIELD_OBJECT:
                return fields_decode(reader, field->object, json, field_at(base, field->offset));
        case FIELD_BEHIND:
                return decode_behind(reader, field, json, base);
        case FIELD_ARRAY:
                return decode_array(reader, field, json, base);
        case FIELD_WITHIN:
                return decode_within(reader, field, json, base);
        case FIELD_PART:
        case FIELD_FIXED:
                break;
        }

        return 0;
}

static bool may_be_null(const Field *field) {
        return field->flags & FIELD_NULLABLE;
}

bool field_may_be_left_out(const Field *field) {
        switch ((FieldType)field->type) {
        case FIELD_NUMBER:
        case FIELD_ENUM:
        case FIELD_TEXT:
        case FIELD_CHARS:
        case FIELD_HEX:
        case FIELD_REF:
        case FIELD_SET:
        case FIELD_OBJECT:
                return (field->flags & FIELD_IS_SET) ||
                       (field->flags & (FIELD_NULLABLE | FIELD_OPTIONAL | FIELD_OMIT_ZERO));
        case FIELD_BEHIND:
                return field->flags & FIELD_NULLABLE;
        case FIELD_BOOL:
        case FIELD_ARGV:
        case FIELD_TEXTS:
        case FIELD_IDS:
        case FIELD_ARRAY:
        case FIELD_WITHIN:
        case FIELD_PART:
        case FIELD_FIXED:
                break;
        }

        return true;
}

static int decode_member(FieldsReader *reader, const Field *field, json_t *json, void *base) {
        int r;

        assert(reader->depth < FIELDS_DEPTH_MAX);
        reader->path[reader->depth].key = field->key;
        reader->path[reader->depth].i = -1;
        reader->depth++;

        if (json && (field->flags & FIELD_IS_SET))
                field_store(field_at(base, field->set_offset), sizeof(bool), true);

        if (json && !(json_is_null(json) && may_be_null(field)))
                r = decode_value(reader, field, json, base);
        else if (!json && !field_may_be_left_out(field))
                r = refuse(reader, "is missing");
        else {
                if (field->type == FIELD_NUMBER && may_be_null(field))
                        field_store(field_at(base, field->offset), field->size, field->null_as);
                r = 0;
        }

        if (r == 0)
                reader->depth--;
        return r;
}

/* All members of one object; counts those that were there. */
static int decode_members(FieldsReader *reader,
                          const Field *fields,
                          json_t *json,
                          void *base,
                          size_t *n_known) {
        for (const Field *field = fields; field->key; field++) {
                json_t *value;
                int r;

                if (field->type == FIELD_PART) {
                        r = decode_members(reader, field->object->fields, json,
                                           field_at(base, field->offset), n_known);
                } else {
                        value = json_object_get(json, field->key);
                        *n_known += value ? 1 : 0;
                        r = decode_member(reader, field, value, base);
                }
                if (r != 0)
                        return r;
        }

        return 0;
}

static bool is_known(const Field *fields, const char *key) {
        for (const Field *field = fields; field->key; field++) {
                if (field->type == FIELD_PART) {
                        if (is_known(field->object->fields, key))
                                return true;
                } else if (strcmp(field->key, key) == 0)
                        return true;
        }

        return false;
}

static int refuse_unknown_key(FieldsReader *reader, const Field *fields, json_t *json) {
        _cleanup_free_ char *visible = NULL;
        const char *key = "";
        char path[128];

        for (void *i = json_object_iter(json); i; i = json_object_iter_next(json, i))
                if (!is_known(fields, json_object_iter_key(i)))
                        key = json_object_iter_key(i);

        format_path(reader, path, sizeof(path));
        visible = text_visible(key);
        return error_set(reader->error, MESSAGE_E_BAD, "unknown key '%s%s%.64s'", path,
                         path[0] ? "." : "", visible ? visible : "?");
}

int fields_decode(FieldsReader *reader, const Object *object, json_t *json, void *base) {
        const char *wrong;
        size_t n_known = 0;
        int r;

        if (!json_is_object(json))
                return refuse(reader, "must be an object");

        r = decode_members(reader, object->fields, json, base, &n_known);
        if (r != 0)
                return r;
        if (reader->strict && n_known < json_object_size(json))
                return refuse_unknown_key(reader, object->fields, json);

        wrong = object->check ? object->check(base) : NULL;
        return wrong ? refuse(reader, "%s", wrong) : 0;
}
