#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * One call and one reply of each type, with everything in it that it can have, and no two values the same
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/task.h"
#include "util/macro.h"
#include "wire/message.h"

#define SAMPLE_BOOT_ID  "0f0e0d0c-1111-2222-3333-444455556666"
#define SAMPLE_DATABASE "00112233445566778899aabbccddeeff"

static inline void *sample_zeroed(size_t n, size_t size) {
        void *p = calloc(n, size);

        assert(p);
        return p;
}

static inline char *sample_text(const char *s) {
        char *copy = strdup(s);

        assert(copy);
        return copy;
}

static inline GpuGrant *sample_grants(void) {
        GpuGrant *grants = sample_zeroed(2, sizeof(*grants));

        grants[0] = (GpuGrant){ .uuid = "GPU-aaaa0000-1111", .index = 3, .bytes = 10 * GIB };
        grants[1] = (GpuGrant){ .uuid = "MIG-GPU-1/7/0", .index = 1, .bytes = GPU_WHOLE };
        return grants;
}

static inline void sample_needs(Needs *needs, bool resolved) {
        needs->memory_bytes = 5 * GIB;
        needs->cpus = 7;
        assert(needs_add_gpu(needs, "any", 10 * GIB) == 0);
        assert(needs_add_gpu(needs, "MIG", GPU_WHOLE) == 0);
        assert(needs_add_tokens(needs, "matlab:2 ansys:1") == 0);
        if (resolved)
                (void)strcpy(needs->gpus[1].uuid, "MIG-GPU-1/7/0");
}

/* An array as it is submitted. */
static inline TaskArray *sample_array(void) {
        TaskArray *array = sample_zeroed(1, sizeof(*array));

        assert(index_set_parse("4-9,12,20-29", TASK_INDEX_MAX, &array->waiting, NULL) == 0);
        array->first = 4;
        array->last = 29;
        array->limit = 3;
        return array;
}

/* What a submitter says. */
static inline Task *sample_submitted(void) {
        Task *task = task_new();

        assert(task);
        for (size_t i = 0; i < sizeof(task->key); i++)
                task->key[i] = (uint8_t)(0xf0 - i * 13);
        task->name = sample_text("nightly \"run\"");
        task->command = sample_text("python train.py --lr 0.1 # h\xc3\xa9");
        task->argv = sample_zeroed(4, sizeof(char *));
        task->argv[0] = sample_text("python");
        task->argv[1] = sample_text("");
        task->argv[2] = sample_text("a\nb\t\x01\\");
        task->cwd = sample_text("/home/alice/p");
        sample_needs(&task->needs, false);
        task->priority = 42;
        task->delay_us = 61 * US_PER_SEC;
        task->delay_given = true;
        task->time_limit_us = 3600 * US_PER_SEC;
        task->pin = PIN_MODE_OFF;
        task->detached = true;
        task->requeue = true;
        task->retry_max = 6;
        task->n_after = 2;
        task->after = sample_zeroed(2, sizeof(*task->after));
        task->after[0] = (TaskAfter){ .id = 10 };
        task->after[1] = (TaskAfter){ .id = TASK_ID_MAX, .any = true };
        task->output = sample_text("/home/alice/{name}-{id}.log");
        return task;
}

/* A task with its whole life. */
static inline Task *sample_task(void) {
        Task *task = sample_submitted();

        needs_done(&task->needs);
        sample_needs(&task->needs, true);
        task->id = 4711;
        task->state = TASK_STATE_TIMEOUT;
        task->submitted_at_us = UINT64_C(1769853600123456);
        task->started_at_us = UINT64_C(1769853601123456);
        task->ended_at_us = UINT64_C(1769853602123456);
        task->queued_boot_us = 1001;
        task->started_boot_us = 1002;
        (void)strcpy(task->boot_id, SAMPLE_BOOT_ID);
        task->gpus = sample_grants();
        task->pid = 12345;
        task->pid_start_ticks = 987654;
        task->exit_status = 0;
        task->signal = 15;
        task->memory = (Usage){
                .known = true, .let_go = true, .used_bytes = 3 * GIB, .peak_bytes = 4 * GIB
        };
        task->gpu_usage = sample_zeroed(2, sizeof(*task->gpu_usage));
        task->gpu_usage[0] = (Usage){ .known = true, .used_bytes = 17, .peak_bytes = 18 };
        task->gpu_usage[1] = (Usage){ .let_go = true, .used_bytes = 19, .peak_bytes = 20 };
        task->n_strays = 1;
        task->strays = sample_zeroed(1, sizeof(*task->strays));
        task->strays[0] =
                (GpuStray){ .uuid = "GPU-cccc", .index = 5, .used_bytes = 21, .peak_bytes = 22 };
        task->reason = sample_text("time limit of 1h");
        task->attempt = 5;
        task->n_retries = 4;
        return task;
}

static inline Explain *sample_explain(void) {
        Explain *explain = sample_zeroed(1, sizeof(*explain));
        Lack *lack = &explain->lacks[0];

        explain->uid = 1003;
        explain->n_lacks = 3;
        *lack = (Lack){ .reason = WAIT_REASON_GPU_MEMORY,
                        .gpu_index = 0,
                        .gpu_uuid = "GPU-aaaa0000-1111",
                        .asked_bytes = GPU_WHOLE,
                        .free_bytes = 11,
                        .missing_bytes = 12,
                        .total_bytes = 13,
                        .used_bytes = 17,
                        .reserved_bytes = 14,
                        .kept_for = { .task_id = 18, .uid = 19, .promised_bytes = 20 },
                        .outside_bytes = 15,
                        .until_boot_us = 16,
                        .n_holders = 2,
                        .n_more_holders = 3,
                        .n_outsiders = 2,
                        .outsiders = { { 4712, 55, 0, 25 },
                                       { 4713, 0, OUTSIDER_UID_UNKNOWN, OUTSIDER_BYTES_UNKNOWN } },
                        .n_more_outsiders = 5 };
        lack->holders[0] =
                (Holder){ .task_id = 1, .uid = 1000, .used_bytes = 21, .promised_bytes = 22 };
        lack->holders[1] = (Holder){
                .task_id = task_ref(2, 7), .uid = 0, .used_bytes = 23, .promised_bytes = 24
        };
        explain->lacks[1] = (Lack){ .reason = WAIT_REASON_CPUS, .gpu_index = -1, .asked_bytes = 8 };
        explain->lacks[2] = (Lack){ .reason = WAIT_REASON_TOKENS,
                                    .gpu_index = -1,
                                    .token = "matlab",
                                    .asked_bytes = 2,
                                    .free_bytes = 1,
                                    .missing_bytes = 1,
                                    .total_bytes = 3 };
        explain->any_gpu = true;
        explain->drain = (Drain){ .on = true, .by_uid = 1001, .at_us = 31, .reason = "a new disk" };
        explain->keep = (ExplainKeep){ .kept = true,
                                       .hopeless = true,
                                       .patient_boot_us = 41,
                                       .since_boot_us = 42,
                                       .until_boot_us = 43 };
        explain->start = (ExplainStart){ .early_boot_us = 51,
                                         .about_boot_us = 52,
                                         .late_boot_us = 53,
                                         .latest_alone = true,
                                         .n_rests = 1,
                                         .rests = { { 9, 1004, 8, true } },
                                         .n_more_rests = 2 };
        explain->place = 5;
        explain->grants[0] =
                (GpuGrant){ .uuid = "GPU-aaaa0000-1111", .index = 3, .bytes = 10 * GIB };
        return explain;
}

static inline IdList sample_ids(void) {
        IdList list = { .n = 3, .ids = sample_zeroed(3, sizeof(uint64_t)) };

        list.ids[0] = 1;
        list.ids[1] = task_ref(TASK_ID_MAX, TASK_INDEX_MAX);
        list.ids[2] = 12;
        return list;
}

static inline void sample_call_of_runner(CallType type, Call *call) {
        switch (type) {
        case CALL_SUBMIT:
        case CALL_DRY_RUN:
        case CALL_LEARNED:
                call->submit.task = sample_submitted();
                call->submit.task->array = sample_array();
                call->submit.immediate = true;
                call->submit.room_bytes = 6 * GIB;
                return;
        case CALL_ATTACH:
                (void)strcpy(call->attach.database, SAMPLE_DATABASE);
                call->attach.task = sample_task();
                call->attach.started = true;
                call->attach.room_bytes = 6 * GIB;
                return;
        case CALL_ACCEPT:
        case CALL_DECLINE:
                call->accept.id = 12;
                call->accept.offer = 3;
                return;
        case CALL_STARTED:
                call->started.id = 12;
                return;
        case CALL_USED:
                call->used.id = 12;
                call->used.memory_bytes = 345;
                return;
        case CALL_ENDED:
                call->ended.id = 12;
                call->ended.state = TASK_STATE_FAILED;
                call->ended.exit_status = 255;
                call->ended.signal = 64;
                call->ended.ended_at_us = 1234567;
                call->ended.reason = sample_text("could not be started: no such file");
                return;
        case CALL_AWAY:
                call->away.id = 12;
                call->away.away = true;
                return;
        default:
                return;
        }
}

static inline void sample_call_of_command(CallType type, Call *call) {
        switch (type) {
        case CALL_WITHDRAW:
        case CALL_WITHDRAWN:
                call->withdraw.id = 12;
                call->withdraw.reason = sample_text("not started within 10s");
                return;
        case CALL_LIST:
                call->more = true;
                call->list.ended = true;
                call->list.has_uid = true;
                call->list.uid = 1000;
                call->list.explain = true;
                return;
        case CALL_SHOW:
        case CALL_WHY:
                call->show.id = 12;
                return;
        case CALL_CANCEL:
                call->ids.ids = sample_ids();
                call->ids.signal = 9;
                return;
        case CALL_HOLD:
        case CALL_RELEASE:
                call->ids.ids = sample_ids();
                return;
        case CALL_DRAIN:
                (void)strcpy(call->drain.reason, "new kernel");
                return;
        case CALL_UPDATE:
                call->update.id = 12;
                call->update.set_needs_memory = call->update.set_needs_gpus = true;
                call->update.set_needs_cpus = call->update.set_priority = true;
                call->update.set_needs_tokens = true;
                call->update.set_time_limit = call->update.set_name = true;
                sample_needs(&call->update.needs, false);
                call->update.priority = 200;
                call->update.time_limit_us = 77;
                call->update.name = sample_text("other");
                return;
        case CALL_WAIT:
                call->wait.ids = sample_ids();
                call->wait.any = true;
                return;
        default:
                return;
        }
}

static inline void sample_call_of_daemon(CallType type, Call *call) {
        switch (type) {
        case CALL_OFFER:
                call->offer.id = task_ref(12, 3);
                call->offer.offer = 9;
                call->offer.n_gpus = 2;
                call->offer.gpus = sample_grants();
                call->offer.pin = true;
                call->offer.time_limit_us = 3600 * US_PER_SEC;
                call->offer.attempt = 2;
                call->offer.name = sample_text("nightly");
                call->offer.granted = true;
                call->offer.behind = task_ref(12, 2);
                return;
        case CALL_END:
                call->end.id = 12;
                call->end.signal = 2;
                return;
        case CALL_LOOK:
                call->look.interval_us = 1000000;
                return;
        default:
                return;
        }
}

static inline void sample_call_of_agent(CallType type, Call *call) {
        switch (type) {
        case CALL_SUBMIT_MANY:
        case CALL_QUEUE:
                call->submit_many.n = 2;
                call->submit_many.items = sample_zeroed(2, sizeof(*call->submit_many.items));
                for (size_t i = 0; i < 2; i++)
                        call->submit_many.items[i].task = sample_submitted();
                call->submit_many.items[1].task->array = sample_array();
                if (type == CALL_QUEUE) {
                        call->submit_many.items[0].immediate = true;
                        call->submit_many.items[1].wait_us = 10 * US_PER_SEC;
                }
                return;
        case CALL_AGENT:
                call->more = true;
                return;
        case CALL_RESUME:
                call->resume.id = task_ref(12, 0);
                call->resume.attempt = 3;
                call->resume.running = true;
                return;
        default:
                return;
        }
}

static inline Call sample_call(CallType type) {
        Call call = { .type = type, .oneway = call_type_is_oneway(type) };

        sample_call_of_runner(type, &call);
        sample_call_of_command(type, &call);
        sample_call_of_daemon(type, &call);
        sample_call_of_agent(type, &call);
        return call;
}

static inline TaskView *sample_views(size_t n) {
        TaskView *views = sample_zeroed(n, sizeof(*views));

        for (size_t i = 0; i < n; i++) {
                views[i].task = sample_task();
                memset(views[i].task->key, 0, sizeof(views[i].task->key));
                views[i].task->array = sample_array();
                views[i].task->array->n_active = 1;
                views[i].task->array->n_apart = 2;
                views[i].task->array->n_done = 3;
                views[i].task->array->n_failed = 4;
                views[i].task->array->n_cancelled = 5;
                views[i].task->array->n_timeout = 6;
                views[i].task->array->n_lost = 7;
                views[i].task->uid = (uid_t)(1000 + i);
                views[i].has_explain = true;
                views[i].explain = sample_explain();
                views[i].settle_until_boot_us = 99;
                views[i].share = CORE_WHOLE / 2;
        }
        return views;
}

static inline void sample_users(MachineStatus *status) {
        status->n_users = 2;
        status->users = sample_zeroed(2, sizeof(*status->users));
        status->users[0] = (UserView){ .uid = 1003,
                                       .had = CORE_WHOLE / 2,
                                       .portion = CORE_WHOLE / 4,
                                       .share = CORE_WHOLE / 2 * 3,
                                       .weight_permille = 500,
                                       .n_waiting = 2,
                                       .n_running = 1 };
        status->users[1] = (UserView){ .uid = 0, .weight_permille = 1000 };
        status->n_more_users = 3;
}

static inline void sample_health(MachineStatus *status) {
        status->health = sample_zeroed(1, sizeof(*status->health));
        *status->health = (Health){ .started_at_us = 1769853600000000,
                                    .settings_path = "/etc/taskflow/taskflow.conf",
                                    .settings_at_us = 1769853700000000,
                                    .settings_text = "line 3: no",
                                    .state_total_bytes = 100 * GIB,
                                    .state_free_bytes = 7 * GIB,
                                    .state_text = "No space left on device",
                                    .n_damaged = 2,
                                    .memory_limited = true,
                                    .n_connections = 12,
                                    .n_submitted = 30,
                                    .n_started = 25,
                                    .n_ended = { [TASK_STATE_DONE] = 20,
                                                 [TASK_STATE_FAILED] = 1,
                                                 [TASK_STATE_CANCELLED] = 2,
                                                 [TASK_STATE_TIMEOUT] = 3,
                                                 [TASK_STATE_LOST] = 4 } };
}

static inline void sample_gpus(MachineStatus *status) {
        status->gpus = sample_zeroed(2, sizeof(*status->gpus));
        status->gpus[0] = (GpuView){ .sample = { .uuid = "GPU-aaaa0000-1111",
                                                 .name = "NVIDIA A100",
                                                 .index = 0,
                                                 .state = GPU_STATE_OK,
                                                 .total_bytes = 40 * GIB,
                                                 .free_bytes = 39 * GIB,
                                                 .n_processes = 2,
                                                 .processes_known = true },
                                     .promised_bytes = GIB,
                                     .free_bytes = 38 * GIB,
                                     .allowed = true,
                                     .n_tasks = 2,
                                     .task_ids = sample_zeroed(2, sizeof(uint64_t)),
                                     .n_excess = 2,
                                     .n_more_excess = 3,
                                     .outside_bytes = 7 * GIB,
                                     .outsiders = { .n = 2,
                                                    .items = { { 4712, 55, 0, 6 * GIB },
                                                               { 4713, 0, OUTSIDER_UID_UNKNOWN,
                                                                 OUTSIDER_BYTES_UNKNOWN } },
                                                    .n_more = 4 } };
        status->gpus[0].excess[0] = (GpuExcess){
                .task_id = 12, .uid = 1000, .asked_bytes = GIB, .used_bytes = 3 * GIB
        };
        status->gpus[0].excess[1] =
                (GpuExcess){ .task_id = task_ref(13, 2), .uid = 1001, .used_bytes = GIB };
        status->gpus[0].task_ids[0] = 12;
        status->gpus[0].task_ids[1] = task_ref(13, 2);
        status->gpus[1] = (GpuView){
                .sample = { .uuid = "GPU-bbbb", .name = "x", .index = 1, .state = GPU_STATE_LOST }
        };
}

static inline void sample_status(MachineStatus *status) {
        *status = (MachineStatus){ .ram = { .known = true,
                                            .total_bytes = 64 * GIB,
                                            .available_bytes = 60 * GIB,
                                            .promised_bytes = 5 * GIB,
                                            .free_bytes = 54 * GIB,
                                            .reserved_bytes = 100 * MIB,
                                            .pressure_known = true,
                                            .pressure_permyriad = 1234,
                                            .pressure_limit_permyriad = 3000 },
                                   .n_gpus = 2,
                                   .gpus_known = true,
                                   .gpu_text = "driver is slow",
                                   .gpu_age_us = 1500000,
                                   .n_pending = 1,
                                   .n_held = 2,
                                   .n_running = 3,
                                   .n_cpus = 16,
                                   .n_cpus_promised = 4,
                                   .drain = { .on = true,
                                              .by_uid = 1002,
                                              .at_us = 1769853600123000,
                                              .reason = "new kernel" },
                                   .personal = true,
                                   .daemon_uid = 1000,
                                   .daemon_pid = 99,
                                   .version = "0.1.0",
                                   .state_dir = "/home/alice/.local/state/taskflow" };
        status->keep = sample_zeroed(1, sizeof(*status->keep));
        *status->keep = (KeepView){ .task_id = task_ref(14, 2),
                                    .uid = 1003,
                                    .age_us = 90 * US_PER_SEC,
                                    .left_us = TASK_TIME_INF,
                                    .memory_bytes = 20 * GIB,
                                    .cpus = 3,
                                    .n_gpus = 1,
                                    .n_tokens = 1 };
        status->keep->tokens = sample_zeroed(1, sizeof(Token));
        status->keep->tokens[0] = (Token){ "matlab", 3 };
        status->n_tokens = 2;
        status->tokens = sample_zeroed(2, sizeof(TokenView));
        status->tokens[0] = (TokenView){ "matlab", 3, 2 };
        status->tokens[1] = (TokenView){ "gone", 0, 1 };
        status->keep->gpus = sample_zeroed(1, sizeof(GpuGrant));
        status->keep->gpus[0] = (GpuGrant){ .uuid = "GPU-bbbb", .index = 1, .bytes = GPU_WHOLE };
        sample_users(status);
        sample_health(status);
        sample_gpus(status);
}

static inline void sample_results(Reply *reply) {
        reply->ids.n = 2;
        reply->ids.results = sample_zeroed(2, sizeof(*reply->ids.results));
        reply->ids.results[0] = (IdResult){ .id = 12,
                                            .outcome = ID_OUTCOME_NO_RUNNER,
                                            .state = TASK_STATE_RUNNING,
                                            .pid = 4712,
                                            .pid_start_ticks = 555,
                                            .boot_id = SAMPLE_BOOT_ID,
                                            .runner_pid = 4711 };
        reply->ids.results[1] = (IdResult){ .id = 13, .outcome = ID_OUTCOME_NO_SUCH_TASK };
}

static inline void sample_reply_submit(Reply *reply) {
        reply->submit.id = 12;
        (void)strcpy(reply->submit.database, SAMPLE_DATABASE);
        reply->submit.granted = true;
        reply->submit.n_gpus = 2;
        reply->submit.gpus = sample_grants();
        reply->submit.pin = true;
        reply->submit.delay_us = 60000000;
        reply->submit.look_interval_us = 1000000;
        reply->submit.n_notices = 2;
        reply->submit.notices[0] = sample_text("the delay was cut to 10m");
        reply->submit.notices[1] = sample_text("24G means the whole GPU");
}

static inline void sample_reply_agent(Reply *reply) {
        reply->continues = true;
        (void)strcpy(reply->agent.database, SAMPLE_DATABASE);
        reply->agent.look_interval_us = 1000000;
        reply->agent.log_limit_bytes = GIB;
        reply->agent.log_keep_us = 30 * UINT64_C(86400) * US_PER_SEC;
        reply->agent.n = 2;
        reply->agent.tasks = sample_zeroed(2, sizeof(*reply->agent.tasks));
        reply->agent.tasks[0] =
                (AgentTask){ .id = 12, .key = { 1, 2, 3 }, .state = TASK_STATE_HELD };
        reply->agent.tasks[1] = (AgentTask){ .id = task_ref(13, 5),
                                             .key = { 0xff, [15] = 1 },
                                             .state = TASK_STATE_RUNNING,
                                             .attempt = 2 };
}

static inline void sample_reply_of_agent(Reply *reply) {
        reply->agent_status.pid = 77;
        reply->agent_status.connected = true;
        (void)strcpy(reply->agent_status.daemon, "/run/taskflow/taskflowd.sock");
        (void)strcpy(reply->agent_status.state_dir, "/home/alice/.local/state/taskflow/agent");
        (void)strcpy(reply->agent_status.lives, "systemd");
        (void)strcpy(reply->agent_status.text, "the daemon is being restarted");
        reply->agent_status.n_waiting = 4;
        reply->agent_status.n_running = 5;
        reply->agent_status.n_undelivered = 6;
        (void)strcpy(reply->agent_status.version, "0.1.0");
}

static inline void sample_reply_dry_run(Reply *reply) {
        reply->dry_run.could_start = true;
        reply->dry_run.n_gpus = 2;
        reply->dry_run.gpus = sample_grants();
}

static inline void sample_reply_learned(Reply *reply) {
        reply->learned.n_runs = 10;
        reply->learned.memory_peak_bytes = 7 * GIB;
        reply->learned.gpu_peak_bytes = 3 * GIB;
}

static inline Reply sample_reply(CallType to) {
        Reply reply = { .to = to, .explain = sample_explain(), .boot_us = 123456789 };

        switch (to) {
        case CALL_SUBMIT:
                sample_reply_submit(&reply);
                break;
        case CALL_DRY_RUN:
                sample_reply_dry_run(&reply);
                break;
        case CALL_LEARNED:
                sample_reply_learned(&reply);
                break;
        case CALL_ATTACH:
                reply.attach.id = 12;
                reply.attach.state = TASK_STATE_RUNNING;
                reply.attach.look_interval_us = 10000000;
                break;
        case CALL_ENDED:
                reply.ended.n_notices = 1;
                reply.ended.notices[0] = sample_text("task 12 took up to 3G on GPU 1");
                reply.ended.hint = sample_text("task 12 asked 20G on GPU 0, took 7.8G at most");
                break;
        case CALL_LIST:
                reply.continues = true;
                reply.list.n = 2;
                reply.list.tasks = sample_views(2);
                break;
        case CALL_SHOW:
                reply.list.n = 1;
                reply.list.tasks = sample_views(1);
                break;
        case CALL_WHY:
                reply.why.id = 12;
                reply.why.state = TASK_STATE_HELD;
                break;
        case CALL_STATUS:
                sample_status(&reply.status);
                break;
        case CALL_CANCEL:
        case CALL_HOLD:
        case CALL_RELEASE:
                sample_results(&reply);
                break;
        case CALL_SUBMIT_MANY:
        case CALL_QUEUE:
                reply.submit_many.ids = sample_ids();
                reply.submit_many.n_notices = 1;
                reply.submit_many.notices[0] = sample_text("the delay was cut to 10m");
                break;
        case CALL_AGENT:
                sample_reply_agent(&reply);
                break;
        case CALL_RESUME:
                reply.resume.state = TASK_STATE_RUNNING;
                break;
        case CALL_AGENT_STATUS:
                sample_reply_of_agent(&reply);
                break;
        case CALL_WAIT:
                reply.wait.n = 1;
                reply.wait.tasks = sample_views(1);
                break;
        case CALL_GET_INFO:
                (void)strcpy(reply.get_info.version, "0.1.0");
                break;
        default:
                break;
        }
        return reply;
}

static inline Reply sample_error(CallType to, ErrorName name) {
        return (Reply){ .to = to,
                        .error = name,
                        .message = sample_text("no room: 5G asked, 3G free"),
                        .explain = sample_explain(),
                        .boot_us = 123456789 };
}
