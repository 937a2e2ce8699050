/* SPDX-License-Identifier: GPL-3.0-or-later */

/* What each reply says. */

#include "wire/tables.h"

enum {
        REPLY_TASKS_MAX = 65536, /* more than the bytes of a message hold */
};

#define ID_ROW(_member) ROW_REF("id", Reply, _member)

#define DATABASE_ROW(_member) \
        ROW_CHARS("database", Reply, _member, 0, table_is_database, "32 hexadecimal digits")
#define LOOK_ROW(_member) ROW_NUMBER("look_interval_us", Reply, _member, 0, 0, INT64_MAX)

static const Field reply_fields[] = {
        ROW_TEXT("message", Reply, message, FIELD_NULLABLE),
        ROW_BEHIND("explain", Reply, explain, FIELD_NULLABLE, &object_explain),
        ROW_NUMBER("boot_us", Reply, boot_us, FIELD_OMIT_ZERO, 0, INT64_MAX),
        {},
};

const Object object_reply = { "Any", reply_fields };

static const Field submit_fields[] = {
        ID_ROW(submit.id),
        DATABASE_ROW(submit.database),
        ROW_BOOL("granted", Reply, submit.granted),
        ROW_ARRAY("gpus", Reply, submit.gpus, submit.n_gpus, 0, &object_grant, NEEDS_GPUS_MAX),
        ROW_BOOL("pin", Reply, submit.pin),
        ROW_OR_NULL("delay_us", Reply, submit.delay_us, TASK_TIME_INF, 0, 0, INT64_MAX),
        LOOK_ROW(submit.look_interval_us),
        ROW_TEXTS("notices", Reply, submit.notices, submit.n_notices, WIRE_NOTICES_MAX),
        {},
};

const Object object_reply_submit = { "Submit", submit_fields };

static const Field dry_run_fields[] = {
        ROW_BOOL("could_start", Reply, dry_run.could_start),
        ROW_ARRAY("gpus", Reply, dry_run.gpus, dry_run.n_gpus, 0, &object_grant, NEEDS_GPUS_MAX),
        {},
};

const Object object_reply_dry_run = { "DryRun", dry_run_fields };

static const Field learned_fields[] = {
        ROW_NUMBER("n_runs", Reply, learned.n_runs, 0, 0, INT32_MAX),
        ROW_OR_NULL("memory_peak_bytes", Reply, learned.memory_peak_bytes, 0, 0, 1, INT64_MAX),
        ROW_OR_NULL("gpu_peak_bytes", Reply, learned.gpu_peak_bytes, 0, 0, 1, INT64_MAX),
        {},
};

const Object object_reply_learned = { "Learned", learned_fields };

static const Field attach_fields[] = {
        ID_ROW(attach.id),
        ROW_STATE(Reply, attach.state, 0),
        LOOK_ROW(attach.look_interval_us),
        {},
};

const Object object_reply_attach = { "Attach", attach_fields };

static const Field ended_fields[] = {
        ROW_TEXTS("notices", Reply, ended.notices, ended.n_notices, WIRE_NOTICES_MAX),
        ROW_TEXT("hint", Reply, ended.hint, FIELD_NULLABLE),
        {},
};

const Object object_reply_ended = { "Ended", ended_fields };

static const Field list_fields[] = {
        ROW_ARRAY("tasks", Reply, list.tasks, list.n, 0, &object_task_view, REPLY_TASKS_MAX),
        {},
};

const Object object_reply_list = { "List", list_fields };

static const Field why_fields[] = {
        ID_ROW(why.id),
        ROW_STATE(Reply, why.state, 0),
        {},
};

const Object object_reply_why = { "Why", why_fields };

static const Field status_fields[] = {
        ROW_PART(offsetof(Reply, status), &object_machine_status),
        {},
};

const Object object_reply_status = { "Status", status_fields };

static const char *id_outcome_to_word(unsigned value) {
        return id_outcome_to_string((IdOutcome)value);
}

static const Field id_result_fields[] = {
        ROW_REF("id", IdResult, id),
        ROW_ENUM("outcome",
                 IdResult,
                 outcome,
                 0,
                 id_outcome_to_word,
                 id_outcome_from_string,
                 ID_OUTCOME_DONE,
                 ID_OUTCOME_LIMIT),
        ROW_STATE(IdResult, state, FIELD_OPTIONAL),
        ROW_OR_NULL("pid", IdResult, pid, 0, FIELD_SIGNED, 1, INT32_MAX),
        ROW_NUMBER("pid_start_ticks", IdResult, pid_start_ticks, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_CHARS("boot_id", IdResult, boot_id, FIELD_NULLABLE, table_is_boot_id, "a UUID"),
        ROW_OR_NULL("runner_pid", IdResult, runner_pid, 0, FIELD_SIGNED, 1, INT32_MAX),
        {},
};

static const Object object_id_result = { "IdResult", id_result_fields };

static const Field ids_fields[] = {
        ROW_ARRAY("results", Reply, ids.results, ids.n, 0, &object_id_result, WIRE_IDS_MAX),
        {},
};

const Object object_reply_ids = { "Ids", ids_fields };

static const Field wait_fields[] = {
        ROW_ARRAY("tasks", Reply, wait.tasks, wait.n, 0, &object_task_view, REPLY_TASKS_MAX),
        {},
};

const Object object_reply_wait = { "Wait", wait_fields };

/* Varlink's own: who speaks here, and which interfaces. */
static const Field get_info_fields[] = {
        ROW_FIXED("vendor", "\"taskflow\""),
        ROW_FIXED("product", "\"taskflow\""),
        ROW_CHARS("version", Reply, get_info.version, 0, NULL, "a text"),
        ROW_FIXED("url", "\"\""),
        ROW_FIXED("interfaces", "[\"org.varlink.service\",\"" WIRE_INTERFACE "\"]"),
        {},
};

const Object object_reply_get_info = { "GetInfo", get_info_fields };

static const Field submit_many_fields[] = {
        ROW_IDS("ids", Reply, submit_many.ids.ids, submit_many.ids.n, WIRE_TASKS_MAX),
        ROW_TEXTS("notices", Reply, submit_many.notices, submit_many.n_notices, WIRE_NOTICES_MAX),
        {},
};

const Object object_reply_submit_many = { "SubmitMany", submit_many_fields };

static const Field agent_task_fields[] = {
        ROW_REF("id", AgentTask, id),
        ROW_HEX("key", AgentTask, key),
        ROW_ENUM("state",
                 AgentTask,
                 state,
                 0,
                 table_task_state_to_word,
                 task_state_from_string,
                 TASK_STATE_PENDING,
                 TASK_STATE_RUNNING),
        ROW_NUMBER("attempt", AgentTask, attempt, FIELD_OMIT_ZERO, 0, INT32_MAX),
        {},
};

static const Object object_agent_task = { "AgentTask", agent_task_fields };

static const Field agent_fields[] = {
        DATABASE_ROW(agent.database),
        LOOK_ROW(agent.look_interval_us),
        ROW_OR_NULL("log_limit_bytes", Reply, agent.log_limit_bytes, UINT64_MAX, 0, 0, INT64_MAX),
        ROW_OR_NULL("log_keep_us", Reply, agent.log_keep_us, TASK_TIME_INF, 0, 0, INT64_MAX),
        ROW_ARRAY("tasks", Reply, agent.tasks, agent.n, 0, &object_agent_task, WIRE_AGENT_PART),
        {},
};

const Object object_reply_agent = { "Agent", agent_fields };

static const Field resume_fields[] = {
        ROW_STATE(Reply, resume.state, 0),
        {},
};

const Object object_reply_resume = { "Resume", resume_fields };

static const Field agent_status_fields[] = {
        ROW_NUMBER("pid", Reply, agent_status.pid, FIELD_SIGNED, 1, INT32_MAX),
        ROW_BOOL("connected", Reply, agent_status.connected),
        ROW_CHARS("daemon", Reply, agent_status.daemon, 0, NULL, "a text"),
        ROW_CHARS("state_dir", Reply, agent_status.state_dir, 0, NULL, "a text"),
        ROW_CHARS("lives", Reply, agent_status.lives, 0, NULL, "a text"),
        ROW_CHARS("text", Reply, agent_status.text, FIELD_NULLABLE, NULL, "a text"),
        ROW_NUMBER("n_waiting", Reply, agent_status.n_waiting, 0, 0, INT32_MAX),
        ROW_NUMBER("n_running", Reply, agent_status.n_running, 0, 0, INT32_MAX),
        ROW_NUMBER("n_undelivered", Reply, agent_status.n_undelivered, 0, 0, INT64_MAX),
        ROW_CHARS("version", Reply, agent_status.version, FIELD_NULLABLE, NULL, "a text"),
        {},
};

const Object object_reply_agent_status = { "AgentStatus", agent_status_fields };
