/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Any word: it is read or refused, and what is written can be read again.
 */

#include <assert.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/text.h"
#include "util/units.h"

#include "fuzz.h"

static void check_text(const char *bytes, size_t n) {
        _cleanup_free_ char *repaired = text_repair_utf8(bytes, n, n);
        _cleanup_free_ char *shown = repaired ? text_visible(repaired) : NULL;
        _cleanup_free_ char *raw = text_visible(bytes);

        assert(repaired && shown && raw);
        assert(strlen(repaired) <= n && text_is_utf8(repaired, strlen(repaired)));
        assert(text_is_utf8(shown, strlen(shown)) && text_is_utf8(raw, strlen(raw)));
        for (const char *p = raw; *p; p++)
                assert((unsigned char)*p >= 0x20 && *p != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        _cleanup_free_ char *word = strndup((const char *)data, n);
        char buf[UNITS_FORMAT_MAX];
        uint64_t value = 0;
        uint64_t again = 0;
        Error error;

        assert(word);
        if (units_parse_bytes(word, &value, &error) == 0) {
                assert(units_parse_bytes(units_format_bytes_exact(buf, sizeof(buf), value), &again,
                                         NULL) == 0);
                assert(again == value);
        } else {
                assert(value == 0 && error.text[0] != '\0');
        }
        assert(strlen(units_format_bytes(buf, sizeof(buf), value)) < sizeof(buf) - 1);

        if (units_parse_duration_us(word, &value, &error) == 0) {
                assert(units_parse_duration_us(units_format_duration(buf, sizeof(buf), value),
                                               &again, NULL) == 0);
                assert(again <= value);
        }
        (void)units_parse_uint(word, 1, 200, &value, &error);
        check_text(word, strlen(word));
        return 0;
}
