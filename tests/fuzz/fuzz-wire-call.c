/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Calls: whatever is read can be written, and what is written reads as the same
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/message.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        char *first = NULL, *second = NULL;
        Error error = { "" };
        size_t n_first, n_second;
        Call call, again;
        int r;

        (void)message_is_call((const char *)data, n);
        r = call_decode((const char *)data, n, &call, &error);
        if (r != 0) {
                assert((r == MESSAGE_E_BAD || r == MESSAGE_E_METHOD_NOT_FOUND) &&
                       error.text[0] != '\0');
                return 0;
        }

        assert(call_encode(&call, &first, &n_first) == 0);
        assert(message_is_call(first, n_first));
        assert(call_decode(first, n_first, &again, &error) == 0);
        assert(call_encode(&again, &second, &n_second) == 0);
        assert(n_first == n_second && memcmp(first, second, n_first) == 0);

        free(first);
        free(second);
        call_done(&call);
        call_done(&again);
        return 0;
}
