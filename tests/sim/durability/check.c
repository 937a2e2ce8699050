/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "check.h"

#include <inttypes.h>
#include <string.h>

#include "agents.h"
#include "host.h"
#include "store.h"
#include "world.h"

#define RESERVED_BYTES (100 * MIB) /* the setting's default */
#define RAMP_US        (500 * US_PER_MSEC)

static struct {
        unsigned n_deeds;
        Deed deeds[DEEDS_MAX];
        unsigned n_starts;
        Start starts[STARTS_MAX];
        uint64_t last_id; /* the largest that was told */
} book;

void check_begin(void) {
        memset(&book, 0, sizeof(book));
}

uint64_t check_n_kills(void) {
        return world.n_killed[0] + world.n_killed[1] + world.n_killed[2] + world.n_killed[3] +
               world.n_torn;
}

/* -- what was submitted -- */

Deed *deed_new(void) {
        Deed *deed = &book.deeds[book.n_deeds++];

        if (book.n_deeds == DEEDS_MAX) {
                world_fail("too much is submitted");
                book.n_deeds--;
        }
        *deed = (Deed){ .number = (unsigned)(deed - book.deeds) + 1,
                        .n_kills = check_n_kills(),
                        .floor = book.last_id };
        deed->row.key[0] = 0x5a;
        memcpy(deed->row.key + 4, &deed->number, sizeof(deed->number));
        return deed;
}

Deed *deed_at(unsigned i) {
        return i < book.n_deeds ? &book.deeds[i] : NULL;
}

Deed *deed_of_key(const uint8_t key[static TASK_KEY_BYTES]) {
        unsigned number;

        memcpy(&number, key + 4, sizeof(number));
        return number > 0 ? deed_at(number - 1) : NULL;
}

Deed *deed_of_id(uint64_t ref) {
        uint64_t id = task_ref_id(ref);

        for (unsigned i = 0; i < book.n_deeds; i++)
                if (book.deeds[i].told && book.deeds[i].id == id)
                        return &book.deeds[i];
        return NULL;
}

static void check_promise(const Deed *deed) {
        if (!shelf_is_safe(store_shelf(), deed->id))
                world_fail("task %" PRIu64 " was told, and a power cut could take it", deed->id);
        if (deed->row.uid < UID_FIRST + N_AGENTS) {
                const Agent *agent = &agents[deed->row.uid - UID_FIRST];
                const Row *row = store_row(deed->id);

                if (row && !task_state_is_final(row->state) &&
                    !shelf_is_safe(&agent->spool, deed->number))
                        world_fail("task %" PRIu64
                                   " was told, and a power cut could take what it is",
                                   deed->id);
        }
}

void check_told(Deed *deed, uint64_t id) {
        const Deed *other = deed_of_id(id);

        world_note("people", "hear a number", id, deed->number);
        if (other && other != deed)
                world_fail("number %" PRIu64 " was given out twice", id);
        if (deed->told && deed->id != id)
                world_fail("task %" PRIu64 " is told as %" PRIu64, deed->id, id);
        if (id <= deed->floor)
                world_fail("task %" PRIu64 " came after task %" PRIu64, id, deed->floor);
        if (deed->told)
                return;
        deed->told = true;
        deed->id = id;
        book.last_id = MAX(book.last_id, id);
        if (!deed->foreground)
                check_promise(deed);
}

/* -- what was started -- */

Start *start_at(unsigned i) {
        return i < book.n_starts ? &book.starts[i] : NULL;
}

Start *start_of_proc(Proc proc) {
        for (unsigned i = book.n_starts; proc != 0 && i-- > 0;)
                if (book.starts[i].proc == proc)
                        return &book.starts[i];
        return NULL;
}

/* Whether one that was started before may be started again. */
static bool may_follow(const Start *before) {
        const Row *row = &before->deed->row;

        if (!before->over)
                return false;
        if (row->requeue && (before->cut || before->unsettled))
                return true;
        return row->retry_max > 0 &&
               (before->end.state == TASK_STATE_FAILED || before->end.state == TASK_STATE_TIMEOUT);
}

static void check_first(Deed *deed, uint64_t ref, unsigned attempt) {
        unsigned n_failed = 0;

        if (deed->withdrawn && !deed->row.is_array && attempt > deed->last_attempt)
                world_fail("task %" PRIu64 " is tried again after it was cancelled",
                           task_ref_id(ref));
        for (unsigned i = 0; i < book.n_starts; i++) {
                const Start *before = &book.starts[i];

                if (before->deed != deed || task_ref_index(before->ref) != task_ref_index(ref))
                        continue;
                if (before->attempt == attempt && !deed->foreground)
                        world_fail("try %u of task %" PRIu64 " is started twice", attempt,
                                   task_ref_id(ref));
                if (!before->over)
                        world_fail("task %" PRIu64 " runs twice at once", task_ref_id(ref));
                if (!may_follow(before))
                        world_fail("task %" PRIu64 " runs again", task_ref_id(ref));
                n_failed += !before->cut && !before->unsettled;
        }
        if (n_failed > deed->row.retry_max)
                world_fail("task %" PRIu64 " has more tries than it was to have", task_ref_id(ref));
}

static void check_room(const Deed *deed, uint64_t ref) {
        uint64_t sum = deed->row.memory_bytes;

        for (unsigned i = 0; i < book.n_starts; i++) {
                const Start *start = &book.starts[i];

                if (!start->over && !start->hidden)
                        sum += start->deed->row.memory_bytes;
        }
        if (deed->row.memory_bytes > 0 && sum > WORLD_RAM_BYTES - RESERVED_BYTES)
                world_fail("there is no room for task %" PRIu64 ": %" PRIu64 " GiB",
                           task_ref_id(ref), sum / GIB);
}

/* What was called lost while its command runs had its cores taken by others. */
static void check_cpus(const Deed *deed, uint64_t ref) {
        unsigned sum = deed->row.cpus;

        for (unsigned i = 0; i < book.n_starts; i++) {
                const Start *start = &book.starts[i];

                if (!start->over && !start->hidden && !start->given_up)
                        sum += start->deed->row.cpus;
        }
        if (deed->row.cpus > 0 && sum > WORLD_CPUS)
                world_fail("there are not enough cores for task %" PRIu64 ": %u", task_ref_id(ref),
                           sum);
}

/* Nothing that its agent has in front of it in a row still runs. */
static void check_row_ahead(const Deed *deed, uint64_t ref, unsigned attempt) {
        const Run *run = deed->foreground ?
                                 NULL :
                                 run_find(&agents[deed->row.uid - UID_FIRST], ref, attempt);

        for (run = run ? run->ahead : NULL; run; run = run->ahead)
                for (unsigned i = 0; i < book.n_starts; i++) {
                        const Start *start = &book.starts[i];

                        if (start->ref == run->ref && start->attempt == run->attempt &&
                            !start->over)
                                world_fail("task %" PRIu64 " runs beside task %" PRIu64
                                           ", behind which it stands",
                                           task_ref_id(ref), task_ref_id(start->ref));
                }
}

void check_given_up(uint64_t ref) {
        for (unsigned i = 0; i < book.n_starts; i++)
                if (book.starts[i].ref == ref)
                        book.starts[i].given_up = true;
}

Start *check_start(Deed *deed, uint64_t ref, unsigned attempt, Proc proc) {
        Start *start = &book.starts[book.n_starts];

        world_note("command", "RUNS", ref, attempt);
        check_first(deed, ref, attempt);
        check_room(deed, ref);
        check_cpus(deed, ref);
        check_row_ahead(deed, ref, attempt);
        if (book.n_starts + 1 < STARTS_MAX)
                book.n_starts++;
        else
                world_fail("too much is started");
        *start = (Start){
                .ref = ref, .attempt = attempt, .deed = deed, .proc = proc, .at_us = world.now_us
        };
        return start;
}

void check_over(Start *start, const End *end) {
        start->over = true;
        start->end = *end;
}

uint64_t check_ram_used_bytes(void) {
        uint64_t used = 0;

        for (unsigned i = 0; i < book.n_starts; i++) {
                const Start *start = &book.starts[i];

                if (!start->over && world.now_us - start->at_us >= RAMP_US)
                        used += start->deed->row.memory_bytes;
        }
        return MIN(used, WORLD_RAM_BYTES);
}

/* -- order -- */

static bool are_equals(const Deed *a, const Deed *b) {
        return a->row.uid == b->row.uid && a->row.priority == b->row.priority &&
               a->row.memory_bytes == b->row.memory_bytes && a->row.cpus == b->row.cpus &&
               a->foreground == b->foreground;
}

uint64_t check_newest_equal(uint64_t id) {
        const Deed *deed = deed_of_id(id);
        uint64_t newest = id;

        for (unsigned i = 0; deed && i < book.n_deeds; i++) {
                const Deed *other = &book.deeds[i];
                const Task *task = other->told ? host_task(other->id) : NULL;

                if (task && task->state == TASK_STATE_PENDING && !task->array &&
                    are_equals(deed, other) && task->id > newest)
                        newest = task->id;
        }
        return newest;
}

/* Among equals nobody is offered a start before one who was there first. */
void check_offered(Deed *deed, uint64_t ref, unsigned attempt) {
        if (deed->touched || deed->foreground || deed->offered)
                return;
        deed->offered = true;
        for (unsigned i = 0; i < book.n_deeds; i++) {
                const Deed *other = &book.deeds[i];
                const Task *task = other->told ? host_task(other->id) : NULL;

                if (!other->told || other == deed || other->touched || other->offered ||
                    other->id > task_ref_id(ref) || !are_equals(deed, other))
                        continue;
                if (task && task->state == TASK_STATE_PENDING && task->attempt == 0 &&
                    (!task->array || task->array->n_apart == 0))
                        world_fail("task %" PRIu64 " is offered a start before its equal %" PRIu64,
                                   task_ref_id(ref), other->id);
        }
}

/* -- crashes -- */

static bool is_end_safe(const Start *start) {
        const Row *row = store_row(start->ref);

        return row && task_state_is_final(row->state);
}

void check_power_lost(void) {
        for (unsigned i = 0; i < book.n_starts; i++) {
                Start *start = &book.starts[i];

                if (!start->over) {
                        start->over = start->cut = true;
                        start->end = (End){ .state = TASK_STATE_LOST, .exit_status = -1 };
                }
        }
}

/* What was promised is there, whatever a power cut has taken. */
static void check_promises(void) {
        for (unsigned i = 0; i < book.n_deeds; i++) {
                const Deed *deed = &book.deeds[i];

                if (deed->told && !deed->foreground && !store_row(deed->id))
                        world_fail("task %" PRIu64 " is forgotten", deed->id);
        }
}

void check_disk(void) {
        check_promises();
        for (unsigned i = 0; i < book.n_starts; i++)
                book.starts[i].unsettled |= !is_end_safe(&book.starts[i]);
}

void check_store_opened(void) {
        check_promises();
}

/* -- rest -- */

static const Start *last_start(const Deed *deed, uint64_t ref) {
        const Start *last = NULL;

        for (unsigned i = 0; i < book.n_starts; i++)
                if (book.starts[i].deed == deed && book.starts[i].ref == ref)
                        last = &book.starts[i];
        return last;
}

/* Something died; or a daemon that could not write has ended, and a foreground task had told it its end before. */
static bool may_be_lost(const Deed *deed) {
        return check_n_kills() > deed->n_kills || world.n_torn > 0 ||
               (deed->foreground && world.n_full > 0);
}

/* Whether the state on record is what happened. */
static bool is_true(const Deed *deed, const Row *row, const Start *start) {
        switch (row->state) {
        case TASK_STATE_DONE:
                return start && start->end.state == TASK_STATE_DONE;
        case TASK_STATE_FAILED:
                if (row->exit_status == 125 || row->exit_status == 127)
                        return true; /* could not be started */
                return start && start->end.state == TASK_STATE_FAILED &&
                       start->end.exit_status == row->exit_status;
        case TASK_STATE_TIMEOUT:
                return start && start->end.state == TASK_STATE_TIMEOUT;
        case TASK_STATE_CANCELLED:
                return deed->cancelled || deed->foreground || row->n_after > 0 ||
                       strncmp(row->reason, "task ", 5) == 0;
        case TASK_STATE_LOST:
                return row->reason[0] && may_be_lost(deed);
        case TASK_STATE_PENDING:
        case TASK_STATE_HELD:
        case TASK_STATE_RUNNING:
                break;
        }
        return false;
}

static void check_row(const Row *row) {
        const Deed *deed = deed_of_id(row->id);
        const Start *start = deed ? last_start(deed, row->id) : NULL;

        if (!task_state_is_final(row->state))
                world_fail("task %" PRIu64 " has come to no end: %s", task_ref_id(row->id),
                           task_state_to_string(row->state));
        else if (deed && deed->withdrawn && row->is_array == deed->row.is_array &&
                 row->state != TASK_STATE_CANCELLED)
                world_fail("task %" PRIu64 " was cancelled, and is on record as %s",
                           task_ref_id(row->id), task_state_to_string(row->state));
        else if (deed && !row->is_array && !is_true(deed, row, start))
                world_fail("task %" PRIu64 " is on record as %s, and that is not true: %s",
                           task_ref_id(row->id), task_state_to_string(row->state), row->reason);
}

void check_rest(void) {
        const Shelf *tasks = store_shelf();

        check_promises();
        for (size_t i = 0; i < tasks->n; i++)
                check_row(shelf_get(tasks, tasks->keys[i]));
        for (unsigned i = 0; i < N_AGENTS; i++) {
                const File *file;
                size_t at = 0;

                file = file_next(i, &at);
                if (file)
                        world_fail("the record of try %u of task %" PRIu64 " is left",
                                   file->attempt, task_ref_id(file->ref));
                if (agents[i].spool.n > 0)
                        world_fail("%zu tasks are left in a spool, the first is submission %" PRIu64
                                   ", %" PRIu64,
                                   agents[i].spool.n, agents[i].spool.keys[0],
                                   *(uint64_t *)shelf_get(&agents[i].spool,
                                                          agents[i].spool.keys[0]));
        }
        for (unsigned i = 0; i < book.n_starts; i++)
                if (!book.starts[i].over && !book.starts[i].hidden)
                        world_fail("task %" PRIu64 " runs on", task_ref_id(book.starts[i].ref));
}
