/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Can it ever be met?
 *
 * Judged by what the machine has, not by what is free: totals, cores, the GPUs seen so far. A GPU
 * that is lost or does not answer now counts, since it may come back.
 */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/assign.h"
#include "core/core.h"
#include "core/fit.h"
#include "core/gpu-word.h"
#include "core/gpus.h"
#include "core/sat.h"
#include "util/units.h"

enum {
        LIST_MAX = 240, /* bytes of a list of GPUs, or of tokens, in a sentence */
};

typedef struct Bytes {
        char text[UNITS_FORMAT_MAX];
} Bytes;

static const char *show(Bytes *buf, uint64_t bytes) {
        return units_format_bytes(buf->text, sizeof(buf->text), bytes);
}

static int resolve_memory(const Core *core, const Needs *needs, Error *error) {
        uint64_t total = core->ram.total_bytes;
        uint64_t reserved = core->policy.reserved_memory_bytes;
        Bytes asked, has, kept;

        if (needs->memory_bytes == 0)
                return 0;
        if (!core->ram.look.known)
                return error_set(error, CORE_E_NO_FIGURES,
                                 "the RAM of this machine is not known yet");
        if (needs->memory_bytes <= sat_sub(total, reserved))
                return 0;

        return error_set(
                error, CORE_E_IMPOSSIBLE,
                "it asks for %s of RAM, but this machine has %s in all, of which %s are always "
                "left free",
                show(&asked, needs->memory_bytes), show(&has, total), show(&kept, reserved));
}

static int resolve_cpus(const Core *core, const Needs *needs, Error *error) {
        if (needs->cpus <= core->policy.n_cpus)
                return 0;

        return error_set(error, CORE_E_IMPOSSIBLE, "it asks for %u cores, but this machine has %u",
                         needs->cpus, core->policy.n_cpus);
}

/* `ansys (2), matlab (3)` */
static void list_tokens(const Core *core, char *buf, size_t n) {
        const Policy *policy = &core->policy;
        size_t at = 0;

        buf[0] = '\0';
        for (unsigned i = 0; i < policy->n_tokens; i++) {
                int r = snprintf(buf + at, n - at, "%s%s (%u)", at > 0 ? ", " : "",
                                 policy->tokens[i].name, policy->tokens[i].n);

                if (r < 0 || (size_t)r >= n - at) {
                        buf[at] = '\0';
                        break;
                }
                at += (size_t)r;
        }
}

static int refuse_unknown_token(const Core *core, const char *name, Error *error) {
        char list[LIST_MAX];

        if (core->policy.n_tokens == 0)
                return error_set(
                        error, CORE_E_IMPOSSIBLE,
                        "there are no tokens '%s' here: the settings name none ([tokens] in "
                        "taskflow.conf)",
                        name);
        list_tokens(core, list, sizeof(list));
        return error_set(error, CORE_E_IMPOSSIBLE, "there are no tokens '%s' here; there are %s",
                         name, list);
}

static int resolve_tokens(const Core *core, const Needs *needs, Error *error) {
        const Policy *policy = &core->policy;

        for (unsigned i = 0; i < needs->n_tokens; i++) {
                const Token *token = &needs->tokens[i];
                int at = token_find(policy->tokens, policy->n_tokens, token->name);

                if (at < 0)
                        return refuse_unknown_token(core, token->name, error);
                if (token->n > policy->tokens[at].n)
                        return error_set(error, CORE_E_IMPOSSIBLE,
                                         "it asks for %u tokens of '%s', but there are %u",
                                         token->n, token->name, policy->tokens[at].n);
        }

        return 0;
}

static bool is_ever_given(const Core *core, int slot) {
        GpuUse use = core->gpus[slot].sample.use;

        return gpus_is_allowed(core, slot) && use != GPU_USE_PROHIBITED && use != GPU_USE_SPLIT;
}

static bool is_part_of(const GpuSample *part, const GpuSample *whole) {
        return part->part > 0 && part->kind == whole->kind && part->index == whole->index;
}

/* `GPU 0 (NVIDIA A100, 80G), GPU 1 (…)`: those that are given out, or the parts of one. */
static void list_gpus(const Core *core, const GpuSample *whole, char *buf, size_t n) {
        size_t at = 0;

        buf[0] = '\0';
        for (unsigned i = 0; i < core->n_gpus; i++) {
                const GpuSample *sample = &core->gpus[i].sample;
                char id[GPU_ID_MAX];
                Bytes total;
                int r;

                if (!is_ever_given(core, (int)i) || sample->state == GPU_STATE_LOST ||
                    (whole && !is_part_of(sample, whole)))
                        continue;
                r = snprintf(buf + at, n - at, "%sGPU %s (%s%s%s)", at > 0 ? ", " : "",
                             gpus_id(core, (int)i, id), sample->name, sample->name[0] ? ", " : "",
                             sample->shares_ram ? "which shares RAM" :
                             sample->whole_only ? "given out whole" :
                                                  show(&total, sample->total_bytes));
                if (r < 0 || (size_t)r >= n - at) {
                        buf[at] = '\0';
                        break;
                }
                at += (size_t)r;
        }

        if (at == 0)
                (void)snprintf(buf, n, "no GPU");
}

static int refuse_unknown_gpu(const Core *core, const char *want, Error *error) {
        char list[LIST_MAX];

        list_gpus(core, NULL, list, sizeof(list));
        return error_set(error, CORE_E_IMPOSSIBLE, "there is no GPU '%s' here; there is %s", want,
                         list);
}

/* One that is there, but that nobody is ever given. */
static int refuse_kept_gpu(const Core *core, int slot, const char *want, Error *error) {
        const GpuSample *sample = &core->gpus[slot].sample;
        char list[LIST_MAX];

        if (!gpus_is_allowed(core, slot))
                return error_set(error, CORE_E_IMPOSSIBLE,
                                 "GPU '%s' is not given out here (setting 'gpus')", want);
        if (sample->use == GPU_USE_SPLIT) {
                list_gpus(core, sample, list, sizeof(list));
                return error_set(error, CORE_E_IMPOSSIBLE,
                                 "GPU '%s' is split into instances (MIG), which are asked for one "
                                 "by one; there is %s",
                                 want, list);
        }
        return error_set(error, CORE_E_IMPOSSIBLE,
                         "GPU '%s' is not given out: its compute mode is 'prohibited' "
                         "('nvidia-smi -c DEFAULT' changes it)",
                         want);
}

/* A GPU that is there goes before one that had the number before it was lost. */
static int find_by_number(const Core *core, const GpuNumber *number) {
        GpuKind first_kind = gpus_first_kind(core);
        int lost = SLOT_NONE;

        for (unsigned i = 0; i < core->n_gpus; i++) {
                if (!gpu_number_matches(number, &core->gpus[i].sample, first_kind))
                        continue;
                if (core->gpus[i].sample.state != GPU_STATE_LOST)
                        return (int)i;
                lost = (int)i;
        }

        return lost;
}

static int find_by_word(const Core *core, const char *want, int *ret, Error *error) {
        GpuNumber number;
        int found = gpus_find(core, want);

        if (found == SLOT_NONE && gpu_word_number(want, &number))
                found = find_by_number(core, &number);
        if (found != SLOT_NONE) {
                *ret = found;
                return 0;
        }

        for (unsigned i = 0; i < core->n_gpus; i++) {
                if (strncmp(core->gpus[i].sample.uuid, want, strlen(want)) != 0)
                        continue;
                if (found != SLOT_NONE)
                        return error_set(error, CORE_E_IMPOSSIBLE,
                                         "'%s' is the beginning of more than one GPU's UUID: "
                                         "%s and %s",
                                         want, core->gpus[found].sample.uuid,
                                         core->gpus[i].sample.uuid);
                found = (int)i;
        }

        if (found == SLOT_NONE)
                return refuse_unknown_gpu(core, want, error);

        *ret = found;
        return 0;
}

/*
 * Whether a GPU could ever serve so much. Of one whose size was never told, we may hope. One without
 * memory of its own has RAM, of which a task takes what it asks for by that name, too.
 */
static bool could_serve(const Core *core, const Needs *needs, const Gpu *gpu, uint64_t bytes) {
        uint64_t ignored;

        if (gpu->sample.whole_only)
                return bytes == GPU_WHOLE;
        if (gpu->sample.shares_ram)
                return bytes == GPU_WHOLE ||
                       sat_add(needs->memory_bytes, bytes) <=
                               sat_sub(core->ram.total_bytes, core->policy.reserved_memory_bytes);
        if (!gpu->total_known && gpu->sample.total_bytes == 0)
                return true;

        return fit_gpu_bytes(bytes, gpu->sample.total_bytes, core->policy.reserved_gpu_memory_bytes,
                             &ignored);
}

static int refuse_size(const Core *core, const GpuNeed *need, int slot, Error *error) {
        const GpuSample *sample = &core->gpus[slot].sample;
        char id[GPU_ID_MAX];
        Bytes asked, has;

        if (sample->whole_only)
                return error_set(error, CORE_E_IMPOSSIBLE,
                                 "it asks for %s on GPU %s, of which it can't be known how much is "
                                 "used: it is given out whole ('--gpu %s')",
                                 show(&asked, need->bytes), gpus_id(core, slot, id), id);
        if (sample->shares_ram)
                return error_set(error, CORE_E_IMPOSSIBLE,
                                 "it asks for %s on GPU %s, which shares the machine's RAM: %s in "
                                 "all, with what it asks for of that",
                                 show(&asked, need->bytes), gpus_id(core, slot, id),
                                 show(&has, core->ram.total_bytes));
        return error_set(error, CORE_E_IMPOSSIBLE, "it asks for %s on GPU %s, which has %s in all",
                         show(&asked, need->bytes), gpus_id(core, slot, id),
                         show(&has, sample->total_bytes));
}

static int resolve_named(const Core *core,
                         const Needs *needs,
                         const GpuNeed *need,
                         uint64_t *named,
                         int *ret,
                         Error *error) {
        char id[GPU_ID_MAX];
        const Gpu *gpu;
        int slot = SLOT_NONE, r;

        r = find_by_word(core, need->want, &slot, error);
        if (r != 0)
                return r;

        assert(slot >= 0);
        gpu = &core->gpus[slot];
        if (!is_ever_given(core, slot))
                return refuse_kept_gpu(core, slot, need->want, error);
        if (*named & (UINT64_C(1) << slot))
                return error_set(error, CORE_E_IMPOSSIBLE,
                                 "GPU %s is asked for twice; all GPUs of a task are different",
                                 gpus_id(core, slot, id));
        if (!gpus_is_for(core, slot, needs))
                return error_set(error, CORE_E_IMPOSSIBLE,
                                 "GPU %s is an instance (MIG), of which a program can use one "
                                 "alone, and it asks for %u GPUs",
                                 gpus_id(core, slot, id), needs->n_gpus);
        if (!could_serve(core, needs, gpu, need->bytes))
                return refuse_size(core, need, slot, error);

        *named |= UINT64_C(1) << slot;
        *ret = slot;
        return 0;
}

static int refuse_any(const Core *core, const Needs *needs, const GpuNeed *need, Error *error) {
        char list[LIST_MAX];
        Bytes asked;

        list_gpus(core, NULL, list, sizeof(list));
        if (needs->n_gpus > 1)
                return error_set(
                        error, CORE_E_IMPOSSIBLE,
                        "there are not %u different GPUs here for what it asks; there is %s",
                        needs->n_gpus, list);
        if (need->bytes == GPU_WHOLE)
                return error_set(error, CORE_E_IMPOSSIBLE, "there is no GPU to be had here");

        return error_set(error, CORE_E_IMPOSSIBLE,
                         "it asks for %s on a GPU, but none has that much; there is %s",
                         show(&asked, need->bytes), list);
}

/* Whether there are enough different GPUs for the needs for any, beside the named ones. */
static int resolve_any(const Core *core, const Needs *needs, uint64_t named, Error *error) {
        Assign assign = { .n_slots = core->n_gpus };
        const GpuKind first_kind = gpus_first_kind(core);
        const GpuNeed *last = NULL;
        GpuKind kind;

        for (unsigned slot = 0; slot < core->n_gpus; slot++)
                assign.prefer[slot] = slot;

        for (unsigned i = 0; i < needs->n_gpus; i++) {
                if (!gpu_word_is_any(needs->gpus[i].want, first_kind, &kind))
                        continue;
                last = &needs->gpus[i];
                for (unsigned slot = 0; slot < core->n_gpus; slot++)
                        if (is_ever_given(core, (int)slot) && gpus_is_for(core, (int)slot, needs) &&
                            core->gpus[slot].sample.kind == kind &&
                            could_serve(core, needs, &core->gpus[slot], last->bytes))
                                assign.can[assign.n_needs] |= UINT64_C(1) << slot;
                assign.can[assign.n_needs++] &= ~named;
        }

        if (!last)
                return 0; /* all are named */

        return assign_all(&assign) ? 0 : refuse_any(core, needs, last, error);
}

static int resolve_gpus(const Core *core,
                        const Needs *needs,
                        int slots[static NEEDS_GPUS_MAX],
                        Error *error) {
        uint64_t named = 0;
        GpuKind kind;
        int r;

        if (needs->n_gpus == 0)
                return 0;
        if (core->n_gpus == 0 && !core->gpus_seen)
                return error_set(error, CORE_E_NO_FIGURES,
                                 "the GPUs of this machine are not known yet");
        if (core->n_gpus == 0)
                return error_set(error, CORE_E_IMPOSSIBLE, "this machine has no GPU");

        for (unsigned i = 0; i < needs->n_gpus; i++) {
                slots[i] = SLOT_NONE;
                if (gpu_word_is_any(needs->gpus[i].want, GPU_KIND_NVIDIA, &kind))
                        continue;
                r = resolve_named(core, needs, &needs->gpus[i], &named, &slots[i], error);
                if (r != 0)
                        return r;
        }

        return resolve_any(core, needs, named, error);
}

/* Several GPUs without memory of their own, and RAM: one pool, of which each may ask for a part. */
static int resolve_shared(const Core *core,
                          const Needs *needs,
                          const int slots[static NEEDS_GPUS_MAX],
                          Error *error) {
        uint64_t bytes = needs->memory_bytes;
        Bytes asked, has;

        for (unsigned i = 0; i < needs->n_gpus; i++)
                if (slots[i] >= 0 && core->gpus[slots[i]].sample.shares_ram &&
                    needs->gpus[i].bytes != GPU_WHOLE)
                        bytes = sat_add(bytes, needs->gpus[i].bytes);
        if (bytes == needs->memory_bytes ||
            bytes <= sat_sub(core->ram.total_bytes, core->policy.reserved_memory_bytes))
                return 0;

        return error_set(error, CORE_E_IMPOSSIBLE,
                         "it asks for %s of RAM with what it asks for on GPUs that share it, but "
                         "this machine has %s in all",
                         show(&asked, bytes), show(&has, core->ram.total_bytes));
}

int core_resolve(const Core *core, Needs *needs, Error *error) {
        int slots[NEEDS_GPUS_MAX] = {};
        int r;

        r = resolve_memory(core, needs, error);
        if (r == 0)
                r = resolve_cpus(core, needs, error);
        if (r == 0)
                r = resolve_tokens(core, needs, error);
        if (r == 0)
                r = resolve_gpus(core, needs, slots, error);
        if (r == 0)
                r = resolve_shared(core, needs, slots, error);
        if (r != 0)
                return r;

        for (unsigned i = 0; i < needs->n_gpus; i++)
                gpu_text_copy(needs->gpus[i].uuid,
                              slots[i] == SLOT_NONE ? "" : core->gpus[slots[i]].sample.uuid);
        return 0;
}
