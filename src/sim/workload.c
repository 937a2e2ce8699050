/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "sim/workload.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/task.h"
#include "sim/rng.h"

enum {
        ASK_MAX_PCT = 97,

        /* What is not known of those who have a GPU for themselves: some fill it, some hardly half. */
        WHOLE_TAKES_MIN_PCT = 50,
        WHOLE_TAKES_MAX_PCT = 95,

        /* People beside the queue: interactive sessions and notebooks. */
        OUTSIDER_STAYS_US = 3600 * 1000000U, /* on the average */
        OUTSIDER_GPU_MIN_PCT = 5,
        OUTSIDER_GPU_MAX_PCT = 60, /* of one GPU */
        OUTSIDER_MEMORY_MAX_PCT = 10,
        OUTSIDE_USES_MAX = 1000000,
};

uint64_t sim_machine_smallest_gpu(const SimMachine *machine) {
        uint64_t smallest = machine->n_gpus > 0 ? machine->gpu_bytes[0] : 0;

        for (unsigned i = 1; i < machine->n_gpus; i++)
                smallest = MIN(smallest, machine->gpu_bytes[i]);
        return smallest;
}

static uint64_t percent(uint64_t bytes, uint64_t pct) {
        return bytes / 100 * pct + bytes % 100 * pct / 100;
}

uint64_t workload_ask_max(uint64_t total_bytes) {
        return percent(total_bytes, ASK_MAX_PCT);
}

/* What somebody asks for who takes @bytes, and does not know it to better than so much. */
static uint64_t guess(Rng *rng, uint64_t bytes, unsigned error_pct) {
        uint64_t permyriad = rng_between(rng, 10000 - 100 * (uint64_t)MIN(error_pct, 99U),
                                         10000 + 100 * (uint64_t)error_pct);

        return MAX((uint64_t)((unsigned __int128)bytes * permyriad / 10000), UINT64_C(1));
}

/* Of 0 to n - 1, the k-th as often as 1 / (k + 1): a few people queue most. */
static unsigned some_user(Rng *rng, unsigned n) {
        double sum = 0, at;

        for (unsigned k = 0; k < n; k++)
                sum += 1.0 / (k + 1);
        at = rng_real(rng) * sum;
        for (unsigned k = 0; k + 1 < n; k++) {
                at -= 1.0 / (k + 1);
                if (at < 0)
                        return k;
        }
        return n - 1;
}

/* -- users -- */

static int compare_users(const void *a, const void *b) {
        const int64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* Those of a trace, each once, sorted. Return: how many, or -ENOMEM. */
static ssize_t list_users(const Trace *trace, int64_t **ret) {
        int64_t *users = calloc(trace->n_tasks, sizeof(*users));
        size_t n = 0;

        if (!users)
                return -ENOMEM;
        for (size_t i = 0; i < trace->n_tasks; i++)
                users[i] = trace->tasks[i].user;
        qsort(users, trace->n_tasks, sizeof(*users), compare_users);
        for (size_t i = 0; i < trace->n_tasks; i++)
                if (users[i] >= 0 && (n == 0 || users[n - 1] != users[i]))
                        users[n++] = users[i];
        *ret = users;
        return (ssize_t)n;
}

static unsigned find_user(const int64_t *users, size_t n, int64_t user) {
        const int64_t *found = bsearch(&user, users, n, sizeof(*users), compare_users);

        return found ? (unsigned)(found - users) : 0;
}

/* -- what a task asks for, and takes -- */

static void set_memory(Job *job, const TraceTask *task, const WorkloadOptions *options, Rng *rng) {
        uint64_t most = workload_ask_max(options->machine.memory_bytes);
        uint64_t asked = task->memory_bytes, taken = task->memory_peak_bytes;

        job->memory_bytes = MIN(taken > 0 ? taken : asked, most);
        if (asked == 0)
                return;
        if (options->error_pct > 0)
                asked = guess(rng, job->memory_bytes, options->error_pct);
        job->needs.memory_bytes = MIN(asked, most);
}

static uint64_t bytes_of(const TraceGpu *gpu, uint64_t total) {
        if (gpu->share_milli > 0)
                return (uint64_t)((unsigned __int128)total * gpu->share_milli / 1000);
        return gpu->bytes;
}

static int add_gpu(Job *job, const TraceGpu *gpu, const WorkloadOptions *options, Rng *rng) {
        uint64_t total = sim_machine_smallest_gpu(&options->machine);
        uint64_t asked = bytes_of(gpu, total), taken = gpu->peak_bytes;
        uint64_t most = workload_ask_max(total);
        bool named = gpu->index >= 0 && (unsigned)gpu->index < options->machine.n_gpus;
        char word[16] = "any";
        int r;

        if (asked != GPU_WHOLE && asked > most)
                asked = GPU_WHOLE;
        if (taken == 0)
                taken = asked != GPU_WHOLE ? asked :
                                             percent(total, rng_between(rng, WHOLE_TAKES_MIN_PCT,
                                                                        WHOLE_TAKES_MAX_PCT));
        taken = MIN(taken, most);
        if (asked != GPU_WHOLE && options->error_pct > 0)
                asked = MIN(guess(rng, taken, options->error_pct), most);

        if (named)
                (void)snprintf(word, sizeof(word), "%d", gpu->index);
        r = needs_add_gpu(&job->needs, word, asked);
        if (r == 0 && named)
                (void)snprintf(job->needs.gpus[job->needs.n_gpus - 1].uuid, GPU_UUID_MAX, "GPU-%d",
                               gpu->index);
        job->gpu_bytes = MAX(job->gpu_bytes, taken);
        return r;
}

/* Where a trace does not tell, runs of the same are those that ask for the same. */
static uint64_t program_of(const TraceTask *task) {
        Rng mix = { task->memory_bytes };

        if (task->program != 0)
                return task->program;
        mix.state = rng_next(&mix) ^ task->cpus;
        for (unsigned i = 0; i < task->n_gpus; i++)
                mix.state = rng_next(&mix) ^ task->gpus[i].bytes ^ task->gpus[i].share_milli;
        return rng_next(&mix);
}

static void set_times(Job *job, const TraceTask *task, const WorkloadOptions *options, Rng *rng) {
        uint64_t factor = rng_between(rng, 1000, MAX(options->estimate_permille, UINT64_C(1000)));
        bool with_time = rng_chance(rng, options->with_time_pct);

        job->duration_us = task->duration_us;
        job->estimate_us = (uint64_t)((unsigned __int128)job->duration_us * factor / 1000);
        job->time_limit_us = with_time ? job->estimate_us : TASK_TIME_INF;
        if (task->time_limit_us != TASK_TIME_INF) {
                job->estimate_us = MAX(task->time_limit_us, job->duration_us);
                job->time_limit_us = job->estimate_us;
        }
        job->ramp_us = MIN(rng_below(rng, options->ramp_us + 1), job->duration_us / 2);
        job->delay_given = task->delay_given;
        job->delay_us = task->delay_us;
}

/* Like cores: those that the machine does not have are not reckoned with. */
static int add_tokens(Job *job, const TraceTask *task, const SimMachine *machine) {
        int r = 0;

        for (unsigned i = 0; i < task->n_tokens && r == 0; i++) {
                int at = token_find(machine->tokens, machine->n_tokens, task->tokens[i].name);
                Token token = task->tokens[i];

                if (at < 0 || machine->tokens[at].n == 0)
                        continue;
                token.n = MIN(token.n, machine->tokens[at].n);
                r = needs_add_token(&job->needs, &token);
        }
        return r;
}

static int make_job(Job *job, const TraceTask *task, const WorkloadOptions *options, Rng *rng) {
        unsigned n_gpus = MIN(task->n_gpus, options->machine.n_gpus);
        int r = 0;

        *job = (Job){
                .priority = task->priority,
                .arrival_us = task->submitted_us,
                .program = program_of(task),
        };
        job->user = some_user(rng, MAX(options->n_users, 1U));
        set_times(job, task, options, rng);
        set_memory(job, task, options, rng);
        if (options->machine.n_cpus > 0)
                job->needs.cpus = MIN(task->cpus, options->machine.n_cpus);
        for (unsigned i = 0; i < n_gpus && r == 0; i++)
                r = add_gpu(job, &task->gpus[i], options, rng);
        return r == 0 ? add_tokens(job, task, &options->machine) : r;
}

/* -- when they come -- */

/* A GPU, or the part of one, that it keeps from others. */
static double gpus_of(const Job *job, uint64_t total) {
        double n = 0;

        for (unsigned i = 0; i < job->needs.n_gpus; i++)
                n += job->needs.gpus[i].bytes == GPU_WHOLE ? 1 :
                                                             (double)job->gpu_bytes / (double)total;
        return n;
}

static double load_of(const Workload *workload, const SimMachine *machine) {
        double gpus = 0, memory = 0, cpus = 0, span_us;

        for (size_t i = 0; i < workload->n_jobs; i++) {
                const Job *job = &workload->jobs[i];
                double us = (double)job->duration_us;

                gpus += us * gpus_of(job, sim_machine_smallest_gpu(machine));
                memory += us * (double)job->memory_bytes;
                cpus += us * job->needs.cpus;
        }
        span_us = (double)workload->jobs[workload->n_jobs - 1].arrival_us;
        if (span_us < 1)
                return 0;
        gpus /= machine->n_gpus > 0 ? machine->n_gpus * span_us : span_us;
        memory /= (double)machine->memory_bytes * span_us;
        cpus /= machine->n_cpus > 0 ? machine->n_cpus * span_us : span_us;
        return MAX(gpus, MAX(memory, cpus));
}

static int compare_arrivals(const void *a, const void *b) {
        const Job *x = a, *y = b;

        if (x->arrival_us != y->arrival_us)
                return x->arrival_us < y->arrival_us ? -1 : 1;
        return (x->number > y->number) - (x->number < y->number);
}

static void set_arrivals(Workload *workload, const WorkloadOptions *options, Rng *rng) {
        double scale = 1;

        workload->load = load_of(workload, &options->machine);
        if (options->load_permille > 0 && workload->load > 0) {
                scale = workload->load * 1000 / (double)options->load_permille;
                workload->load = (double)options->load_permille / 1000;
        }
        for (size_t i = 0; i < workload->n_jobs; i++) {
                double at_us = (double)workload->jobs[i].arrival_us * scale;

                /* far beyond what a run may last */
                workload->jobs[i].arrival_us = (uint64_t)MIN(at_us, 1e18);
                if (options->jitter_us > 0)
                        workload->jobs[i].arrival_us += rng_below(rng, options->jitter_us);
        }
        qsort(workload->jobs, workload->n_jobs, sizeof(Job), compare_arrivals);
}

/* -- people beside the queue -- */

/* How long until, where it is so long on the average and may happen at any time. */
static double some_interval(Rng *rng, double mean_us) {
        return -log(1 - rng_real(rng)) * mean_us;
}

static Outsider some_outsider(Rng *rng, const SimMachine *machine, uint64_t from_us) {
        Outsider outsider = { .from_us = from_us };
        double stays_us = some_interval(rng, OUTSIDER_STAYS_US);

        outsider.to_us = from_us + (uint64_t)MIN(stays_us, 24.0 * OUTSIDER_STAYS_US) + 1;
        outsider.memory_bytes =
                percent(machine->memory_bytes, rng_below(rng, OUTSIDER_MEMORY_MAX_PCT + 1));
        if (machine->n_gpus > 0) {
                outsider.gpu = (unsigned)rng_below(rng, machine->n_gpus);
                outsider.gpu_bytes =
                        percent(machine->gpu_bytes[outsider.gpu],
                                rng_between(rng, OUTSIDER_GPU_MIN_PCT, OUTSIDER_GPU_MAX_PCT));
        }
        return outsider;
}

/* They come as long as tasks do, and so often that the share of the machine is as it is to be. */
static int add_outsiders(Workload *workload, const WorkloadOptions *options, Rng *rng) {
        const SimMachine *machine = &options->machine;
        double each_pct = machine->n_gpus > 0 ? (OUTSIDER_GPU_MIN_PCT + OUTSIDER_GPU_MAX_PCT) /
                                                        2.0 / machine->n_gpus :
                                                OUTSIDER_MEMORY_MAX_PCT / 2.0;
        double gap_us = OUTSIDER_STAYS_US * each_pct / options->outside_pct;
        double until_us = (double)workload->jobs[workload->n_jobs - 1].arrival_us + 1;
        size_t n_max = (size_t)MIN(until_us / gap_us * 2 + 16, (double)OUTSIDE_USES_MAX);
        double at_us = 0;

        workload->outsiders = calloc(n_max, sizeof(Outsider));
        if (!workload->outsiders)
                return -ENOMEM;
        while (workload->n_outsiders < n_max) {
                at_us += some_interval(rng, gap_us);
                if (at_us > until_us)
                        break;
                workload->outsiders[workload->n_outsiders++] =
                        some_outsider(rng, machine, (uint64_t)at_us);
        }
        return 0;
}

static int make_jobs(Workload *workload,
                     const Trace *trace,
                     const WorkloadOptions *options,
                     uint64_t seed) {
        int64_t *users = NULL;
        ssize_t n_users = list_users(trace, &users);
        int r = n_users < 0 ? -ENOMEM : 0;

        workload->jobs = calloc(trace->n_tasks, sizeof(Job));
        if (!workload->jobs)
                r = -ENOMEM;
        for (size_t i = 0; i < trace->n_tasks && r == 0; i++) {
                Rng rng = { (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^
                            i * UINT64_C(0xd1342543de82ef95) };
                Job *job = &workload->jobs[workload->n_jobs];

                r = make_job(job, &trace->tasks[i], options, &rng);
                job->number = workload->n_jobs++;
                if (n_users > 0)
                        job->user = find_user(users, (size_t)n_users, trace->tasks[i].user);
        }
        workload->n_users = n_users > 0 ? (unsigned)n_users : MAX(options->n_users, 1U);
        if (n_users > 0)
                workload->uids = TAKE_PTR(users);
        free(users);
        return r;
}

int workload_make(Workload *ret,
                  const Trace *trace,
                  const WorkloadOptions *options,
                  uint64_t seed) {
        Rng rng = { seed * 31 + 7 };
        Workload workload = {};
        int r;

        r = make_jobs(&workload, trace, options, seed);
        if (r == 0) {
                set_arrivals(&workload, options, &rng);
                if (options->outside_pct > 0)
                        r = add_outsiders(&workload, options, &rng);
        }
        if (r < 0) {
                workload_done(&workload);
                return r;
        }
        *ret = workload;
        return 0;
}

void workload_done(Workload *workload) {
        for (size_t i = 0; i < workload->n_jobs; i++)
                needs_done(&workload->jobs[i].needs);
        free(workload->jobs);
        free(workload->outsiders);
        free(workload->uids);
        *workload = (Workload){};
}
