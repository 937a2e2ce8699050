/* SPDX-License-Identifier: GPL-3.0-or-later */

/* Why a task waits. */

#include "core/explain.h"
#include "wire/tables.h"

enum {
        GPU_INDEX_MAX = 9999,
};

static const char *wait_reason_to_word(unsigned value) {
        return wait_reason_to_string((WaitReason)value);
}

static const Field holder_fields[] = {
        ROW_REF("task_id", Holder, task_id),
        ROW_NUMBER("uid", Holder, uid, 0, 0, UINT32_MAX),
        ROW_NUMBER("used_bytes", Holder, used_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("promised_bytes", Holder, promised_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        {},
};

static const Object object_holder = { "Holder", holder_fields };

static const Field lack_fields[] = {
        ROW_ENUM_OR_ELSE("reason",
                         Lack,
                         reason,
                         WAIT_REASON_OTHER,
                         wait_reason_to_word,
                         wait_reason_from_string,
                         WAIT_REASON_MEMORY,
                         N_WAIT_REASONS - 1),
        ROW_OR_NULL("gpu_index", Lack, gpu_index, (uint64_t)-1, FIELD_SIGNED, 0, GPU_INDEX_MAX),
        ROW_GPU_ID("gpu_id", Lack, gpu_id),
        ROW_CHARS("gpu_uuid",
                  Lack,
                  gpu_uuid,
                  FIELD_NULLABLE,
                  table_is_uuid,
                  "1 to 80 letters, digits or any of . / -"),
        ROW_CHARS("token",
                  Lack,
                  token,
                  FIELD_NULLABLE,
                  token_is_name,
                  "a letter, then letters, digits or any of . _ -, at most 31 in all"),
        ROW_OR_NULL("asked_bytes", Lack, asked_bytes, GPU_WHOLE, 0, 0, INT64_MAX),
        ROW_NUMBER("free_bytes", Lack, free_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("missing_bytes", Lack, missing_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("total_bytes", Lack, total_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("used_bytes", Lack, used_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("reserved_bytes", Lack, reserved_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("outside_bytes", Lack, outside_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_WITHIN("outsiders",
                   Lack,
                   outsiders,
                   n_outsiders,
                   &object_outsider,
                   EXPLAIN_OUTSIDERS_MAX),
        ROW_NUMBER("n_more_outsiders", Lack, n_more_outsiders, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("until_boot_us", Lack, until_boot_us, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_REF_OR_NONE("kept_for", Lack, kept_for.task_id),
        ROW_NUMBER("kept_for_uid", Lack, kept_for.uid, FIELD_OMIT_ZERO, 0, UINT32_MAX),
        ROW_NUMBER("kept_bytes", Lack, kept_for.promised_bytes, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_WITHIN("holders", Lack, holders, n_holders, &object_holder, EXPLAIN_HOLDERS_MAX),
        ROW_NUMBER("n_more_holders", Lack, n_more_holders, FIELD_OMIT_ZERO, 0, INT64_MAX),
        {},
};

static const Object object_lack = { "Lack", lack_fields };

static const Field keep_fields[] = {
        ROW_BOOL("kept", ExplainKeep, kept),
        ROW_BOOL("keep_hopeless", ExplainKeep, hopeless),
        ROW_NUMBER("patient_boot_us", ExplainKeep, patient_boot_us, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("kept_since_boot_us", ExplainKeep, since_boot_us, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_NUMBER("kept_until_boot_us", ExplainKeep, until_boot_us, FIELD_OMIT_ZERO, 0, INT64_MAX),
        {},
};

static const Object object_explain_keep = { "ExplainKeep", keep_fields };

static const Field rest_fields[] = {
        ROW_REF("task_id", StartRest, task_id),
        ROW_NUMBER("uid", StartRest, uid, 0, 0, UINT32_MAX),
        ROW_NUMBER("n_runs", StartRest, n_runs, FIELD_OMIT_ZERO, 0, UINT32_MAX),
        ROW_BOOL("of_same", StartRest, of_same),
        {},
};

static const Object object_rest = { "StartRest", rest_fields };

static const Field start_fields[] = {
        ROW_NUMBER("start_early_boot_us",
                   ExplainStart,
                   early_boot_us,
                   FIELD_OMIT_ZERO,
                   0,
                   INT64_MAX),
        ROW_NUMBER("start_about_boot_us",
                   ExplainStart,
                   about_boot_us,
                   FIELD_OMIT_ZERO,
                   0,
                   INT64_MAX),
        ROW_NUMBER("start_late_boot_us", ExplainStart, late_boot_us, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_BOOL("start_latest_alone", ExplainStart, latest_alone),
        ROW_WITHIN("start_rests", ExplainStart, rests, n_rests, &object_rest, EXPLAIN_RESTS_MAX),
        ROW_NUMBER("n_more_start_rests", ExplainStart, n_more_rests, FIELD_OMIT_ZERO, 0, INT64_MAX),
        {},
};

static const Object object_explain_start = { "ExplainStart", start_fields };

static const Field explain_fields[] = {
        ROW_OR_NULL("uid", Explain, uid, EXPLAIN_UID_UNKNOWN, 0, 0, UINT32_MAX - 1),
        ROW_WITHIN("lacks", Explain, lacks, n_lacks, &object_lack, EXPLAIN_LACKS_MAX),
        ROW_BOOL("any_gpu", Explain, any_gpu),
        ROW_NUMBER("place", Explain, place, FIELD_OMIT_ZERO, 0, INT64_MAX),
        ROW_FILLED("grants", Explain, grants, &object_grant, NEEDS_GPUS_MAX),
        ROW_PART(offsetof(Explain, drain), &object_drain),
        ROW_PART(offsetof(Explain, keep), &object_explain_keep),
        ROW_PART(offsetof(Explain, start), &object_explain_start),
        {},
};

const Object object_explain = { "Explain", explain_fields };
