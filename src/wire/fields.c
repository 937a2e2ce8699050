/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "wire/fields.h"

#include <assert.h>
#include <stdlib.h>

#include "core/index-set.h"

uint64_t field_load(const void *at, uint32_t size, bool is_signed) {
        uint64_t u64;
        uint32_t u32;
        bool flag;

        switch (size) {
        case sizeof(flag):
                memcpy(&flag, at, sizeof(flag));
                return flag;
        case sizeof(u32):
                memcpy(&u32, at, sizeof(u32));
                return is_signed ? (uint64_t)(int64_t)(int32_t)u32 : u32;
        default:
                assert(size == sizeof(u64));
                memcpy(&u64, at, sizeof(u64));
                return u64;
        }
}

void field_store(void *at, uint32_t size, uint64_t value) {
        uint32_t u32 = (uint32_t)value;
        bool flag = value;

        switch (size) {
        case sizeof(flag):
                memcpy(at, &flag, sizeof(flag));
                return;
        case sizeof(u32):
                memcpy(at, &u32, sizeof(u32));
                return;
        default:
                assert(size == sizeof(value));
                memcpy(at, &value, sizeof(value));
        }
}

/* Elements that begin with a byte that is not 0. */
static size_t n_filled(const Field *field, const void *base) {
        size_t n = 0;

        while (n < (size_t)field->max) {
                const char *element = field_peek(base, field->offset + n * field->size);

                if (*element == '\0')
                        break;
                n++;
        }

        return n;
}

size_t field_n(const Field *field, const void *base) {
        if (field->flags & FIELD_FILLED)
                return n_filled(field, base);

        assert(field->n_size > 0);
        return field_load(field_peek(base, field->n_offset), field->n_size, false);
}

static void free_at(void *base, const Field *field) {
        void *none = NULL, *p;

        memcpy(&p, field_at(base, field->offset), sizeof(p));
        free(p);
        memcpy(field_at(base, field->offset), &none, sizeof(none));
}

static void free_argv(void *base, const Field *field) {
        char **argv;

        memcpy(&argv, field_at(base, field->offset), sizeof(argv));
        for (size_t i = 0; argv && argv[i]; i++)
                free(argv[i]);
        free_at(base, field);
}

static void free_behind(void *base, const Field *field) {
        void *value, *none = NULL;

        memcpy(&value, field_at(base, field->offset), sizeof(value));
        if (!value)
                return;

        if (field->object->free)
                (void)field->object->free(value);
        else {
                fields_done(field->object->fields, value);
                free(value);
        }
        memcpy(field_at(base, field->offset), &none, sizeof(none));
}

static void done_elements(void *elements, const Field *field, size_t n) {
        for (size_t i = 0; i < n; i++)
                fields_done(field->object->fields, field_at(elements, i * field->size));
}

static void free_array(void *base, const Field *field) {
        void *elements;

        memcpy(&elements, field_at(base, field->offset), sizeof(elements));
        if (elements)
                done_elements(elements, field, field_n(field, base));
        free_at(base, field);
}

static void free_texts(void *base, const Field *field) {
        size_t n = field_n(field, base);

        for (size_t i = 0; i < n; i++) {
                char *text;

                memcpy(&text, field_at(base, field->offset + i * sizeof(text)), sizeof(text));
                free(text);
        }
}

static void member_done(const Field *field, void *base) {
        switch ((FieldType)field->type) {
        case FIELD_BOOL:
        case FIELD_NUMBER:
        case FIELD_ENUM:
        case FIELD_REF:
        case FIELD_CHARS:
        case FIELD_HEX:
        case FIELD_FIXED:
                return;
        case FIELD_TEXT:
        case FIELD_IDS:
                free_at(base, field);
                return;
        case FIELD_SET:
                index_set_done(field_at(base, field->offset));
                return;
        case FIELD_ARGV:
                free_argv(base, field);
                return;
        case FIELD_TEXTS:
                free_texts(base, field);
                return;
        case FIELD_OBJECT:
        case FIELD_PART:
                fields_done(field->object->fields, field_at(base, field->offset));
                return;
        case FIELD_BEHIND:
                free_behind(base, field);
                return;
        case FIELD_ARRAY:
                free_array(base, field);
                return;
        case FIELD_WITHIN:
                done_elements(field_at(base, field->offset), field, field_n(field, base));
                return;
        }
}

void fields_done(const Field *fields, void *base) {
        for (const Field *field = fields; field->key; field++)
                member_done(field, base);
}
