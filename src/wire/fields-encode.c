/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/index-set.h"
#include "core/ref.h"
#include "core/task.h"
#include "util/cleanup.h"
#include "util/macro.h"
#include "util/text.h"
#include "wire/fields.h"

#define ELLIPSIS "\xe2\x80\xa6"

/* What is null is left out, unless its being there says something. */
static void encode_null(JsonText *text, const Field *field) {
        if (!(field->flags & FIELD_IS_SET))
                return;

        json_text_key(text, field->key);
        json_text_null(text);
}

static void encode_number(JsonText *text, const Field *field, const void *at) {
        uint64_t value = field_load(at, field->size, field->flags & FIELD_SIGNED);

        if ((field->flags & FIELD_NULLABLE) && value == field->null_as) {
                encode_null(text, field);
                return;
        }
        if ((field->flags & FIELD_OMIT_ZERO) && value == 0)
                return;

        json_text_key(text, field->key);
        if (field->flags & FIELD_SIGNED)
                json_text_int(text, (int64_t)value);
        else
                json_text_uint(text, value);
}

static void encode_enum(JsonText *text, const Field *field, const void *at) {
        uint64_t value = field_load(at, field->size, false);
        const char *word;

        if ((field->flags & FIELD_OMIT_ZERO) && value == 0)
                return;

        word = field->to_word((unsigned)value);
        assert(word);
        json_text_key(text, field->key);
        json_text_string(text, word, TASK_TEXT_MAX);
}

/* A text that must be there is empty where there is none. */
static void encode_text(JsonText *text, const Field *field, const char *s) {
        if (!s && (field->flags & FIELD_NULLABLE)) {
                encode_null(text, field);
                return;
        }

        json_text_key(text, field->key);
        json_text_string(text, s ? s : "", TASK_TEXT_MAX);
}

static void encode_chars(JsonText *text, const Field *field, const char *s) {
        if (*s == '\0' && (field->flags & FIELD_NULLABLE))
                return;

        json_text_key(text, field->key);
        json_text_string(text, s, field->size - 1);
}

static void encode_hex(JsonText *text, const Field *field, const uint8_t *bytes) {
        static const char digits[] = "0123456789abcdef";
        char hex[2 * 64 + 1];

        assert(field->size <= 64);
        for (size_t i = 0; i < field->size; i++) {
                hex[2 * i] = digits[bytes[i] >> 4];
                hex[2 * i + 1] = digits[bytes[i] & 0xf];
        }
        hex[(size_t)2 * field->size] = '\0';

        json_text_key(text, field->key);
        json_text_string(text, hex, sizeof(hex));
}

/* Whether all words go as they are. */
static bool argv_fits(char *const *argv) {
        size_t n_left = TASK_TEXT_MAX;

        for (size_t i = 0; argv[i]; i++) {
                size_t n = strnlen(argv[i], n_left);

                if (n + 1 > n_left || !text_is_utf8(argv[i], n))
                        return false;
                n_left -= n + 1;
        }

        return true;
}

/* One word, repaired, if it fits what is left; else what fits of it, and the end of all words. */
static bool encode_word(JsonText *text, const char *word, size_t *n_left) {
        _cleanup_free_ char *repaired = NULL;
        size_t n;

        repaired =
                text_repair_utf8(word, strnlen(word, TASK_TEXT_MAX + 1), (size_t)3 * TASK_TEXT_MAX);
        if (!repaired) {
                json_text_fail(text, -ENOMEM);
                return false;
        }

        n = strlen(repaired) + 1;
        if (n <= *n_left) {
                json_text_string(text, repaired, n);
                *n_left -= n;
                return true;
        }

        if (*n_left > 1)
                json_text_string(text, repaired, *n_left - 1);
        json_text_string(text, ELLIPSIS, sizeof(ELLIPSIS));
        return false;
}

/* At most TASK_TEXT_MAX bytes, a NUL counted for each word. */
static void encode_argv(JsonText *text, const Field *field, char *const *argv) {
        size_t n_left = TASK_TEXT_MAX - sizeof(ELLIPSIS);

        if (!argv || !argv[0])
                return;

        json_text_key(text, field->key);
        json_text_open(text, '[');
        if (argv_fits(argv))
                for (size_t i = 0; argv[i]; i++)
                        json_text_string(text, argv[i], TASK_TEXT_MAX);
        else
                for (size_t i = 0; argv[i] && encode_word(text, argv[i], &n_left); i++)
                        ;
        json_text_close(text, ']');
}

static void encode_texts(JsonText *text, const Field *field, const void *base) {
        size_t n = field_n(field, base);

        if (n == 0)
                return;

        json_text_key(text, field->key);
        json_text_open(text, '[');
        for (size_t i = 0; i < n; i++) {
                const char *s;

                memcpy(&s, field_peek(base, field->offset + i * sizeof(s)), sizeof(s));
                json_text_string(text, s ? s : "", TASK_TEXT_MAX);
        }
        json_text_close(text, ']');
}

static void put_ref(JsonText *text, uint64_t ref) {
        char buf[TASK_REF_FORMAT_MAX];

        if (task_ref_index(ref) < 0)
                json_text_uint(text, ref);
        else
                json_text_string(text, task_ref_format(buf, sizeof(buf), ref), sizeof(buf));
}

static void encode_ref(JsonText *text, const Field *field, const void *at) {
        uint64_t ref = field_load(at, field->size, false);

        if ((field->flags & FIELD_OMIT_ZERO) && ref == 0)
                return;

        json_text_key(text, field->key);
        put_ref(text, ref);
}

static void encode_ids(JsonText *text, const Field *field, const void *base) {
        const uint64_t *ids = field_pointer(base, field);
        size_t n = field_n(field, base);

        if (n == 0)
                return;

        json_text_key(text, field->key);
        json_text_open(text, '[');
        for (size_t i = 0; i < n; i++)
                put_ref(text, ids[i]);
        json_text_close(text, ']');
}

/* Where a range of @s begins that does not fit whole into @max bytes, it ends. */
static void cut_set(char *s, size_t max) {
        size_t n = max;

        if (strlen(s) <= max)
                return;

        while (n > 0 && s[n] != ',')
                n--;
        s[n] = '\0';
}

/* One in so many pieces that it is too long can only be shown, and is cut. */
static void encode_set(JsonText *text, const Field *field, const IndexSet *set) {
        _cleanup_free_ char *s = NULL;

        if (set->n == 0 && (field->flags & FIELD_NULLABLE))
                return;

        s = index_set_format(set);
        if (!s) {
                json_text_fail(text, -ENOMEM);
                return;
        }
        cut_set(s, (size_t)field->max);
        json_text_key(text, field->key);
        json_text_string(text, s, (size_t)field->max);
}

static void encode_object(JsonText *text, const char *key, const Object *object, const void *base) {
        if (!base)
                return;

        if (key)
                json_text_key(text, key);
        json_text_open(text, '{');
        fields_encode(text, object->fields, base);
        json_text_close(text, '}');
}

static void encode_elements(JsonText *text, const Field *field, const void *elements, size_t n) {
        if (!elements)
                n = 0;
        if (n == 0 && !(field->flags & FIELD_IS_SET))
                return;

        json_text_key(text, field->key);
        json_text_open(text, '[');
        for (size_t i = 0; i < n; i++)
                encode_object(text, NULL, field->object, field_peek(elements, i * field->size));
        json_text_close(text, ']');
}

static void encode_behind(JsonText *text, const Field *field, const void *base) {
        const Object *object = field->choose ? field->choose(base) : field->object;

        encode_object(text, field->key, object, field_pointer(base, field));
}

static void encode_fixed(JsonText *text, const Field *field) {
        json_text_key(text, field->key);
        json_text_raw(text, field->fixed);
}

static void encode_bool(JsonText *text, const Field *field, const void *at) {
        if (!field_load(at, field->size, false))
                return;

        json_text_key(text, field->key);
        json_text_bool(text, true);
}

static void encode_member(JsonText *text, const Field *field, const void *base) {
        const void *at = field_peek(base, field->offset);

        switch ((FieldType)field->type) {
        case FIELD_BOOL:
                encode_bool(text, field, at);
                return;
        case FIELD_NUMBER:
                encode_number(text, field, at);
                return;
        case FIELD_ENUM:
                encode_enum(text, field, at);
                return;
        case FIELD_TEXT:
                encode_text(text, field, field_pointer(base, field));
                return;
        case FIELD_CHARS:
                encode_chars(text, field, at);
                return;
        case FIELD_HEX:
                encode_hex(text, field, at);
                return;
        case FIELD_ARGV:
                encode_argv(text, field, field_pointer(base, field));
                return;
        case FIELD_TEXTS:
                encode_texts(text, field, base);
                return;
        case FIELD_REF:
                encode_ref(text, field, at);
                return;
        case FIELD_IDS:
                encode_ids(text, field, base);
                return;
        case FIELD_SET:
                encode_set(text, field, at);
                return;
        case FIELD_OBJECT:
                encode_object(text, field->key, field->object, at);
                return;
        case FIELD_BEHIND:
                encode_behind(text, field, base);
                return;
        case FIELD_ARRAY:
                encode_elements(text, field, field_pointer(base, field), field_n(field, base));
                return;
        case FIELD_WITHIN:
                encode_elements(text, field, at, field_n(field, base));
                return;
        case FIELD_PART:
                fields_encode(text, field->object->fields, at);
                return;
        case FIELD_FIXED:
                encode_fixed(text, field);
                return;
        }
}

void fields_encode(JsonText *text, const Field *fields, const void *base) {
        for (const Field *field = fields; field->key; field++)
                if (!(field->flags & FIELD_IS_SET) ||
                    field_load(field_peek(base, field->set_offset), sizeof(bool), false))
                        encode_member(text, field, base);
}
