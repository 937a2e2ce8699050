/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * taskflow status: the machine.
 *
 * With a personal queue that nobody serves, what can be seen without a daemon is shown: RAM. The
 * GPUs are known by the daemon's probe alone.
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/fields.h"
#include "cli/other-daemons.h"
#include "cli/output.h"
#include "cli/outside.h"
#include "cli/session.h"
#include "cli/table.h"
#include "core/excess.h"
#include "core/gpu-word.h"
#include "core/policy.h"
#include "core/ref.h"
#include "probe/ram.h"
#include "util/cleanup.h"
#include "util/clock.h"
#include "util/units.h"

enum {
        NAME_MAX_BYTES = 64,
        RAM_OUTSIDERS_SHOWN = 3,
        RAM_OUTSIDER_ONE_IN = 100, /* of all RAM: less is not worth a line */
        UNNAMED_ONE_IN = 20,       /* of a GPU: drivers keep some of it for themselves */
};

#define UNNAMED_BYTES_MIN (512 * MIB)

#define OLD_US (5 * US_PER_SEC) /* younger figures are as good as new for people */

typedef struct Values {
        bool json;
} Values;

static const Opt opts[] = {
        { 0, "json", NULL, "print JSON", opt_parse_flag, offsetof(Values, json), NULL },
        { 0 },
};

static const TableColumn columns[] = {
        { "", false, false },        { "TOTAL", true, false }, { "USED", true, false },
        { "PROMISED", true, false }, { "FREE", true, false },  { "TASKS", false, true },
        { "DEVICE", false, true },
};

static const TableColumn outside_columns[] = {
        { "OUTSIDE", false, false }, { "USED", true, false },    { "USER", false, false },
        { "PROCESS", true, false },  { "PROGRAM", false, true },
};

/* RAM as this process sees it, with the reserve that is the default. */
static void look_without_daemon(MachineStatus *ret) {
        Policy policy = policy_default();
        RamSource source;
        RamFigures ram;

        *ret = (MachineStatus){
                .gpu_age_us = TASK_TIME_INF,
                .personal = true,
                .daemon_uid = getuid(),
        };
        if (ram_source_open(&source) < 0)
                return;
        if (ram_read(&source, &ram) == 0) {
                uint64_t reserved_bytes = policy.reserved_memory_bytes;

                ret->ram.known = true;
                ret->ram.total_bytes = ram.total_bytes;
                ret->ram.available_bytes = ram.available_bytes;
                ret->ram.reserved_bytes = reserved_bytes;
                ret->ram.free_bytes =
                        ram.available_bytes - MIN(ram.available_bytes, reserved_bytes);
        }
        ram_source_close(&source);
}

/* A cell: a size, or nothing where it is not known. */
static int set_size(Table *table, size_t column, bool known, uint64_t bytes, Tone tone) {
        char buf[UNITS_FORMAT_MAX];

        return table_set(table, column, known ? units_format_bytes(buf, sizeof(buf), bytes) : NULL,
                         tone);
}

static int add_ram(Table *table, const RamView *ram) {
        uint64_t used_bytes = ram->total_bytes - MIN(ram->available_bytes, ram->total_bytes);
        int r;

        r = table_add_row(table);
        if (r == 0)
                r = table_set(table, 0, "RAM", TONE_PLAIN);
        if (r == 0)
                r = set_size(table, 1, ram->known, ram->total_bytes, TONE_PLAIN);
        if (r == 0)
                r = set_size(table, 2, ram->known, used_bytes, TONE_PLAIN);
        if (r == 0)
                r = set_size(table, 3, ram->known, ram->promised_bytes, TONE_PLAIN);
        if (r == 0)
                r = set_size(table, 4, ram->known, ram->free_bytes, TONE_GOOD);
        return r;
}

static int set_tasks(Table *table, size_t column, const GpuView *gpu) {
        char buf[TASK_REF_FORMAT_MAX];
        char text[256] = "";

        for (size_t i = 0; i < gpu->n_tasks; i++) {
                size_t n = strlen(text);

                if (n > sizeof(text) - 32) {
                        (void)snprintf(text + n, sizeof(text) - n, ",...");
                        break;
                }
                (void)snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? "," : "",
                               task_ref_format(buf, sizeof(buf), gpu->task_ids[i]));
        }
        return table_set(table, column, text, TONE_PLAIN);
}

/* What is to be said of a GPU beside its state. */
static const char *note_of(const GpuSample *sample) {
        if (sample->note[0] || sample->state != GPU_STATE_OK)
                return sample->note;

        switch (sample->use) {
        case GPU_USE_EXCLUSIVE:
                return "compute mode 'exclusive process': one task at a time";
        case GPU_USE_PROHIBITED:
                return "compute mode 'prohibited': no task";
        case GPU_USE_SPLIT:
                return "split into the instances below";
        case GPU_USE_SHARED:
                break;
        }
        return sample->shares_ram ? "its memory is the machine's RAM" : "";
}

static int set_device(Table *table, size_t column, const GpuView *gpu) {
        const char *state = gpu_state_to_string(gpu->sample.state);
        bool ok = gpu->sample.state == GPU_STATE_OK;
        char text[GPU_NAME_MAX + GPU_NOTE_MAX + 96];
        const char *note = note_of(&gpu->sample);

        (void)snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", gpu->sample.name,
                       ok && !*note ? "" : " (", ok ? "" : state, ok || !*note ? "" : ": ", note,
                       ok && !*note ? "" : ")", gpu->allowed ? "" : " (not given out here)");
        return table_set(table, column, text, ok ? TONE_PLAIN : TONE_BAD);
}

/* What a resource is called in both tables. */
static const char *gpu_name(const GpuView *gpu, char buf[static NAME_MAX_BYTES]) {
        char id[GPU_ID_MAX];

        (void)snprintf(buf, NAME_MAX_BYTES, "GPU %s",
                       gpu_id_or_index(gpu->id, gpu->sample.index, id));
        return buf;
}

static int add_gpu(Table *table, const GpuView *gpu) {
        const GpuSample *sample = &gpu->sample;
        uint64_t used_bytes = sample->total_bytes - MIN(sample->free_bytes, sample->total_bytes);
        bool known = sample->total_bytes > 0;
        bool ok = known && sample->state == GPU_STATE_OK;
        char name[NAME_MAX_BYTES];
        int r;

        r = table_add_row(table);
        if (r == 0)
                r = table_set(table, 0, gpu_name(gpu, name), TONE_PLAIN);
        if (r == 0)
                r = set_size(table, 1, known, sample->total_bytes, TONE_PLAIN);
        if (r == 0)
                r = set_size(table, 2, ok, used_bytes, TONE_PLAIN);
        if (r == 0)
                r = set_size(table, 3, known, gpu->promised_bytes, TONE_PLAIN);
        if (r == 0)
                r = set_size(table, 4, ok, gpu->free_bytes, TONE_GOOD);
        if (r == 0)
                r = set_tasks(table, 5, gpu);
        if (r == 0)
                r = set_device(table, 6, gpu);
        return r;
}

static int print_resources(const MachineStatus *status) {
        _cleanup_(table_freep) Table *table = NULL;
        int r;

        r = table_new(&table, columns, ELEMENTSOF(columns));
        if (r == 0)
                r = add_ram(table, &status->ram);
        for (size_t i = 0; i < status->n_gpus && r == 0; i++)
                r = add_gpu(table, &status->gpus[i]);
        if (r == 0)
                r = table_print(table);
        return r;
}

static int add_outsider(Table *table, const char *where, const OutsideProcess *outsider) {
        char program[OUTSIDE_PROGRAM_MAX];
        char name[NAME_MAX_BYTES];
        char pid[16];
        int r;

        (void)snprintf(pid, sizeof(pid), "%d", (int)outsider->pid);
        r = table_add_row(table);
        if (r == 0)
                r = table_set(table, 0, where, TONE_PLAIN);
        if (r == 0)
                r = set_size(table, 1, outsider->used_bytes != OUTSIDER_BYTES_UNKNOWN,
                             outsider->used_bytes, TONE_PLAIN);
        if (r == 0 && outsider->uid != OUTSIDER_UID_UNKNOWN)
                r = table_set(table, 2, cli_user_name(outsider->uid, name, sizeof(name), NULL),
                              TONE_PLAIN);
        if (r == 0)
                r = table_set(table, 3, pid, TONE_PLAIN);
        if (r == 0)
                r = table_set(table, 4, outside_program(outsider, program, sizeof(program)),
                              TONE_PLAIN);
        return r;
}

/* What nobody who can be named holds, if that is much. */
static int add_unnamed(Table *table, const char *where, const GpuView *gpu, uint64_t named_bytes) {
        uint64_t bytes = gpu->outside_bytes - MIN(gpu->outside_bytes, named_bytes);
        bool known = gpu->sample.processes_known;
        int r;

        if (gpu->sample.shares_ram || bytes < UNNAMED_BYTES_MIN ||
            bytes < gpu->sample.total_bytes / UNNAMED_ONE_IN || (!known && gpu->n_tasks > 0))
                return 0;
        r = table_add_row(table);
        if (r == 0)
                r = table_set(table, 0, where, TONE_PLAIN);
        if (r == 0)
                r = set_size(table, 1, true, bytes, TONE_PLAIN);
        if (r == 0)
                r = table_set(table, 4,
                              known ? "(of no process that the driver shows here: another "
                                      "container, or the driver itself)" :
                                      "(the driver does not tell which processes hold how much)",
                              TONE_FAINT);
        return r;
}

static int add_gpu_outsiders(Table *table, const GpuView *gpu) {
        uint64_t named_bytes = 0;
        char where[NAME_MAX_BYTES];
        int r = 0;

        if (gpu->sample.state != GPU_STATE_OK)
                return 0;
        (void)gpu_name(gpu, where);
        for (size_t i = 0; i < gpu->outsiders.n && r == 0; i++) {
                const OutsideProcess *outsider = &gpu->outsiders.items[i];

                if (outsider->used_bytes != OUTSIDER_BYTES_UNKNOWN)
                        named_bytes += outsider->used_bytes;
                r = add_outsider(table, where, outsider);
        }
        if (r == 0 && gpu->outsiders.n_more == 0)
                r = add_unnamed(table, where, gpu, named_bytes);
        return r;
}

/* The few that hold much: everybody else holds a little. */
static int add_ram_outsiders(Table *table, const RamView *ram, const Outsiders *outsiders) {
        int r = 0;

        for (size_t i = 0; i < MIN(outsiders->n, (size_t)RAM_OUTSIDERS_SHOWN) && r == 0; i++)
                if (outsiders->items[i].used_bytes >= ram->total_bytes / RAM_OUTSIDER_ONE_IN)
                        r = add_outsider(table, "RAM", &outsiders->items[i]);
        return r;
}

/* Who holds what beside taskflow. */
static int print_outside(const MachineStatus *status, const Outsiders *ram) {
        _cleanup_(table_freep) Table *table = NULL;
        int r;

        r = table_new(&table, outside_columns, ELEMENTSOF(outside_columns));
        if (r == 0 && ram)
                r = add_ram_outsiders(table, &status->ram, ram);
        for (size_t i = 0; i < status->n_gpus && r == 0; i++)
                r = add_gpu_outsiders(table, &status->gpus[i]);
        if (r < 0 || table_is_empty(table))
                return r;
        (void)putchar('\n');
        return table_print(table);
}

/* Tasks that hold more than they said. */
static void print_excess(const GpuView *gpu) {
        char gpu_id[GPU_ID_MAX];

        for (size_t i = 0; i < gpu->n_excess; i++) {
                const GpuExcess *more = &gpu->excess[i];
                const Excess excess = {
                        .gpu_index = gpu->sample.index,
                        .gpu_id = gpu->id,
                        .asked_bytes = more->asked_bytes,
                        .used_bytes = more->used_bytes,
                };
                char id[TASK_REF_FORMAT_MAX];
                char words[EXCESS_SENTENCE_MAX];
                char name[64];

                field_printf("excess", "task %s of %s holds %s",
                             task_ref_format(id, sizeof(id), more->task_id),
                             cli_user_name(more->uid, name, sizeof(name), NULL),
                             excess_sentence(&excess, false, words, sizeof(words)));
        }
        if (gpu->n_more_excess > 0)
                field_printf("excess", "and %zu tasks more on GPU %s", gpu->n_more_excess,
                             gpu_id_or_index(gpu->id, gpu->sample.index, gpu_id));
}

static void print_gpu_notes(const MachineStatus *status) {
        bool has_age = status->n_gpus > 0 && status->gpu_age_us != TASK_TIME_INF;
        char age[UNITS_FORMAT_MAX];

        if (has_age)
                (void)units_format_duration(age, sizeof(age), status->gpu_age_us);
        if (status->gpus_known && status->gpu_text[0])
                field_text("gpus", status->gpu_text);
        if (!status->gpus_known && status->gpu_text[0])
                field_printf("gpus", "%s%s%s%s", status->gpu_text, has_age ? "; last seen " : "",
                             has_age ? age : "", has_age ? " ago" : "");
        else if (has_age && status->gpu_age_us >= OLD_US)
                field_printf("gpus", "these figures are %s old: no task needs a GPU now", age);
}

/* A queue of one's own must not look shared: the other daemons are named (decisions.md 30). */
static void print_other_daemons(void) {
        char names[OTHER_DAEMONS_NAMES_MAX];

        if (other_daemons(names) > 0)
                field_printf("beside it",
                             "taskflowd of %s: these queues know nothing of each other", names);
}

static void print_queue(const Client *client, const MachineStatus *status) {
        char name[64];

        (void)cli_user_name(status->daemon_uid, name, sizeof(name), NULL);
        if (!client)
                field_text("queue",
                           "yours alone, and empty: no taskflowd runs; 'taskflow run' starts "
                           "one");
        else if (status->personal)
                field_printf("queue",
                             "of %s alone (taskflowd %s, pid %d); to share the machine: see "
                             "taskflowd(8)",
                             name, status->version, (int)status->daemon_pid);
        else
                field_printf("queue", "of all users (taskflowd %s of user %s, pid %d)",
                             status->version, name, (int)status->daemon_pid);
        if (client)
                field_printf("socket", "%s", client_path(client));
        if (status->personal)
                print_other_daemons();
}

static void print_drain(const Drain *drain) {
        char name[64];

        if (drain->on)
                field_printf("drained", "by %s%s%s: nothing starts before 'taskflow undrain'",
                             cli_user_name(drain->by_uid, name, sizeof(name), NULL),
                             drain->reason[0] ? ", " : "", drain->reason);
}

static void put_resource(char *text, size_t n_text, const char *what, const char *where) {
        size_t n = strlen(text);

        (void)snprintf(text + n, n_text - n, "%s%s%s", n > 0 ? ", " : "", what, where);
}

/* `20G of RAM, 4 cores, 10G on GPU 1, GPU 2` */
static const char *kept_text(const KeepView *keep, char *text, size_t n_text) {
        char buf[UNITS_FORMAT_MAX], id[GPU_ID_MAX], where[GPU_ID_MAX + 16];

        text[0] = '\0';
        if (keep->memory_bytes > 0)
                put_resource(text, n_text, units_format_bytes(buf, sizeof(buf), keep->memory_bytes),
                             " of RAM");
        if (keep->cpus > 0) {
                (void)snprintf(buf, sizeof(buf), "%u core", keep->cpus);
                put_resource(text, n_text, buf, keep->cpus == 1 ? "" : "s");
        }
        for (unsigned i = 0; i < keep->n_tokens; i++) {
                (void)snprintf(buf, sizeof(buf), "%u token%s of ", keep->tokens[i].n,
                               keep->tokens[i].n == 1 ? "" : "s");
                put_resource(text, n_text, buf, keep->tokens[i].name);
        }
        for (size_t i = 0; i < keep->n_gpus; i++) {
                bool whole = keep->gpus[i].bytes == GPU_WHOLE;

                (void)snprintf(where, sizeof(where), "%sGPU %s", whole ? "" : " on ",
                               gpu_id_or_index(keep->gpus[i].id, keep->gpus[i].index, id));
                put_resource(text, n_text,
                             whole ? "" : units_format_bytes(buf, sizeof(buf), keep->gpus[i].bytes),
                             where);
        }
        return text;
}

/* `matlab: 3, 1 of them taken` */
static void print_tokens(const MachineStatus *status) {
        for (size_t i = 0; i < status->n_tokens; i++) {
                const TokenView *view = &status->tokens[i];

                field_printf("tokens", "%s: %" PRIu64 ", %" PRIu64 " of them taken", view->name,
                             view->total, view->taken);
        }
}

static void print_keep(const KeepView *keep) {
        char id[TASK_REF_FORMAT_MAX], name[64], age[UNITS_FORMAT_MAX], left[UNITS_FORMAT_MAX];
        char text[512];
        bool ends;

        if (!keep)
                return;
        ends = keep->left_us != TASK_TIME_INF;
        if (ends)
                (void)units_format_duration(left, sizeof(left), keep->left_us);
        field_printf("kept", "%s for task %s of %s, for %s so far%s%s%s",
                     kept_text(keep, text, sizeof(text)),
                     task_ref_format(id, sizeof(id), keep->task_id),
                     cli_user_name(keep->uid, name, sizeof(name), NULL),
                     units_format_duration(age, sizeof(age), keep->age_us),
                     ends ? ", at most " : "", ends ? left : "", ends ? " more" : "");
}

/* Only where it keeps tasks waiting. */
static void print_pressure(const RamView *ram) {
        if (!ram->pressure_known || ram->pressure_permyriad <= ram->pressure_limit_permyriad)
                return;
        field_printf("pressure",
                     "programs waited for memory in %u.%u %% of the last 10 seconds, more than "
                     "%u.%u %% (pressure_limit): nothing starts",
                     ram->pressure_permyriad / 100, ram->pressure_permyriad % 100 / 10,
                     ram->pressure_limit_permyriad / 100, ram->pressure_limit_permyriad % 100 / 10);
}

static int print_status(const Client *client, const MachineStatus *status, const Outsiders *ram) {
        int r;

        r = print_resources(status);
        if (r == 0)
                r = print_outside(status, ram);
        if (r < 0)
                return r;

        (void)putchar('\n');
        print_gpu_notes(status);
        for (size_t i = 0; i < status->n_gpus; i++)
                print_excess(&status->gpus[i]);
        if (status->n_cpus > 0)
                field_printf("cores", "%u, %u of them promised", status->n_cpus,
                             status->n_cpus_promised);
        print_tokens(status);
        field_printf("tasks", "%zu running, %zu pending, %zu held", status->n_running,
                     status->n_pending, status->n_held);
        print_keep(status->keep);
        print_pressure(&status->ram);
        print_drain(&status->drain);
        print_queue(client, status);
        return 0;
}

static int print_status_json(const MachineStatus *status, const Outsiders *ram) {
        const StatusNames names = {
                .user = cli_user_name,
                .program = outside_program,
                .ram = ram,
        };
        _cleanup_free_ char *json = NULL;
        int r;

        r = machine_status_json(status, &names, &json);
        if (r < 0)
                return r;

        (void)puts(json);
        return 0;
}

static int status_run(_unused_ const Command *command,
                      void *v,
                      _unused_ int n,
                      _unused_ char **operands) {
        _cleanup_(client_freep) Client *client = NULL;
        _cleanup_(reply_done) Reply reply = { .to = CALL_STATUS };
        const Values *values = v;
        Call call = { .type = CALL_STATUS };
        Outsiders found;
        const Outsiders *ram;
        int status;
        int r;

        status = session_open(&client, SESSION_LOOK);
        if (status == 0 && client)
                status = session_call(client, &call, &reply);
        if (status != 0)
                return status;
        if (!client)
                look_without_daemon(&reply.status);

        ram = outside_ram(reply.status.n_running > 0 ? client : NULL, &found) == 0 ? &found : NULL;
        r = values->json ? print_status_json(&reply.status, ram) :
                           print_status(client, &reply.status, ram);
        if (r < 0)
                return cli_fail(CLI_STATUS_REFUSED, "out of memory");
        return output_finish(CLI_STATUS_DONE);
}

const Command command_status = {
        .name = "status",
        .operands = "",
        .summary = "show the machine: RAM and GPUs, and what is free for the next task",
        .description =
                "PROMISED is what running tasks asked for and have not yet been seen to take. FREE "
                "is what the next task can get: what is measured as free, less the reserve and what "
                "is promised.",
        .opts = opts,
        .usage_status = CLI_STATUS_USAGE,
        .values_size = sizeof(Values),
        .run = status_run,
};
