/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * What one side says is what the other side reads, in every field of every message
 */

#include <string.h>

#include "wire/frame.h"
#include "wire/message.h"

#include "check.h"
#include "wire-samples.h"

/* Through the wire and back; @call is left as it was. */
static Call pass_call(const Call *call) {
        Error error = { "" };
        char *bytes = NULL;
        Call ret;
        size_t n;

        assert_int_equal(call_encode(call, &bytes, &n), 0);
        assert_int_equal(strlen(bytes), n);
        assert_true(message_is_call(bytes, n));
        if (call_decode(bytes, n, &ret, &error) != 0)
                fail_msg("%s: %s", bytes, error.text);
        free(bytes);
        return ret;
}

static Reply pass_reply(const Reply *reply) {
        Error error = { "" };
        char *bytes = NULL;
        Reply ret;
        size_t n;

        assert_int_equal(reply_encode(reply, &bytes, &n), 0);
        assert_int_equal(strlen(bytes), n);
        assert_false(message_is_call(bytes, n));
        if (reply_decode(reply->to, bytes, n, &ret, &error) != 0)
                fail_msg("%s: %s", bytes, error.text);
        free(bytes);
        return ret;
}

static void assert_needs(const Needs *have, const Needs *want) {
        assert_int_equal(have->memory_bytes, want->memory_bytes);
        assert_int_equal(have->cpus, want->cpus);
        assert_int_equal(have->n_gpus, want->n_gpus);
        for (unsigned i = 0; i < want->n_gpus; i++) {
                assert_string_equal(have->gpus[i].want, want->gpus[i].want);
                assert_string_equal(have->gpus[i].uuid, want->gpus[i].uuid);
                assert_int_equal(have->gpus[i].bytes, want->gpus[i].bytes);
        }
        assert_int_equal(have->n_tokens, want->n_tokens);
        for (unsigned i = 0; i < want->n_tokens; i++) {
                assert_string_equal(have->tokens[i].name, want->tokens[i].name);
                assert_int_equal(have->tokens[i].n, want->tokens[i].n);
        }
}

static void assert_grants(const GpuGrant *have, const GpuGrant *want, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                assert_string_equal(have[i].uuid, want[i].uuid);
                assert_int_equal(have[i].index, want[i].index);
                assert_int_equal(have[i].bytes, want[i].bytes);
        }
}

static void assert_usage(const Usage *have, const Usage *want) {
        assert_int_equal(have->known, want->known);
        assert_int_equal(have->let_go, want->let_go);
        assert_int_equal(have->used_bytes, want->used_bytes);
        assert_int_equal(have->peak_bytes, want->peak_bytes);
}

static void assert_submitted(const Task *have, const Task *want) {
        assert_memory_equal(have->key, want->key, sizeof(have->key));
        assert_string_equal(have->name, want->name);
        assert_string_equal(have->command, want->command);
        for (size_t i = 0; i < 3; i++)
                assert_string_equal(have->argv[i], want->argv[i]);
        assert_null(have->argv[3]);
        assert_string_equal(have->cwd, want->cwd);
        assert_needs(&have->needs, &want->needs);
        assert_int_equal(have->priority, want->priority);
        assert_int_equal(have->delay_us, want->delay_us);
        assert_int_equal(have->delay_given, want->delay_given);
        assert_int_equal(have->time_limit_us, want->time_limit_us);
        assert_int_equal(have->pin, want->pin);
        assert_int_equal(have->detached, want->detached);
        assert_int_equal(have->requeue, want->requeue);
        assert_int_equal(have->retry_max, want->retry_max);
        assert_int_equal(have->n_after, want->n_after);
        for (unsigned i = 0; i < want->n_after; i++) {
                assert_int_equal(have->after[i].id, want->after[i].id);
                assert_int_equal(have->after[i].any, want->after[i].any);
        }
        assert_string_equal(have->output, want->output);
}

static void assert_task(const Task *have, const Task *want) {
        assert_submitted(have, want);
        assert_int_equal(have->id, want->id);
        assert_int_equal(have->uid, want->uid);
        assert_int_equal(have->state, want->state);
        assert_int_equal(have->submitted_at_us, want->submitted_at_us);
        assert_int_equal(have->started_at_us, want->started_at_us);
        assert_int_equal(have->ended_at_us, want->ended_at_us);
        assert_int_equal(have->queued_boot_us, want->queued_boot_us);
        assert_int_equal(have->started_boot_us, want->started_boot_us);
        assert_string_equal(have->boot_id, want->boot_id);
        assert_grants(have->gpus, want->gpus, 2);
        assert_int_equal(have->pid, want->pid);
        assert_int_equal(have->pid_start_ticks, want->pid_start_ticks);
        assert_int_equal(have->exit_status, want->exit_status);
        assert_int_equal(have->signal, want->signal);
        assert_usage(&have->memory, &want->memory);
        assert_usage(&have->gpu_usage[0], &want->gpu_usage[0]);
        assert_usage(&have->gpu_usage[1], &want->gpu_usage[1]);
        assert_string_equal(have->reason, want->reason);
        assert_int_equal(have->attempt, want->attempt);
        assert_int_equal(have->n_retries, want->n_retries);
}

static void assert_outsiders(const OutsideProcess *have, const OutsideProcess *want, size_t n) {
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(have[i].pid, want[i].pid);
                assert_int_equal(have[i].start_ticks, want[i].start_ticks);
                assert_int_equal(have[i].uid, want[i].uid);
                assert_int_equal(have[i].used_bytes, want[i].used_bytes);
        }
}

static void assert_explain(const Explain *have, const Explain *want) {
        assert_int_equal(have->uid, want->uid);
        assert_int_equal(have->n_lacks, want->n_lacks);
        assert_int_equal(have->any_gpu, want->any_gpu);
        assert_int_equal(have->place, want->place);
        assert_true(have->keep.kept == want->keep.kept &&
                    have->keep.hopeless == want->keep.hopeless);
        assert_int_equal(have->keep.patient_boot_us, want->keep.patient_boot_us);
        assert_int_equal(have->keep.since_boot_us, want->keep.since_boot_us);
        assert_int_equal(have->keep.until_boot_us, want->keep.until_boot_us);
        assert_int_equal(have->start.early_boot_us, want->start.early_boot_us);
        assert_int_equal(have->start.about_boot_us, want->start.about_boot_us);
        assert_int_equal(have->start.late_boot_us, want->start.late_boot_us);
        assert_int_equal(have->start.latest_alone, want->start.latest_alone);
        assert_int_equal(have->start.n_rests, want->start.n_rests);
        assert_int_equal(have->start.n_more_rests, want->start.n_more_rests);
        assert_memory_equal(have->start.rests, want->start.rests, sizeof(want->start.rests));
        assert_grants(have->grants, want->grants, NEEDS_GPUS_MAX);
        for (size_t i = 0; i < EXPLAIN_LACKS_MAX; i++) {
                const Lack *a = &have->lacks[i], *b = &want->lacks[i];

                assert_int_equal(a->reason, b->reason);
                assert_int_equal(a->gpu_index, b->gpu_index);
                assert_string_equal(a->gpu_uuid, b->gpu_uuid);
                assert_string_equal(a->token, b->token);
                assert_int_equal(a->asked_bytes, b->asked_bytes);
                assert_int_equal(a->free_bytes, b->free_bytes);
                assert_int_equal(a->missing_bytes, b->missing_bytes);
                assert_int_equal(a->total_bytes, b->total_bytes);
                assert_int_equal(a->used_bytes, b->used_bytes);
                assert_int_equal(a->reserved_bytes, b->reserved_bytes);
                assert_int_equal(a->kept_for.task_id, b->kept_for.task_id);
                assert_int_equal(a->kept_for.uid, b->kept_for.uid);
                assert_int_equal(a->kept_for.promised_bytes, b->kept_for.promised_bytes);
                assert_int_equal(a->outside_bytes, b->outside_bytes);
                assert_int_equal(a->until_boot_us, b->until_boot_us);
                assert_int_equal(a->n_holders, b->n_holders);
                assert_int_equal(a->n_more_holders, b->n_more_holders);
                assert_int_equal(a->n_outsiders, b->n_outsiders);
                assert_int_equal(a->n_more_outsiders, b->n_more_outsiders);
                assert_outsiders(a->outsiders, b->outsiders, b->n_outsiders);
                for (size_t j = 0; j < EXPLAIN_HOLDERS_MAX; j++) {
                        assert_int_equal(a->holders[j].task_id, b->holders[j].task_id);
                        assert_int_equal(a->holders[j].uid, b->holders[j].uid);
                        assert_int_equal(a->holders[j].used_bytes, b->holders[j].used_bytes);
                        assert_int_equal(a->holders[j].promised_bytes,
                                         b->holders[j].promised_bytes);
                }
        }
}

static void assert_ids(const IdList *have, const IdList *want) {
        assert_int_equal(have->n, want->n);
        assert_memory_equal(have->ids, want->ids, want->n * sizeof(*want->ids));
}

static void test_every_call_reads_as_it_was_written(_unused_ void **state) {
        for (int type = 0; type < N_CALL_TYPES; type++) {
                Call call = sample_call((CallType)type), back = pass_call(&call);
                char *before = NULL, *after = NULL;

                assert_int_equal(back.type, type);
                assert_int_equal(back.oneway, call.oneway);
                assert_int_equal(back.more, call.more);
                assert_int_equal(call_encode(&call, &before, NULL), 0);
                assert_int_equal(call_encode(&back, &after, NULL), 0);
                assert_string_equal(after, before);
                free(before);
                free(after);
                call_done(&call);
                call_done(&back);
        }
}

static void test_every_reply_reads_as_it_was_written(_unused_ void **state) {
        for (int to = 0; to < N_CALL_TYPES; to++) {
                Reply reply = sample_reply((CallType)to), back = pass_reply(&reply);
                char *before = NULL, *after = NULL;

                assert_int_equal(back.to, to);
                assert_int_equal(back.continues, reply.continues);
                assert_int_equal(back.error, ERROR_NONE);
                assert_explain(back.explain, reply.explain);
                assert_int_equal(back.boot_us, reply.boot_us);
                assert_int_equal(reply_encode(&reply, &before, NULL), 0);
                assert_int_equal(reply_encode(&back, &after, NULL), 0);
                assert_string_equal(after, before);
                free(before);
                free(after);
                reply_done(&reply);
                reply_done(&back);
        }
}

static void test_every_error_reads_as_it_was_written(_unused_ void **state) {
        for (int name = ERROR_NONE + 1; name < N_ERROR_NAMES; name++) {
                Reply reply = sample_error(CALL_STATUS, (ErrorName)name), back = pass_reply(&reply);

                assert_int_equal(back.error, name);
                assert_string_equal(back.message, reply.message);
                assert_explain(back.explain, reply.explain);
                assert_int_equal(back.boot_us, reply.boot_us);
                reply_done(&reply);
                reply_done(&back);
        }
}

static void test_submit_keeps_each_field(_unused_ void **state) {
        Call call = sample_call(CALL_SUBMIT), back = pass_call(&call);

        assert_submitted(back.submit.task, call.submit.task);
        assert_true(back.submit.immediate);
        assert_int_equal(back.submit.room_bytes, 6 * GIB);
        assert_int_equal(back.submit.task->id, 0);
        assert_int_equal(back.submit.task->exit_status, -1);
        call_done(&call);
        call_done(&back);
}

static void test_attach_keeps_each_field_but_the_uid(_unused_ void **state) {
        Call call = sample_call(CALL_ATTACH), back;

        call.attach.task->uid = 1000;
        back = pass_call(&call);
        assert_int_equal(back.attach.task->uid, 0);
        call.attach.task->uid = 0;
        assert_task(back.attach.task, call.attach.task);
        assert_string_equal(back.attach.database, SAMPLE_DATABASE);
        assert_true(back.attach.started);
        assert_int_equal(back.attach.room_bytes, 6 * GIB);
        call_done(&call);
        call_done(&back);
}

static void test_small_calls_keep_each_field(_unused_ void **state) {
        Call call = sample_call(CALL_ENDED), back = pass_call(&call);

        assert_int_equal(back.ended.id, 12);
        assert_int_equal(back.ended.state, TASK_STATE_FAILED);
        assert_int_equal(back.ended.exit_status, 255);
        assert_int_equal(back.ended.signal, 64);
        assert_int_equal(back.ended.ended_at_us, 1234567);
        assert_string_equal(back.ended.reason, call.ended.reason);
        call_done(&call);
        call_done(&back);

        call = sample_call(CALL_DECLINE);
        back = pass_call(&call);
        assert_true(back.accept.id == 12 && back.accept.offer == 3);

        call = sample_call(CALL_USED);
        back = pass_call(&call);
        assert_true(back.used.id == 12 && back.used.memory_bytes == 345);

        call = sample_call(CALL_AWAY);
        back = pass_call(&call);
        assert_true(back.away.id == 12 && back.away.away);

        call = sample_call(CALL_LIST);
        back = pass_call(&call);
        assert_true(back.more && back.list.ended && back.list.explain);
        assert_true(back.list.has_uid && back.list.uid == 1000);

        call = sample_call(CALL_WITHDRAWN);
        back = pass_call(&call);
        assert_true(back.withdraw.id == 12);
        assert_string_equal(back.withdraw.reason, call.withdraw.reason);
        call_done(&call);
        call_done(&back);
}

static void test_calls_with_ids_keep_each_field(_unused_ void **state) {
        Call call = sample_call(CALL_CANCEL), back = pass_call(&call);

        assert_ids(&back.ids.ids, &call.ids.ids);
        assert_int_equal(back.ids.signal, 9);
        call_done(&call);
        call_done(&back);

        call = sample_call(CALL_WAIT);
        back = pass_call(&call);
        assert_ids(&back.wait.ids, &call.wait.ids);
        assert_true(back.wait.any);
        call_done(&call);
        call_done(&back);
}

static void test_offers_keep_each_field(_unused_ void **state) {
        Call call = sample_call(CALL_OFFER), back = pass_call(&call);

        assert_true(back.offer.id == task_ref(12, 3) && back.offer.offer == 9 &&
                    back.offer.n_gpus == 2);
        assert_grants(back.offer.gpus, call.offer.gpus, 2);
        assert_true(back.offer.pin && back.offer.time_limit_us == 3600 * US_PER_SEC);
        assert_int_equal(back.offer.attempt, 2);
        assert_string_equal(back.offer.name, "nightly");
        assert_true(back.offer.granted && back.offer.behind == task_ref(12, 2));
        call_done(&call);
        call_done(&back);

        call = sample_call(CALL_END);
        back = pass_call(&call);
        assert_true(back.end.id == 12 && back.end.signal == 2);

        call = sample_call(CALL_LOOK);
        back = pass_call(&call);
        assert_int_equal(back.look.interval_us, 1000000);
}

static void test_update_keeps_what_is_set(_unused_ void **state) {
        Call call = sample_call(CALL_UPDATE), back = pass_call(&call);

        assert_true(back.update.set_needs_memory && back.update.set_needs_gpus &&
                    back.update.set_needs_cpus && back.update.set_needs_tokens);
        assert_true(back.update.set_priority && back.update.set_time_limit && back.update.set_name);
        assert_needs(&back.update.needs, &call.update.needs);
        assert_int_equal(back.update.priority, 200);
        assert_int_equal(back.update.time_limit_us, 77);
        assert_string_equal(back.update.name, "other");
        call_done(&call);
        call_done(&back);
}

/* To ask for no GPU, no limit and no name is something else than not to ask. */
static void test_update_tells_none_from_not_said(_unused_ void **state) {
        Call call = { .type = CALL_UPDATE,
                      .update = { .id = 1,
                                  .set_needs_memory = true,
                                  .set_needs_gpus = true,
                                  .set_needs_tokens = true,
                                  .set_time_limit = true,
                                  .time_limit_us = TASK_TIME_INF,
                                  .set_name = true } };
        Call back = pass_call(&call);

        assert_true(back.update.set_needs_memory && back.update.needs.memory_bytes == 0);
        assert_true(back.update.set_needs_gpus && back.update.needs.n_gpus == 0);
        assert_true(back.update.set_needs_tokens && back.update.needs.n_tokens == 0);
        assert_true(back.update.set_time_limit && back.update.time_limit_us == TASK_TIME_INF);
        assert_true(back.update.set_name && back.update.name == NULL);
        assert_false(back.update.set_needs_cpus || back.update.set_priority);
        call_done(&back);

        call = (Call){ .type = CALL_UPDATE, .update = { .id = 1 } };
        back = pass_call(&call);
        assert_false(back.update.set_needs_memory || back.update.set_needs_gpus ||
                     back.update.set_time_limit || back.update.set_name);
        call_done(&back);
}

/* What nobody said reads as what "nothing" means there. */
static void test_left_out_is_null_false_or_empty(_unused_ void **state) {
        static const char submit[] =
                "{\"method\":\"io.taskflow.v1.Submit\",\"parameters\":{\"task\":"
                "{\"key\":\"00000000000000000000000000000001\",\"command\":\"c\",\"cwd\":\"/\","
                "\"needs\":{\"gpus\":[{\"want\":\"0\"}]}}}}";
        Error error;
        Call call;
        Task *task;

        assert_int_equal(call_decode(submit, strlen(submit), &call, &error), 0);
        task = call.submit.task;
        assert_int_equal(call.submit.room_bytes, UINT64_MAX);
        assert_false(call.submit.immediate || call.oneway || call.more);
        assert_int_equal(task->key[15], 1);
        assert_null(task->name);
        assert_null(task->argv);
        assert_int_equal(task->priority, TASK_PRIORITY_DEFAULT);
        assert_int_equal(task->delay_us, TASK_TIME_INF);
        assert_int_equal(task->time_limit_us, TASK_TIME_INF);
        assert_int_equal(task->pin, PIN_MODE_DEFAULT);
        assert_int_equal(task->needs.memory_bytes, 0);
        assert_int_equal(task->needs.n_gpus, 1);
        assert_int_equal(task->needs.gpus[0].bytes, GPU_WHOLE);
        call_done(&call);
        assert_null(call.submit.task);
}

static void test_replies_keep_each_field(_unused_ void **state) {
        Reply reply = sample_reply(CALL_SUBMIT), back = pass_reply(&reply);

        assert_int_equal(back.submit.id, 12);
        assert_string_equal(back.submit.database, SAMPLE_DATABASE);
        assert_true(back.submit.granted && back.submit.pin);
        assert_int_equal(back.submit.n_gpus, 2);
        assert_grants(back.submit.gpus, reply.submit.gpus, 2);
        assert_int_equal(back.submit.delay_us, 60000000);
        assert_int_equal(back.submit.look_interval_us, 1000000);
        assert_int_equal(back.submit.n_notices, 2);
        assert_string_equal(back.submit.notices[0], reply.submit.notices[0]);
        assert_string_equal(back.submit.notices[1], reply.submit.notices[1]);
        reply_done(&reply);
        reply_done(&back);

        reply = sample_reply(CALL_DRY_RUN);
        back = pass_reply(&reply);
        assert_true(back.dry_run.could_start && back.dry_run.n_gpus == 2);
        assert_grants(back.dry_run.gpus, reply.dry_run.gpus, 2);
        reply_done(&reply);
        reply_done(&back);

        reply = sample_reply(CALL_ATTACH);
        back = pass_reply(&reply);
        assert_true(back.attach.id == 12 && back.attach.state == TASK_STATE_RUNNING);
        assert_int_equal(back.attach.look_interval_us, 10000000);
        reply_done(&reply);
        reply_done(&back);

        reply = sample_reply(CALL_WHY);
        back = pass_reply(&reply);
        assert_true(back.why.id == 12 && back.why.state == TASK_STATE_HELD);
        reply_done(&reply);
        reply_done(&back);

        reply = sample_reply(CALL_LEARNED);
        back = pass_reply(&reply);
        assert_int_equal(back.learned.n_runs, 10);
        assert_int_equal(back.learned.memory_peak_bytes, 7 * GIB);
        assert_int_equal(back.learned.gpu_peak_bytes, 3 * GIB);
        reply_done(&reply);
        reply_done(&back);

        reply = sample_reply(CALL_ENDED);
        back = pass_reply(&reply);
        assert_int_equal(back.ended.n_notices, 1);
        assert_string_equal(back.ended.notices[0], reply.ended.notices[0]);
        assert_string_equal(back.ended.hint, reply.ended.hint);
        reply_done(&reply);
        reply_done(&back);

        reply = sample_reply(CALL_GET_INFO);
        back = pass_reply(&reply);
        assert_string_equal(back.get_info.version, "0.1.0");
        reply_done(&reply);
        reply_done(&back);
}

static void test_lists_keep_each_field(_unused_ void **state) {
        Reply reply = sample_reply(CALL_LIST), back = pass_reply(&reply);

        assert_true(back.continues);
        assert_int_equal(back.list.n, 2);
        for (size_t i = 0; i < 2; i++) {
                const TaskView *view = &back.list.tasks[i];

                assert_task(view->task, reply.list.tasks[i].task);
                assert_true(view->has_explain && !view->hidden);
                assert_explain(view->explain, reply.list.tasks[i].explain);
                assert_int_equal(view->settle_until_boot_us, 99);
                assert_true(view->share == CORE_WHOLE / 2);
                assert_int_equal(view->task->n_strays, 1);
                assert_string_equal(view->task->strays[0].uuid, "GPU-cccc");
                assert_int_equal(view->task->strays[0].index, 5);
                assert_int_equal(view->task->strays[0].used_bytes, 21);
                assert_int_equal(view->task->strays[0].peak_bytes, 22);
        }
        reply_done(&reply);
        reply_done(&back);
}

static void test_results_keep_each_field(_unused_ void **state) {
        Reply reply = sample_reply(CALL_CANCEL), back = pass_reply(&reply);
        const IdResult *first = &back.ids.results[0];

        assert_int_equal(back.ids.n, 2);
        assert_true(first->id == 12 && first->outcome == ID_OUTCOME_NO_RUNNER &&
                    first->state == TASK_STATE_RUNNING);
        assert_true(first->pid == 4712 && first->pid_start_ticks == 555 &&
                    first->runner_pid == 4711);
        assert_string_equal(first->boot_id, SAMPLE_BOOT_ID);
        assert_true(back.ids.results[1].id == 13 &&
                    back.ids.results[1].outcome == ID_OUTCOME_NO_SUCH_TASK);
        assert_true(back.ids.results[1].pid == 0 && back.ids.results[1].runner_pid == 0);
        reply_done(&reply);
        reply_done(&back);
}

static void test_status_keeps_each_field(_unused_ void **state) {
        Reply reply = sample_reply(CALL_STATUS), back = pass_reply(&reply);
        const MachineStatus *have = &back.status, *want = &reply.status;
        const GpuView *gpu = &have->gpus[0];

        assert_true(have->ram.known && have->ram.total_bytes == want->ram.total_bytes);
        assert_int_equal(have->ram.available_bytes, want->ram.available_bytes);
        assert_int_equal(have->ram.promised_bytes, want->ram.promised_bytes);
        assert_int_equal(have->ram.free_bytes, want->ram.free_bytes);
        assert_int_equal(have->ram.reserved_bytes, want->ram.reserved_bytes);
        assert_int_equal(have->ram.pressure_known, want->ram.pressure_known);
        assert_int_equal(have->ram.pressure_permyriad, want->ram.pressure_permyriad);
        assert_int_equal(have->ram.pressure_limit_permyriad, want->ram.pressure_limit_permyriad);
        assert_int_equal(have->n_gpus, 2);
        assert_string_equal(gpu->sample.uuid, "GPU-aaaa0000-1111");
        assert_string_equal(gpu->sample.name, "NVIDIA A100");
        assert_true(gpu->sample.index == 0 && gpu->sample.state == GPU_STATE_OK);
        assert_true(gpu->sample.total_bytes == 40 * GIB && gpu->sample.free_bytes == 39 * GIB);
        assert_true(gpu->sample.n_processes == 2 && gpu->sample.processes_known);
        assert_true(gpu->promised_bytes == GIB && gpu->free_bytes == 38 * GIB && gpu->allowed);
        assert_true(gpu->n_tasks == 2 && gpu->task_ids[0] == 12 &&
                    gpu->task_ids[1] == task_ref(13, 2));
        assert_int_equal(gpu->outside_bytes, 7 * GIB);
        assert_true(gpu->outsiders.n == 2 && gpu->outsiders.n_more == 4);
        assert_outsiders(gpu->outsiders.items, want->gpus[0].outsiders.items, 2);
        assert_true(gpu->n_excess == 2 && gpu->n_more_excess == 3);
        assert_true(gpu->excess[0].task_id == 12 && gpu->excess[0].uid == 1000 &&
                    gpu->excess[0].asked_bytes == GIB && gpu->excess[0].used_bytes == 3 * GIB);
        assert_true(gpu->excess[1].task_id == task_ref(13, 2) && gpu->excess[1].asked_bytes == 0);
        assert_true(have->gpus[1].sample.state == GPU_STATE_LOST && have->gpus[1].n_tasks == 0);
        assert_true(have->gpus_known && have->gpu_age_us == 1500000);
        assert_string_equal(have->gpu_text, "driver is slow");
        assert_true(have->n_pending == 1 && have->n_held == 2 && have->n_running == 3);
        assert_true(have->n_cpus == 16 && have->n_cpus_promised == 4);
        assert_true(have->keep && have->keep->task_id == task_ref(14, 2));
        assert_true(have->keep->uid == 1003 && have->keep->age_us == 90 * US_PER_SEC &&
                    have->keep->left_us == TASK_TIME_INF);
        assert_true(have->keep->memory_bytes == 20 * GIB && have->keep->cpus == 3 &&
                    have->keep->n_gpus == 1);
        assert_string_equal(have->keep->gpus[0].uuid, "GPU-bbbb");
        assert_true(have->keep->gpus[0].index == 1 && have->keep->gpus[0].bytes == GPU_WHOLE);
        assert_true(have->keep->n_tokens == 1 && have->keep->tokens[0].n == 3);
        assert_string_equal(have->keep->tokens[0].name, "matlab");
        assert_int_equal(have->n_tokens, 2);
        assert_string_equal(have->tokens[0].name, "matlab");
        assert_true(have->tokens[0].total == 3 && have->tokens[0].taken == 2);
        assert_string_equal(have->tokens[1].name, "gone");
        assert_true(have->tokens[1].total == 0 && have->tokens[1].taken == 1);
        assert_true(have->n_users == 2 && have->n_more_users == 3);
        for (size_t i = 0; i < 2; i++) {
                const UserView *a = &have->users[i], *b = &want->users[i];

                assert_true(a->uid == b->uid && a->had == b->had && a->portion == b->portion &&
                            a->share == b->share && a->weight_permille == b->weight_permille &&
                            a->n_waiting == b->n_waiting && a->n_running == b->n_running);
        }
        assert_true(have->personal && have->daemon_uid == 1000 && have->daemon_pid == 99);
        assert_string_equal(have->version, "0.1.0");
        assert_string_equal(have->state_dir, want->state_dir);
        reply_done(&reply);
        reply_done(&back);
}

/* decisions.md 35: what is hidden does not leave the daemon. */
static void test_hidden_task_sends_no_words(_unused_ void **state) {
        Reply reply = sample_reply(CALL_SHOW), back;
        char *bytes = NULL;

        reply.list.tasks[0].hidden = true;
        assert_int_equal(reply_encode(&reply, &bytes, NULL), 0);
        assert_null(strstr(bytes, "python"));
        assert_null(strstr(bytes, "/home"));
        assert_null(strstr(bytes, "nightly"));
        assert_null(strstr(bytes, "time limit"));
        free(bytes);

        back = pass_reply(&reply);
        assert_true(back.list.tasks[0].hidden);
        assert_string_equal(back.list.tasks[0].task->command, "");
        assert_string_equal(back.list.tasks[0].task->cwd, "");
        assert_null(back.list.tasks[0].task->name);
        assert_null(back.list.tasks[0].task->argv);
        assert_int_equal(back.list.tasks[0].task->id, 4711);
        reply_done(&reply);
        reply_done(&back);
}

static void test_key_is_never_shown(_unused_ void **state) {
        Reply reply = sample_reply(CALL_SHOW), back;

        memset(reply.list.tasks[0].task->key, 0xab, TASK_KEY_BYTES);
        back = pass_reply(&reply);
        assert_int_equal(back.list.tasks[0].task->key[0], 0);
        reply_done(&reply);
        reply_done(&back);
}

static void set_text(char **text, char *value) {
        free(*text);
        *text = value;
}

static void test_texts_are_repaired_and_cut(_unused_ void **state) {
        Call call = sample_call(CALL_SUBMIT), back;
        char *longest = sample_zeroed(1, 10001);

        memset(longest, 'x', 10000);
        set_text(&call.submit.task->command, longest);
        set_text(&call.submit.task->name, sample_text("a\xff\xfe z"));
        back = pass_call(&call);
        assert_int_equal(strlen(back.submit.task->command), TASK_TEXT_MAX);
        assert_string_equal(back.submit.task->name, "a\xef\xbf\xbd\xef\xbf\xbd z");
        call_done(&call);
        call_done(&back);
}

/* @n words of @n_each bytes. */
static void set_argv(Task *task, size_t n, size_t n_each, char c) {
        for (size_t i = 0; task->argv && task->argv[i]; i++)
                free(task->argv[i]);
        free(task->argv);
        task->argv = sample_zeroed(n + 1, sizeof(char *));
        for (size_t i = 0; i < n; i++) {
                task->argv[i] = sample_zeroed(1, n_each + 1);
                memset(task->argv[i], c, n_each);
        }
}

static void test_argv_is_cut_as_a_whole(_unused_ void **state) {
        static const struct {
                size_t n, n_each;
                size_t n_after; /* words */
                bool cut;
                char c;
        } cases[] = {
                { 1, 4095, 1, false, 'x' },    { 1, 4096, 2, true, 'x' },
                { 4096, 0, 4096, false, 'x' }, { 5000, 0, 4093, true, 'x' },
                { 3, 2000, 4, true, 'x' },     { 2, 2047, 2, false, 'x' },
                { 2, 2048, 3, true, 'x' },     { 1, 4000, 2, true, '\xff' },
                { 1, 1000, 1, false, '\xff' }, { 1, 1000000, 2, true, 'x' },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Call call = sample_call(CALL_SUBMIT), back;
                size_t n = 0, n_bytes = 0;

                set_argv(call.submit.task, cases[i].n, cases[i].n_each, cases[i].c);
                back = pass_call(&call);
                for (; back.submit.task->argv[n]; n++)
                        n_bytes += strlen(back.submit.task->argv[n]) + 1;
                print_message("# case %zu: %zu words of %zu bytes\n", i, cases[i].n,
                              cases[i].n_each);
                assert_true(n_bytes <= TASK_TEXT_MAX);
                assert_true(!cases[i].cut || n_bytes > TASK_TEXT_MAX - 16);
                assert_int_equal(n, cases[i].n_after);
                assert_int_equal(strcmp(back.submit.task->argv[n - 1], "\xe2\x80\xa6") == 0,
                                 cases[i].cut);
                call_done(&call);
                call_done(&back);
        }
}

/* 2^63 bytes are as impossible as 2^64 - 2, and fit every JSON reader. */
static void test_numbers_beyond_63_bits_are_the_largest_there_is(_unused_ void **state) {
        Call call = sample_call(CALL_SUBMIT), back;

        call.submit.task->needs.memory_bytes = UINT64_MAX - 1;
        back = pass_call(&call);
        assert_int_equal(back.submit.task->needs.memory_bytes, INT64_MAX);
        call_done(&call);
        call_done(&back);
}

static void test_infinite_times_are_kept(_unused_ void **state) {
        Call call = sample_call(CALL_SUBMIT), back;

        call.submit.task->delay_us = call.submit.task->time_limit_us = TASK_TIME_INF;
        call.submit.room_bytes = UINT64_MAX;
        back = pass_call(&call);
        assert_int_equal(back.submit.task->delay_us, TASK_TIME_INF);
        assert_int_equal(back.submit.task->time_limit_us, TASK_TIME_INF);
        assert_int_equal(back.submit.room_bytes, UINT64_MAX);
        call_done(&call);
        call_done(&back);
}

static void test_list_that_is_too_long_is_refused(_unused_ void **state) {
        Reply reply = { .to = CALL_LIST, .list = { .n = 300, .tasks = sample_views(300) } };
        char *bytes = NULL;

        for (size_t i = 0; i < reply.list.n; i++) {
                char *longest = sample_zeroed(1, 4001);

                memset(longest, 'x', 4000);
                set_text(&reply.list.tasks[i].task->command, longest);
        }
        assert_int_equal(reply_encode(&reply, &bytes, NULL), -E2BIG);
        assert_null(bytes);
        reply_done(&reply);
}

static void test_task_that_runs_has_usage_for_each_gpu(_unused_ void **state) {
        Call call = sample_call(CALL_ATTACH), back;

        free(call.attach.task->gpu_usage);
        call.attach.task->gpu_usage = NULL;
        call.attach.task->state = TASK_STATE_RUNNING;
        back = pass_call(&call);
        assert_non_null(back.attach.task->gpu_usage);
        assert_false(back.attach.task->gpu_usage[1].known);
        call_done(&call);
        call_done(&back);
}

static void test_waiting_task_attaches_without_gpus(_unused_ void **state) {
        Call call = sample_call(CALL_ATTACH), back;

        free(call.attach.task->gpu_usage);
        free(call.attach.task->gpus);
        call.attach.task->gpus = NULL;
        call.attach.task->gpu_usage = NULL;
        call.attach.task->state = TASK_STATE_PENDING;
        call.attach.started = false;
        back = pass_call(&call);
        assert_null(back.attach.task->gpus);
        assert_null(back.attach.task->gpu_usage);
        call_done(&call);
        call_done(&back);
}

static void test_oneway_needs_not_be_said(_unused_ void **state) {
        Call call = { .type = CALL_USED, .used = { .id = 1, .memory_bytes = 2 } },
             back = pass_call(&call);

        assert_true(call_type_is_oneway(CALL_USED));
        assert_false(call_type_is_oneway(CALL_SUBMIT));
        assert_true(back.oneway);
}

static void test_calls_are_told_from_replies(_unused_ void **state) {
        static const struct {
                const char *bytes;
                bool is_call;
        } cases[] = {
                { "{\"method\":\"x\"}", true },
                { "{ \"a\" : [ {} ] , \"method\" : \"x\" }", true },
                { "{\"parameters\":{\"method\":\"x\"}}", false },
                { "{\"parameters\":[\"method\"]}", false },
                { "{\"error\":\"method\"}", false },
                { "{\"error\":\"x\",\"parameters\":{\"message\":\"\\\"method\\\"\"}}", false },
                { "[\"method\"]", false },
                { "\"method\"", false },
                { "", false },
                { "{\"", false },
                { "{\"method\\", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                print_message("# %s\n", cases[i].bytes);
                assert_int_equal(message_is_call(cases[i].bytes, strlen(cases[i].bytes)),
                                 cases[i].is_call);
        }
}

static void test_words_and_values_match(_unused_ void **state) {
        assert_string_table(call_type, CallType, N_CALL_TYPES);
        assert_string_table(error_name, ErrorName, N_ERROR_NAMES);
        assert_string_table(id_outcome, IdOutcome, N_ID_OUTCOMES);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_call_reads_as_it_was_written),
                cmocka_unit_test(test_every_reply_reads_as_it_was_written),
                cmocka_unit_test(test_every_error_reads_as_it_was_written),
                cmocka_unit_test(test_submit_keeps_each_field),
                cmocka_unit_test(test_attach_keeps_each_field_but_the_uid),
                cmocka_unit_test(test_small_calls_keep_each_field),
                cmocka_unit_test(test_calls_with_ids_keep_each_field),
                cmocka_unit_test(test_offers_keep_each_field),
                cmocka_unit_test(test_update_keeps_what_is_set),
                cmocka_unit_test(test_update_tells_none_from_not_said),
                cmocka_unit_test(test_left_out_is_null_false_or_empty),
                cmocka_unit_test(test_replies_keep_each_field),
                cmocka_unit_test(test_lists_keep_each_field),
                cmocka_unit_test(test_results_keep_each_field),
                cmocka_unit_test(test_status_keeps_each_field),
                cmocka_unit_test(test_hidden_task_sends_no_words),
                cmocka_unit_test(test_key_is_never_shown),
                cmocka_unit_test(test_texts_are_repaired_and_cut),
                cmocka_unit_test(test_argv_is_cut_as_a_whole),
                cmocka_unit_test(test_numbers_beyond_63_bits_are_the_largest_there_is),
                cmocka_unit_test(test_infinite_times_are_kept),
                cmocka_unit_test(test_list_that_is_too_long_is_refused),
                cmocka_unit_test(test_task_that_runs_has_usage_for_each_gpu),
                cmocka_unit_test(test_waiting_task_attaches_without_gpus),
                cmocka_unit_test(test_oneway_needs_not_be_said),
                cmocka_unit_test(test_calls_are_told_from_replies),
                cmocka_unit_test(test_words_and_values_match),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
