/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any bytes in place of a record, and any name.
 */

#include <assert.h>
#include <string.h>

#include "agent/record-file.h"
#include "util/cleanup.h"
#include "util/text.h"

#include "fuzz.h"

static void judge_name(const char *name) {
        char again[RECORD_NAME_MAX];
        unsigned attempt;
        uint64_t ref;

        if (record_file_parse_name(name, &ref, &attempt) != 0)
                return;
        record_file_name(ref, attempt, again);
        assert(strcmp(again, name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_free_ char *name = strndup((const char *)data, n);
        Record record;

        assert(name);
        judge_name(name);
        record_file_judge(data, n, &record);
        if (record.state == RECORD_STATE_GARBAGE)
                return 0;
        assert(n == RECORD_FILE_BYTES);
        assert(record.attempt > 0 && record.keeper.pid > 0);
        assert(record.has_command == (record.pid > 0));
        if (record.state != RECORD_STATE_ENDED)
                return 0;
        assert(task_state_is_final(record.end.state) && record.end.state != TASK_STATE_LOST);
        assert(text_is_utf8(record.end.reason, strlen(record.end.reason)));
        return 0;
}
