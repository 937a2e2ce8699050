#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Fields
 *
 * What stands in a message, as data: for each key its type, its bounds and where in which struct it lives. The same rows
 * write a message, read it, release what was read, and are held against docs/protocol.md, so that no two of these can
 * differ. The tables are in table-*.c.
 *
 * What is null, false, or an empty list is left out of a message, and reads as if it were there.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "util/error.h"
#include "wire/json-text.h"

typedef enum FieldType {
        FIELD_BOOL,   /* bool */
        FIELD_NUMBER, /* an integer of 4 or 8 bytes */
        FIELD_ENUM,   /* a word: an enum with a string table */
        FIELD_TEXT,   /* char *, owned, UTF-8 on the wire */
        FIELD_CHARS,  /* char[]: text that fits it */
        FIELD_HEX,    /* uint8_t[]: two digits a byte */
        FIELD_ARGV,   /* char **, owned, ended by NULL; cut as a whole with a last element "…" */
        FIELD_TEXTS,  /* char *[max]: an array inside the struct, each owned */
        FIELD_REF,    /* uint64_t that names a task: 12, or "12_3" for an element */
        FIELD_IDS,    /* uint64_t *, owned; each as FIELD_REF */
        FIELD_SET,    /* IndexSet, owned: "0-9,12" */
        FIELD_OBJECT, /* a struct inside the struct */
        FIELD_BEHIND, /* a struct behind a pointer, owned */
        FIELD_ARRAY,  /* structs behind a pointer, owned */
        FIELD_WITHIN, /* structs in an array inside the struct */
        FIELD_PART,   /* no key of its own: more rows of the same JSON object */
        FIELD_FIXED,  /* a value that is always the same, written and never read */
} FieldType;

enum {
        FIELD_NULLABLE = 1 << 0, /* left out, or null: it is `null_as`, or an empty text, or NULL */
        FIELD_OPTIONAL = 1 << 1, /* may be left out: it stays as it was initialised */
        FIELD_OMIT_ZERO = 1 << 2, /* left out when 0; implies OPTIONAL */
        FIELD_IS_SET = 1 << 3,    /* a bool has whether it is there; then null, 0, empty are said */
        FIELD_SIGNED = 1 << 4,    /* NUMBER: of a signed type */
        FIELD_COUNTED = 1 << 5,   /* ARRAY: NULL, or as many as a row above has the count of */
        FIELD_FILLED = 1 << 6,    /* WITHIN: no count: as many as begin with a byte that is not 0 */
        FIELD_OR_ELSE = 1 << 7,   /* ENUM: a word that is not known is `null_as`, unless `strict` */
};

typedef struct Field Field;

/* A JSON object; the name is what docs/protocol.md calls it. */
typedef struct Object {
        const char *name;
        const Field *fields;               /* ended by a row without a key */
        const char *(*check)(void *value); /* after reading; what is wrong, or NULL */
        void *(*make)(void);        /* one behind a pointer, with its defaults; NULL: zeroed */
        void *(*free)(void *value); /* NULL: by its fields */
} Object;

/* Small, because each program has them all written into its memory when it starts. */
struct Field {
        const char *key; /* FIELD_PART: anything but NULL */
        uint8_t type;    /* FieldType */
        uint8_t flags;
        uint8_t n_size;      /* arrays: of the count; 0: there is none */
        uint32_t offset;     /* in the struct */
        uint32_t size;       /* of the member; of one element of an array */
        uint32_t n_offset;   /* arrays: of the count */
        uint32_t set_offset; /* FIELD_IS_SET: of the bool */
        int64_t min;         /* smallest number */
        int64_t max;         /* largest number; most elements; bytes of a set; INT64_MAX */
        uint64_t null_as;    /* NUMBER: what null stands for; ENUM: OR_ELSE */
        union {
                struct {                              /* CHARS */
                        bool (*valid)(const char *s); /* NULL: any text */
                        const char *pattern;          /* what it looks like, for people */
                };
                struct {                                        /* ENUM */
                        const char *(*to_word)(unsigned value); /* NULL if out of range */
                        int (*from_word)(const char *word);
                };
                struct { /* OBJECT, BEHIND, ARRAY, WITHIN, PART */
                        const Object *object;
                        const Object *(*choose)(
                                const void *owner); /* BEHIND: written as this one instead */
                };
                const char *fixed; /* FIXED: JSON */
        };
};

enum {
        FIELDS_DEPTH_MAX = 16, /* of brackets in a message */
};

/* Writes the object's keys and values, without the brackets. */
void fields_encode(JsonText *text, const Field *fields, const void *base);

/* One that is being read: a jansson object. */
struct json_t;

typedef struct FieldsReader {
        bool strict; /* unknown keys and words are refused; else what is newer than we are is ignored */
        Error *error;
        unsigned depth;
        struct {
                const char *key;
                long i; /* -1: no element */
        } path[FIELDS_DEPTH_MAX];
} FieldsReader;

/**
 * fields_decode() - a JSON object into a struct
 * @base:       all zero, or with its defaults; also on failure to be released with fields_done()
 *
 * Return: 0, MESSAGE_E_BAD with the reader's error, or -ENOMEM.
 */
int fields_decode(FieldsReader *reader, const Object *object, struct json_t *json, void *base);

/* Whether it is nothing wrong if the key is missing. */
bool field_may_be_left_out(const Field *field);

/* Frees what the struct owns, as far as the fields say. */
void fields_done(const Field *fields, void *base);

/* The member, or the element, whose type the rows know; to be read, or to be changed. */
static inline const void *field_peek(const void *base, size_t offset) {
        return (const char *)base + offset;
}

static inline void *field_at(void *base, size_t offset) {
        return (char *)base + offset;
}

/* The pointer that is such a member. */
static inline const void *field_pointer(const void *base, const Field *field) {
        const void *p;

        memcpy(&p, field_peek(base, field->offset), sizeof(p));
        return p;
}

/* The number that a count, a bool or another integer of 1, 4 or 8 bytes holds. */
uint64_t field_load(const void *at, uint32_t size, bool is_signed);
void field_store(void *at, uint32_t size, uint64_t value);

/* How many elements an array has. */
size_t field_n(const Field *field, const void *base);

/* Rows: key, struct, member (it may be a path: submit.task), and what the type needs to know. */
#define FIELD_SIZE(_type, _member) sizeof(((_type *)NULL)->_member)
#define FIELD_IN(_type, _member) \
        .offset = offsetof(_type, _member), .size = FIELD_SIZE(_type, _member)
#define FIELD_N(_type, _member) \
        .n_offset = offsetof(_type, _member), .n_size = FIELD_SIZE(_type, _member)
#define FIELD_ELEMENT(_type, _member) \
        .offset = offsetof(_type, _member), .size = sizeof(*((_type *)NULL)->_member)

#define ROW_BOOL(_key, _type, _member) \
        { .key = (_key), .type = FIELD_BOOL, FIELD_IN(_type, _member) }
#define ROW_NUMBER(_key, _type, _member, _flags, _min, _max, ...)                                 \
        {                                                                                         \
                .key = (_key), .type = FIELD_NUMBER, FIELD_IN(_type, _member), .flags = (_flags), \
                .min = (_min), .max = (_max), __VA_ARGS__                                         \
        }
/* The bool of a row with FIELD_IS_SET. */
#define ROW_SET_BY(_type, _member) .set_offset = offsetof(_type, _member)

/* A number that null stands for one value of, which is not a number on the wire. */
#define ROW_OR_NULL(_key, _type, _member, _null_as, _flags, _min, _max, ...)    \
        ROW_NUMBER(_key, _type, _member, FIELD_NULLABLE | (_flags), _min, _max, \
                   .null_as = (_null_as), __VA_ARGS__)
#define ROW_ENUM(_key, _type, _member, _flags, _to_word, _from_word, _min, _max)                \
        {                                                                                       \
                .key = (_key), .type = FIELD_ENUM, FIELD_IN(_type, _member), .flags = (_flags), \
                .to_word = (_to_word), .from_word = (_from_word), .min = (int)(_min),           \
                .max = (int)(_max)                                                              \
        }
#define ROW_ENUM_OR_ELSE(_key, _type, _member, _else, _to_word, _from_word, _min, _max) \
        {                                                                               \
                .key = (_key), .type = FIELD_ENUM, FIELD_IN(_type, _member),            \
                .flags = FIELD_OR_ELSE, .null_as = (_else), .to_word = (_to_word),      \
                .from_word = (_from_word), .min = (int)(_min), .max = (int)(_max)       \
        }
#define ROW_TEXT(_key, _type, _member, _flags, ...)                                             \
        {                                                                                       \
                .key = (_key), .type = FIELD_TEXT, FIELD_IN(_type, _member), .flags = (_flags), \
                __VA_ARGS__                                                                     \
        }
#define ROW_CHARS(_key, _type, _member, _flags, _valid, _pattern)                                \
        {                                                                                        \
                .key = (_key), .type = FIELD_CHARS, FIELD_IN(_type, _member), .flags = (_flags), \
                .valid = (_valid), .pattern = (_pattern)                                         \
        }
#define ROW_HEX(_key, _type, _member) \
        { .key = (_key), .type = FIELD_HEX, FIELD_IN(_type, _member) }
#define ROW_ARGV(_key, _type, _member) \
        { .key = (_key), .type = FIELD_ARGV, FIELD_IN(_type, _member) }
#define ROW_TEXTS(_key, _type, _member, _n, _max)                                                 \
        {                                                                                         \
                .key = (_key), .type = FIELD_TEXTS, FIELD_IN(_type, _member), FIELD_N(_type, _n), \
                .max = (_max)                                                                     \
        }
#define ROW_REF(_key, _type, _member) \
        { .key = (_key), .type = FIELD_REF, FIELD_IN(_type, _member) }
#define ROW_REF_OR_NONE(_key, _type, _member) \
        { .key = (_key), .type = FIELD_REF, FIELD_IN(_type, _member), .flags = FIELD_OMIT_ZERO }
#define ROW_INDICES(_key, _type, _member, _flags, _max)                                        \
        {                                                                                      \
                .key = (_key), .type = FIELD_SET, FIELD_IN(_type, _member), .flags = (_flags), \
                .max = (_max)                                                                  \
        }
#define ROW_IDS(_key, _type, _member, _n, _max)                                  \
        {                                                                        \
                .key = (_key), .type = FIELD_IDS, FIELD_ELEMENT(_type, _member), \
                FIELD_N(_type, _n), .max = (_max)                                \
        }
#define ROW_OBJECT(_key, _type, _member, _flags, _object)                                         \
        {                                                                                         \
                .key = (_key), .type = FIELD_OBJECT, FIELD_IN(_type, _member), .flags = (_flags), \
                .object = (_object)                                                               \
        }
#define ROW_BEHIND(_key, _type, _member, _flags, _object, ...)                      \
        {                                                                           \
                .key = (_key), .type = FIELD_BEHIND, FIELD_ELEMENT(_type, _member), \
                .flags = (_flags), .object = (_object), __VA_ARGS__                 \
        }
#define ROW_ARRAY(_key, _type, _member, _n, _flags, _object, _max, ...)                    \
        {                                                                                  \
                .key = (_key), .type = FIELD_ARRAY, FIELD_ELEMENT(_type, _member),         \
                FIELD_N(_type, _n), .flags = (_flags), .object = (_object), .max = (_max), \
                __VA_ARGS__                                                                \
        }
#define ROW_WITHIN(_key, _type, _member, _n, _object, _max)                         \
        {                                                                           \
                .key = (_key), .type = FIELD_WITHIN, FIELD_ELEMENT(_type, _member), \
                FIELD_N(_type, _n), .object = (_object), .max = (_max)              \
        }
#define ROW_FILLED(_key, _type, _member, _object, _max)                             \
        {                                                                           \
                .key = (_key), .type = FIELD_WITHIN, FIELD_ELEMENT(_type, _member), \
                .flags = FIELD_FILLED, .object = (_object), .max = (_max)           \
        }
#define ROW_PART(_offset, _object) \
        { .key = "", .type = FIELD_PART, .offset = (_offset), .object = (_object) }
#define ROW_FIXED(_key, _json) \
        { .key = (_key), .type = FIELD_FIXED, .fixed = (_json) }
