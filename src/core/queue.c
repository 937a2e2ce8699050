/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The queue
 *
 * A class keeps its queued tasks in a table sorted by their order. Tasks come with growing ids and
 * leave from the front, so that both are cheap; elements of an array come and go right behind the
 * front, so that it is the shorter side that moves. And it can be searched, so that a task's place
 * in line is found without walking past all that are in front of it.
 */

#include "core/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/keep.h"
#include "core/table.h"
#include "core/turn.h"

/* The start of a class's key; behind it stand the GPUs and the tokens that it asks for. */
typedef struct ClassKey {
        uint64_t memory_bytes;
        uint64_t time_limit_us;
        uid_t uid;
        unsigned priority;
        unsigned delay;
        unsigned cpus;
        unsigned n_gpus;
        unsigned n_tokens;
} ClassKey;

/* The bytes of the struct are what is hashed. */
_Static_assert(sizeof(ClassKey) == 2 * 8 + 6 * 4, "no holes of unknown content");

/* Of those who have no tasks, whoever had least. */
static void forget_one_user(Core *core) {
        uint64_t fade = turn_fade(core, core->last_boot_us);
        User *least = NULL;

        for (User *user = core->users_by_uid; user; user = user->hh.next)
                if (user->n_refs == 0 && (!least || turn_had(user, fade) < turn_had(least, fade)))
                        least = user;
        if (!least)
                return;

        table_remove_user(core, least);
        free(least);
}

int queue_get_user(Core *core, uid_t uid, User **ret) {
        User *user = table_find_user(core, uid);

        if (user) {
                *ret = user;
                return 0;
        }

        user = calloc(1, sizeof(*user));
        if (!user)
                return -ENOMEM;

        if (HASH_COUNT(core->users_by_uid) >= CORE_USERS_MAX)
                forget_one_user(core);
        user->uid = uid;
        user->rules = user_rules_default();
        TAILQ_INIT(&user->classes);
        if (table_add_user(core, user) < 0) {
                free(user);
                return -ENOMEM;
        }

        *ret = user;
        return 0;
}

void queue_forget_user(Core *core, User *user) {
        if (user->n_refs > 0 || !turn_is_forgettable(core, user))
                return;

        table_remove_user(core, user);
        free(user);
}

static size_t gpu_need_key(const GpuNeed *need, char *out) {
        size_t n_want = strnlen(need->want, GPU_WANT_MAX - 1) + 1;
        size_t n_uuid = strnlen(need->uuid, GPU_UUID_MAX - 1) + 1;

        memcpy(out, need->want, n_want - 1);
        out[n_want - 1] = '\0';
        memcpy(out + n_want, need->uuid, n_uuid - 1);
        out[n_want + n_uuid - 1] = '\0';
        memcpy(out + n_want + n_uuid, &need->bytes, sizeof(need->bytes));
        return n_want + n_uuid + sizeof(need->bytes);
}

static size_t token_key(const Token *token, char *out) {
        size_t n_name = strnlen(token->name, TOKEN_NAME_MAX - 1) + 1;

        memcpy(out, token->name, n_name - 1);
        out[n_name - 1] = '\0';
        memcpy(out + n_name, &token->n, sizeof(token->n));
        return n_name + sizeof(token->n);
}

/* The texts as typed are in the key: tasks of a class share them too. */
static char *class_key(const Alike *alike, size_t *ret_n) {
        const Needs *needs = alike->needs;
        ClassKey head = {
                .memory_bytes = needs->memory_bytes,
                .time_limit_us = alike->time_limit_us,
                .uid = alike->uid,
                .priority = alike->priority,
                .delay = alike->delay,
                .cpus = needs->cpus,
                .n_gpus = needs->n_gpus,
                .n_tokens = needs->n_tokens,
        };
        size_t n = sizeof(head);
        char *key;

        key = malloc(sizeof(head) + needs->n_gpus * sizeof(GpuNeed) +
                     needs->n_tokens * sizeof(Token));
        if (!key)
                return NULL;

        memcpy(key, &head, sizeof(head));
        for (unsigned i = 0; i < needs->n_gpus; i++)
                n += gpu_need_key(&needs->gpus[i], key + n);
        for (unsigned i = 0; i < needs->n_tokens; i++)
                n += token_key(&needs->tokens[i], key + n);

        *ret_n = n;
        return key;
}

/* Room for every task of the class, and a quarter more, so that making room at the end is rare. */
static int class_reserve(Class *class, size_t n_refs) {
        size_t enough = n_refs + n_refs / 4 + 1;
        Entry **queue;

        if (enough <= class->capacity)
                return 0;

        enough += n_refs / 4;
        queue = reallocarray(class->queue, enough, sizeof(Entry *));
        if (!queue)
                return -ENOMEM;

        class->queue = queue;
        class->capacity = enough;
        return 0;
}

static void class_free(Class *class) {
        needs_done(&class->needs);
        free(class->queue);
        free(class);
}

static int class_new(Core *core, const char *key, size_t n_key, const Needs *needs, Class **ret) {
        const ClassKey *head = (const void *)key;
        Class *class;
        int r;

        class = calloc(1, sizeof(*class) + n_key);
        if (!class)
                return -ENOMEM;

        class->priority = head->priority;
        class->delay = (DelayKind)head->delay;
        class->time_limit_us = head->time_limit_us;
        class->n_key = n_key;
        memcpy(class->key, key, n_key);

        r = needs_copy(&class->needs, needs);
        if (r < 0)
                goto fail;

        r = queue_get_user(core, head->uid, &class->user);
        if (r < 0)
                goto fail;

        r = table_add_class(core, class);
        if (r < 0) {
                queue_forget_user(core, class->user);
                goto fail;
        }

        class->user->n_refs++;
        *ret = class;
        return 0;

fail:
        class_free(class);
        return r;
}

Alike queue_alike(const Task *task) {
        return (Alike){
                .uid = task->uid,
                .priority = task->priority,
                .delay = !task->delay_given  ? DELAY_KIND_DEFAULT :
                         task->delay_us == 0 ? DELAY_KIND_NONE :
                                               DELAY_KIND_OWN,
                .time_limit_us = task->time_limit_us,
                .needs = &task->needs,
        };
}

int queue_ref_class(Core *core, const Alike *alike, Class **ret) {
        size_t n_key = 0;
        Class *class;
        char *key;
        int r = 0;

        key = class_key(alike, &n_key);
        if (!key)
                return -ENOMEM;

        class = table_find_class(core, key, n_key);
        if (!class)
                r = class_new(core, key, n_key, alike->needs, &class);
        free(key);
        if (r < 0)
                return r;

        class->n_refs++;
        r = class_reserve(class, class->n_refs);
        if (r < 0) {
                queue_unref_class(core, class);
                return r;
        }

        *ret = class;
        return 0;
}

void queue_unref_class(Core *core, Class *class) {
        User *user = class->user;

        if (--class->n_refs > 0)
                return;

        assert(class->n_queued == 0);
        table_remove_class(core, class);
        class_free(class);
        user->n_refs--;
        queue_forget_user(core, user);
}

/* Who comes is mostly the last: a search would look at as many as the logarithm of all, each somewhere else in memory. */
size_t class_n_before(const Class *class, uint64_t order) {
        size_t low = 0, high = class->n_queued;

        if (high == 0 || task_ref_place(class_queued(class, high - 1)->task->id) < order)
                return high;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (task_ref_place(class_queued(class, middle)->task->id) < order)
                        low = middle + 1;
                else
                        high = middle;
        }

        return low;
}

/* Moves @n of a class's queue from one place to another. */
static void class_shift(Class *class, size_t to, size_t from, size_t n) {
        memmove(class->queue + to, class->queue + from, n * sizeof(Entry *));
}

static void class_insert(Class *class, Entry *entry) {
        size_t at = class_n_before(class, task_ref_place(entry->task->id));

        assert(class->n_queued < class->capacity);
        if (class->first > 0 && at <= class->n_queued / 2) {
                class_shift(class, class->first - 1, class->first, at);
                class->first--;
        } else {
                if (class->first + class->n_queued == class->capacity) {
                        class_shift(class, 0, class->first, class->n_queued);
                        class->first = 0;
                }
                class_shift(class, class->first + at + 1, class->first + at, class->n_queued - at);
        }

        class->queue[class->first + at] = entry;
        class->n_queued++;
}

static void class_delete(Class *class, const Entry *entry) {
        size_t at = class_n_before(class, task_ref_place(entry->task->id));

        assert(at < class->n_queued && class_queued(class, at) == entry);
        class->n_queued--;
        if (at <= class->n_queued / 2) {
                class_shift(class, class->first + 1, class->first, at);
                class->first++;
        } else {
                class_shift(class, class->first + at, class->first + at + 1, class->n_queued - at);
        }
}

static void enqueue(Core *core, Entry *entry) {
        Class *class = entry->class;
        User *user = class->user;

        class_insert(class, entry);
        if (class->n_queued > 1)
                return;

        core->n_queued_classes++;
        if (TAILQ_EMPTY(&user->classes)) {
                core->n_queued_users++;
                TAILQ_INSERT_TAIL(&core->users, user, link);
        }
        TAILQ_INSERT_TAIL(&user->classes, class, link);
}

static void dequeue(Core *core, Entry *entry) {
        Class *class = entry->class;
        User *user = class->user;

        class_delete(class, entry);
        if (class->n_queued > 0)
                return;

        core->n_queued_classes--;
        TAILQ_REMOVE(&user->classes, class, link);
        if (TAILQ_EMPTY(&user->classes)) {
                core->n_queued_users--;
                TAILQ_REMOVE(&core->users, user, link);
        }
}

/* NULL: the class's own queue. */
static EntryList *phase_list(Core *core, Phase phase) {
        assert(core);
        switch (phase) {
        case PHASE_WAITING:
                return NULL;
        case PHASE_AWAY:
                return &core->away;
        case PHASE_BLOCKED:
                return &core->blocked;
        case PHASE_HELD:
                return &core->held;
        case PHASE_OFFERED:
        case PHASE_RUNNING:
                return &core->active;
        case PHASE_LOST:
        case PHASE_ENDED:
                return &core->ended;
        }

        return NULL;
}

/* What an array counts of its elements. */
static void count_element(Core *core, const Entry *entry, Phase phase, unsigned by) {
        Entry *array = array_of(core, entry->task->id);

        if (!array)
                return;

        core->n_shut -= array_n_shut(array);
        if (phase_is_active(phase))
                array->task->array->n_active += by;
        if (!phase_is_over(phase))
                array->task->array->n_apart += by;
        if (phase == PHASE_WAITING)
                array->n_queued += by;
        core->n_shut += array_n_shut(array);
}

/* What is counted of an entry in a phase: +1 when it comes, -1 when it goes. */
static void count(Core *core, const Entry *entry, Phase phase, int by) {
        User *user = entry->class->user;
        size_t n = (size_t)by; /* wraps around on purpose: adding it subtracts */
        size_t n_waiting = entry->task->array ? entry->n_waiting : 1;

        core->n_phase[phase] += n;
        if (phase_is_pending(phase))
                core->n_pending += n * n_waiting;
        if (phase == PHASE_HELD)
                core->n_held += n * n_waiting;
        if ((phase_is_pending(phase) || phase == PHASE_HELD) && n_waiting > 0)
                user->n_waiting += n;
        if (phase == PHASE_OFFERED)
                user->n_offers += n;
        if (phase == PHASE_RUNNING)
                user->n_running += n;
        if (entry->class->needs.n_gpus > 0 && (phase == PHASE_WAITING || phase_is_active(phase)))
                core->n_gpu_tasks += n;
        count_element(core, entry, phase, (unsigned)by);
}

void queue_enter(Core *core, Entry *entry, Phase phase) {
        EntryList *list = phase_list(core, phase);

        entry->phase = phase;
        count(core, entry, phase, 1);
        if (list)
                TAILQ_INSERT_TAIL(list, entry, link);
        else
                enqueue(core, entry);
}

void queue_leave(Core *core, Entry *entry) {
        EntryList *list = phase_list(core, entry->phase);

        if (entry->phase == PHASE_WAITING)
                keep_leave(core, entry->task->id);
        count(core, entry, entry->phase, -1);
        if (list)
                TAILQ_REMOVE(list, entry, link);
        else
                dequeue(core, entry);
}

void queue_move(Core *core, Entry *entry, Phase phase) {
        queue_leave(core, entry);
        queue_enter(core, entry, phase);
}

/* Whether it is not to be looked at, whatever room there is. */
static bool is_blocked(const Entry *entry) {
        const TaskArray *array = entry->task->array;

        return entry->task->n_after > 0 ||
               (array && (entry->n_waiting == 0 || array_is_full(array)));
}

Phase entry_waiting_phase(const Entry *entry) {
        if (entry->task->state == TASK_STATE_HELD)
                return PHASE_HELD;
        if (is_blocked(entry))
                return PHASE_BLOCKED;

        return entry->away ? PHASE_AWAY : PHASE_WAITING;
}

void queue_settle(Core *core, Entry *entry) {
        Phase phase;

        if (!phase_is_idle(entry->phase))
                return;

        phase = entry_waiting_phase(entry);
        if (phase != entry->phase)
                queue_move(core, entry, phase);
}

void queue_set_n_waiting(Core *core, Entry *entry, uint32_t n) {
        count(core, entry, entry->phase, -1);
        entry->n_waiting = n;
        count(core, entry, entry->phase, 1);
}
