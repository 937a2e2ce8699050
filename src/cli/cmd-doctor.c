/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow doctor: what is wrong, and how to mend it.
 */

#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/doctor.h"
#include "cli/fields.h"
#include "cli/output.h"
#include "util/cleanup.h"
#include "wire/json-text.h"

/* Every finding with all its words stays far below. */
#define JSON_BYTES_MAX (4 * MIB)

typedef struct Values {
        bool json;
} Values;

static const Opt opts[] = {
        { 0, "json", NULL, "print JSON", opt_parse_flag, offsetof(Values, json), NULL },
        { 0 },
};

static size_t count(const Doctor *doctor, DoctorLevel level) {
        size_t n = 0;

        for (size_t i = 0; i < doctor->n; i++)
                n += doctor_found_level(&doctor->found[i]) == level;
        return n;
}

static void print_found(const DoctorFound *found) {
        DoctorLevel level = doctor_found_level(found);

        if (level == DOCTOR_FINE)
                field_text(found->check, found->text);
        else
                field_printf(found->check, "%s: %s", doctor_level_to_string(level), found->text);
        if (found->spec)
                field_text("  mend", found->spec->mend);
}

static void print(const Doctor *doctor) {
        size_t n_errors = count(doctor, DOCTOR_ERROR);
        size_t n_warnings = count(doctor, DOCTOR_WARNING);

        for (size_t i = 0; i < doctor->n; i++)
                print_found(&doctor->found[i]);
        if (n_errors + n_warnings == 0)
                (void)puts("\nNothing is wrong.");
        else
                (void)printf("\n%zu error%s, %zu warning%s.\n", n_errors, n_errors == 1 ? "" : "s",
                             n_warnings, n_warnings == 1 ? "" : "s");
}

static void put_text(JsonText *text, const char *key, const char *s) {
        json_text_key(text, key);
        if (s)
                json_text_string(text, s, DOCTOR_TEXT_MAX);
        else
                json_text_null(text);
}

static void put_number(JsonText *text, const char *key, size_t n) {
        json_text_key(text, key);
        json_text_uint(text, n);
}

static int print_json(const Doctor *doctor) {
        JsonText text = JSON_TEXT_NULL(JSON_BYTES_MAX);
        _cleanup_free_ char *json = NULL;
        int r;

        json_text_open(&text, '{');
        put_number(&text, "schema", 1);
        put_number(&text, "errors", count(doctor, DOCTOR_ERROR));
        put_number(&text, "warnings", count(doctor, DOCTOR_WARNING));
        json_text_key(&text, "checks");
        json_text_open(&text, '[');
        for (size_t i = 0; i < doctor->n; i++) {
                const DoctorFound *found = &doctor->found[i];

                json_text_open(&text, '{');
                put_text(&text, "check", found->check);
                put_text(&text, "level", doctor_level_to_string(doctor_found_level(found)));
                put_text(&text, "finding", found->spec ? found->spec->name : NULL);
                put_text(&text, "text", found->text);
                put_text(&text, "mend", found->spec ? found->spec->mend : NULL);
                json_text_close(&text, '}');
        }
        json_text_close(&text, ']');
        json_text_close(&text, '}');
        r = json_text_take(&text, &json, NULL);
        if (r == 0)
                (void)puts(json);
        return r;
}

static int doctor_run(_unused_ const Command *command,
                      void *v,
                      _unused_ int n,
                      _unused_ char **operands) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(reply_done) Reply reply = { .to = CALL_STATUS };
        _cleanup_free_ DoctorFound *found = calloc(DOCTOR_FOUND_MAX, sizeof(*found));
        Doctor doctor = { .found = found };
        const Values *values = v;

        if (!found)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");

        doctor_connect(&doctor, &client, &reply);
        if (doctor.status)
                doctor_daemon(&doctor);
        doctor_settings(&doctor);
        doctor_user(&doctor);

        if (!values->json)
                print(&doctor);
        else if (print_json(&doctor) < 0)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");
        if (doctor.unreachable)
                return output_finish(CLI_STATUS_UNREACHABLE);
        return output_finish(count(&doctor, DOCTOR_ERROR) > 0 ? CLI_STATUS_REFUSED :
                                                                CLI_STATUS_DONE);
}

const Command command_doctor = {
        .name = "doctor",
        .operands = "",
        .summary = "find out what is wrong, and how to mend it",
        .description =
                "Looks at the daemon and its socket, versions, settings, the room on the disk, GPUs, memory limits, your "
                "agent and the clock. Nothing is started or changed. The status is 0 if nothing is wrong (warnings "
                "apart), 1 if something is, 3 if the daemon cannot be reached.",
        .opts = opts,
        .usage_status = CLI_STATUS_USAGE,
        .values_size = sizeof(Values),
        .run = doctor_run,
};
