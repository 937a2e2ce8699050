/* SPDX-License-Identifier: GPL-3.0-or-later */

/* The methods, and what each call says. Those that carry a task are in table-task.c. */

#include "wire/tables.h"

enum {
        SIGNAL_MAX = 64,
};

#define ID_ROW(_member) ROW_REF("id", Call, _member)

static const Field accept_fields[] = {
        ID_ROW(accept.id),
        ROW_NUMBER("offer", Call, accept.offer, 0, 0, INT64_MAX),
        {},
};

const Object object_call_accept = { "Accept", accept_fields };

static const Field started_fields[] = {
        ID_ROW(started.id),
        {},
};

const Object object_call_started = { "Started", started_fields };

static const Field used_fields[] = {
        ID_ROW(used.id),
        ROW_NUMBER("memory_bytes", Call, used.memory_bytes, 0, 0, INT64_MAX),
        {},
};

const Object object_call_used = { "Used", used_fields };

/* `lost` is an agent's word, when a keeper died before it could write down how its command ended. */
static const Field ended_fields[] = {
        ID_ROW(ended.id),
        ROW_NUMBER("attempt", Call, ended.attempt, FIELD_OMIT_ZERO, 0, INT32_MAX),
        ROW_ENUM("state",
                 Call,
                 ended.state,
                 0,
                 table_task_state_to_word,
                 task_state_from_string,
                 TASK_STATE_DONE,
                 TASK_STATE_LOST),
        ROW_OR_NULL("exit_status", Call, ended.exit_status, (uint64_t)-1, FIELD_SIGNED, 0, 255),
        ROW_OR_NULL("signal", Call, ended.signal, 0, FIELD_SIGNED, 1, SIGNAL_MAX),
        ROW_NUMBER("ended_at_us", Call, ended.ended_at_us, 0, 0, INT64_MAX),
        ROW_TEXT("reason", Call, ended.reason, FIELD_NULLABLE),
        {},
};

const Object object_call_ended = { "Ended", ended_fields };

static const Field away_fields[] = {
        ID_ROW(away.id),
        ROW_BOOL("away", Call, away.away),
        {},
};

const Object object_call_away = { "Away", away_fields };

static const Field withdraw_fields[] = {
        ID_ROW(withdraw.id),
        ROW_TEXT("reason", Call, withdraw.reason, FIELD_NULLABLE),
        {},
};

const Object object_call_withdraw = { "Withdraw", withdraw_fields };

static const Field list_fields[] = {
        ROW_BOOL("ended", Call, list.ended),
        ROW_NUMBER("uid",
                   Call,
                   list.uid,
                   FIELD_IS_SET,
                   0,
                   UINT32_MAX,
                   ROW_SET_BY(Call, list.has_uid)),
        ROW_BOOL("explain", Call, list.explain),
        {},
};

const Object object_call_list = { "List", list_fields };

static const Field show_fields[] = {
        ID_ROW(show.id),
        {},
};

const Object object_call_show = { "Show", show_fields };

#define IDS_ROW(_member) ROW_IDS("ids", Call, _member.ids, _member.n, WIRE_IDS_MAX)

static const Field cancel_fields[] = {
        IDS_ROW(ids.ids),
        ROW_OR_NULL("signal", Call, ids.signal, 0, FIELD_SIGNED, 1, SIGNAL_MAX),
        {},
};

const Object object_call_cancel = { "Cancel", cancel_fields };

static const Field hold_fields[] = {
        IDS_ROW(ids.ids),
        {},
};

const Object object_call_hold = { "Hold", hold_fields };

static const Field wait_fields[] = {
        IDS_ROW(wait.ids),
        ROW_BOOL("any", Call, wait.any),
        {},
};

const Object object_call_wait = { "Wait", wait_fields };

static const Field offer_fields[] = {
        ID_ROW(offer.id),
        ROW_NUMBER("offer", Call, offer.offer, 0, 0, INT64_MAX),
        ROW_ARRAY("gpus", Call, offer.gpus, offer.n_gpus, 0, &object_grant, NEEDS_GPUS_MAX),
        ROW_BOOL("pin", Call, offer.pin),
        ROW_OR_NULL("time_limit_us", Call, offer.time_limit_us, TASK_TIME_INF, 0, 0, INT64_MAX),
        ROW_NUMBER("attempt", Call, offer.attempt, FIELD_OMIT_ZERO, 0, INT32_MAX),
        ROW_TEXT("name", Call, offer.name, FIELD_NULLABLE),
        ROW_BOOL("granted", Call, offer.granted),
        ROW_REF_OR_NONE("behind", Call, offer.behind),
        {},
};

const Object object_call_offer = { "Offer", offer_fields };

static const Field end_fields[] = {
        ID_ROW(end.id),
        ROW_OR_NULL("signal", Call, end.signal, 0, FIELD_SIGNED, 1, SIGNAL_MAX),
        {},
};

const Object object_call_end = { "End", end_fields };

static const Field look_fields[] = {
        ROW_NUMBER("interval_us", Call, look.interval_us, 0, 0, INT64_MAX),
        {},
};

const Object object_call_look = { "Look", look_fields };

static const Field resume_fields[] = {
        ID_ROW(resume.id),
        ROW_NUMBER("attempt", Call, resume.attempt, 0, 1, INT32_MAX),
        ROW_BOOL("running", Call, resume.running),
        {},
};

const Object object_call_resume = { "Resume", resume_fields };

static const Field call_drain_fields[] = {
        ROW_CHARS("reason", Call, drain.reason, FIELD_NULLABLE, NULL, "a text"),
        {},
};

const Object object_call_drain = { "Drain", call_drain_fields };

#define METHOD(_name) .method = WIRE_INTERFACE "." _name
#define AGENT(_name)  .method = WIRE_AGENT_INTERFACE "." _name, .of_agent = true
#define WITH_PIDFD    .fd = "pidfd"
#define WITH_MEMFD    .fd = "memfd"

/* clang-format off */
const CallSpec call_specs[N_CALL_TYPES] = {
        [CALL_SUBMIT]    = { METHOD("Submit"),   .call = &object_call_submit,   .reply = &object_reply_submit },
        [CALL_DRY_RUN]   = { METHOD("DryRun"),   .call = &object_call_submit,   .reply = &object_reply_dry_run },
        [CALL_LEARNED]   = { METHOD("Learned"),  .call = &object_call_submit,   .reply = &object_reply_learned },
        [CALL_ATTACH]    = { METHOD("Attach"),   .call = &object_call_attach,   .reply = &object_reply_attach, WITH_PIDFD },
        [CALL_ACCEPT]    = { METHOD("Accept"),   .call = &object_call_accept },
        [CALL_DECLINE]   = { METHOD("Decline"),  .call = &object_call_accept,   .oneway = true },
        [CALL_STARTED]   = { METHOD("Started"),  .call = &object_call_started,  .oneway = true, WITH_PIDFD },
        [CALL_USED]      = { METHOD("Used"),     .call = &object_call_used,     .oneway = true },
        [CALL_ENDED]     = { METHOD("Ended"),    .call = &object_call_ended,    .reply = &object_reply_ended },
        [CALL_AWAY]      = { METHOD("Away"),     .call = &object_call_away,     .oneway = true },
        [CALL_WITHDRAW]  = { METHOD("Withdraw"), .call = &object_call_withdraw },
        [CALL_LIST]      = { METHOD("List"),     .call = &object_call_list,     .reply = &object_reply_list },
        [CALL_SHOW]      = { METHOD("Show"),     .call = &object_call_show,     .reply = &object_reply_list },
        [CALL_WHY]       = { METHOD("Why"),      .call = &object_call_show,     .reply = &object_reply_why },
        [CALL_STATUS]    = { METHOD("Status"),   .reply = &object_reply_status },
        [CALL_CANCEL]    = { METHOD("Cancel"),   .call = &object_call_cancel,   .reply = &object_reply_ids },
        [CALL_HOLD]      = { METHOD("Hold"),     .call = &object_call_hold,     .reply = &object_reply_ids },
        [CALL_RELEASE]   = { METHOD("Release"),  .call = &object_call_hold,     .reply = &object_reply_ids },
        [CALL_UPDATE]    = { METHOD("Update"),   .call = &object_call_update },
        [CALL_DRAIN]     = { METHOD("Drain"),    .call = &object_call_drain },
        [CALL_UNDRAIN]   = { METHOD("Undrain") },
        [CALL_WAIT]      = { METHOD("Wait"),     .call = &object_call_wait,     .reply = &object_reply_wait },
        [CALL_GET_INFO]  = { .method = "org.varlink.service.GetInfo",           .reply = &object_reply_get_info },

        [CALL_SUBMIT_MANY] = { METHOD("SubmitMany"), .call = &object_call_submit_many, .reply = &object_reply_submit_many },
        [CALL_AGENT]       = { METHOD("Agent"),                                    .reply = &object_reply_agent },
        [CALL_RESUME]      = { METHOD("Resume"),     .call = &object_call_resume,  .reply = &object_reply_resume, WITH_PIDFD },

        [CALL_OFFER]     = { METHOD("Offer"),     .call = &object_call_offer,    .oneway = true, .from_daemon = true },
        [CALL_END]       = { METHOD("End"),       .call = &object_call_end,      .oneway = true, .from_daemon = true },
        [CALL_WITHDRAWN] = { METHOD("Withdrawn"), .call = &object_call_withdraw, .oneway = true, .from_daemon = true },
        [CALL_LOOK]      = { METHOD("Look"),      .call = &object_call_look,     .oneway = true, .from_daemon = true },

        [CALL_QUEUE]        = { AGENT("Queue"),  .call = &object_call_queue, .reply = &object_reply_submit_many, WITH_MEMFD },
        [CALL_AGENT_STATUS] = { AGENT("Status"), .reply = &object_reply_agent_status },
        [CALL_AGENT_STOP]   = { AGENT("Stop") },
};
/* clang-format on */
