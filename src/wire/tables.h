#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Tables
 *
 * The objects that messages are made of (fields.h), and which of them belong to which method.
 */

#include <stdbool.h>

#include "wire/fields.h"
#include "wire/message.h"

/* A method: what its call and its reply carry. */
typedef struct CallSpec {
        const char *method; /* in full */
        bool oneway;        /* always */
        bool from_daemon;
        bool of_agent;       /* on an agent's own socket, and nowhere else */
        const char *fd;      /* what kind of descriptor comes along; NULL: none */
        const Object *call;  /* base: a Call; NULL: no parameters */
        const Object *reply; /* base: a Reply; NULL: no parameters */
} CallSpec;

extern const CallSpec call_specs[N_CALL_TYPES];

/* What any reply may carry; base: a Reply. */
extern const Object object_reply;

/* table-task.c */
extern const Object object_submitted_task; /* what Submit says */
extern const Object object_attached_task;  /* what Attach says: all of it */
extern const Object object_task_view;      /* base: a TaskView */
extern const Object object_token;
extern const Object object_grant; /* base: a GpuGrant */

/* table-explain.c */
extern const Object object_explain;

/* table-machine.c */
extern const Object object_machine_status;
extern const Object object_outsider;
extern const Object object_drain; /* rows of others; base: a Drain */

/* table-call.c, table-reply.c: one for each method that says something */
extern const Object object_call_submit, object_call_attach, object_call_accept, object_call_started,
        object_call_used, object_call_ended, object_call_away, object_call_withdraw,
        object_call_list, object_call_show, object_call_cancel, object_call_hold,
        object_call_update, object_call_wait, object_call_offer, object_call_end, object_call_look,
        object_call_submit_many, object_call_queue, object_call_resume, object_call_drain;
extern const Object object_reply_submit, object_reply_dry_run, object_reply_learned,
        object_reply_attach, object_reply_ended, object_reply_list, object_reply_why,
        object_reply_status, object_reply_ids, object_reply_wait, object_reply_get_info,
        object_reply_submit_many, object_reply_agent, object_reply_resume,
        object_reply_agent_status;

/* Texts that look as they should: GPU UUIDs (decisions.md 31) and ids, boot ids, ids of databases. */
bool table_is_uuid(const char *s);
bool table_is_gpu_id(const char *s);
bool table_is_boot_id(const char *s);
bool table_is_database(const char *s);

/* What people call a GPU, and its kind: null, and NVIDIA's, from those that know no other. */
const char *table_gpu_kind_to_word(unsigned value);

#define ROW_GPU_ID(_key, _type, _member)                                 \
        ROW_CHARS(_key, _type, _member, FIELD_NULLABLE, table_is_gpu_id, \
                  "small letters, digits or any of . : -")
#define ROW_GPU_KIND(_key, _type, _member)                                            \
        {                                                                             \
                .key = (_key), .type = FIELD_ENUM, FIELD_IN(_type, _member),          \
                .flags = FIELD_OR_ELSE | FIELD_OPTIONAL, .null_as = GPU_KIND_OTHER,   \
                .to_word = table_gpu_kind_to_word, .from_word = gpu_kind_from_string, \
                .max = GPU_KIND_OTHER                                                 \
        }

/* The state of a task, any of them. */
const char *table_task_state_to_word(unsigned value);

#define ROW_STATE(_type, _member, _flags)                                   \
        ROW_ENUM("state", _type, _member, _flags, table_task_state_to_word, \
                 task_state_from_string, TASK_STATE_PENDING, TASK_STATE_LOST)
