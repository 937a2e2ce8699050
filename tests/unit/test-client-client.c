/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * A client against a daemon that is played here. The kernel takes connections and bytes before anybody reads them, so
 * that one thread is enough: what the daemon says is there before the client asks.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/client.h"
#include "util/cleanup.h"
#include "wire/frame.h"

#include "check.h"
#include "wire-samples.h"

typedef struct Fixture {
        char folder[64];
        char path[96];
        int listen_fd;
        Client *client;
        Channel *daemon; /* its end */
} Fixture;

static int set_up(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Fixture *f = sample_zeroed(1, sizeof(*f));
        int fd;

        make_test_folder(f->folder);
        (void)snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->path);
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(f->listen_fd >= 0);
        assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(f->listen_fd, 5), 0);

        (void)setenv("TASKFLOW_SOCKET", f->path, 1);
        assert_int_equal(client_connect(&f->client, 0, NULL), 0);
        fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(channel_new(&f->daemon, fd, FRAME_MESSAGE_MAX), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        f->client = client_free(f->client);
        f->daemon = channel_free(f->daemon);
        f->listen_fd = fd_close(f->listen_fd);
        (void)unlink(f->path);
        assert_int_equal(rmdir(f->folder), 0);
        free(f);
        return 0;
}

/* The daemon says a line as it is. */
static void say(Fixture *f, const char *bytes) {
        assert_int_equal(channel_send(f->daemon, bytes, strlen(bytes), -1), 0);
}

static void say_reply(Fixture *f, const Reply *reply) {
        _cleanup_free_ char *bytes = NULL;

        assert_int_equal(reply_encode(reply, &bytes, NULL), 0);
        say(f, bytes);
}

static void say_call(Fixture *f, CallType type) {
        _cleanup_free_ char *bytes = NULL;
        Call call = sample_call(type);

        assert_int_equal(call_encode(&call, &bytes, NULL), 0);
        say(f, bytes);
        call_done(&call);
}

static void say_why(Fixture *f, uint64_t id) {
        say_reply(f, &(Reply){ .to = CALL_WHY, .why = { .id = id, .state = TASK_STATE_PENDING } });
}

/* What the daemon hears. */
static Call hear(Fixture *f) {
        const char *bytes;
        Call call;
        size_t n;

        assert_int_equal(channel_receive(f->daemon, &bytes, &n), 0);
        assert_int_equal(call_decode(bytes, n, &call, NULL), 0);
        return call;
}

static void test_connection_says_where_it_goes(void **state) {
        Fixture *f = *state;

        assert_int_equal(client_kind(f->client), DAEMON_KIND_NAMED);
        assert_string_equal(client_path(f->client), f->path);
        assert_true(client_fd(f->client) >= 0);
        assert_int_equal(client_poll_events(f->client), POLLIN);
        assert_true(fcntl(client_fd(f->client), F_GETFD) & FD_CLOEXEC);
}

static void test_call_is_answered(void **state) {
        const Call call = { .type = CALL_WHY, .show.id = 12 };
        Fixture *f = *state;
        Reply reply;
        Call heard;

        say_why(f, 12);
        assert_int_equal(client_call(f->client, &call, &reply, NULL), 0);
        assert_int_equal(reply.why.id, 12);
        assert_int_equal(client_n_outstanding(f->client), 0);
        reply_done(&reply);

        heard = hear(f);
        assert_true(heard.type == CALL_WHY && heard.show.id == 12 && !heard.oneway);
}

static void test_error_of_the_daemon_is_a_reply(void **state) {
        const Call call = { .type = CALL_WHY, .show.id = 12 };
        Fixture *f = *state;
        Reply reply;

        say_reply(f,
                  &(Reply){ .to = CALL_WHY, .error = ERROR_NO_SUCH_TASK, .message = "no task 12" });
        assert_int_equal(client_call(f->client, &call, &reply, NULL), 0);
        assert_int_equal(reply.error, ERROR_NO_SUCH_TASK);
        assert_string_equal(reply.message, "no task 12");
        reply_done(&reply);
}

static void test_list_comes_in_several_replies(void **state) {
        const Call call = { .type = CALL_LIST, .more = true };
        Fixture *f = *state;
        Reply reply;

        say(f, "{\"parameters\":{},\"continues\":true}");
        say(f, "{\"parameters\":{},\"continues\":true}");
        say(f, "{\"parameters\":{}}");
        say_why(f, 1);
        assert_int_equal(client_call(f->client, &call, &reply, NULL), 0);
        assert_true(reply.continues);
        assert_int_equal(client_n_outstanding(f->client), 1);
        assert_int_equal(client_read_reply(f->client, &reply, NULL), 0);
        assert_true(reply.continues);
        assert_int_equal(client_read_reply(f->client, &reply, NULL), 0);
        assert_false(reply.continues);
        assert_int_equal(client_n_outstanding(f->client), 0);

        assert_int_equal(client_call(f->client, &(Call){ .type = CALL_WHY, .show.id = 1 }, &reply,
                                     NULL),
                         0);
        assert_int_equal(reply.why.id, 1);
        reply_done(&reply);
}

/* A runner that asks something must not lose the offer that came in between. */
static void test_what_comes_in_between_is_kept_in_order(void **state) {
        Fixture *f = *state;
        Incoming incoming;
        Reply reply;

        assert_int_equal(client_send(f->client, &(Call){ .type = CALL_STATUS }, -1, NULL), 0);
        assert_int_equal(client_n_outstanding(f->client), 1);
        say_call(f, CALL_OFFER);
        say(f, "{\"error\":\"io.taskflow.v1.Failed\",\"parameters\":{\"message\":\"later\"}}");
        say_call(f, CALL_LOOK);
        say_why(f, 7);
        assert_int_equal(client_call(f->client, &(Call){ .type = CALL_WHY, .show.id = 7 }, &reply,
                                     NULL),
                         0);
        assert_int_equal(reply.why.id, 7);
        assert_int_equal(client_n_outstanding(f->client), 0);

        assert_int_equal(client_next(f->client, &incoming, NULL), 0);
        assert_true(incoming.is_call && incoming.call.type == CALL_OFFER);
        assert_int_equal(incoming.call.offer.n_gpus, 2);
        incoming_done(&incoming);
        assert_int_equal(client_next(f->client, &incoming, NULL), 0);
        assert_true(!incoming.is_call && incoming.reply.to == CALL_STATUS);
        assert_string_equal(incoming.reply.message, "later");
        incoming_done(&incoming);
        assert_int_equal(client_next(f->client, &incoming, NULL), 0);
        assert_true(incoming.is_call && incoming.call.type == CALL_LOOK);
        incoming_done(&incoming);
        assert_int_equal(client_next(f->client, &incoming, NULL), CLIENT_E_AGAIN);
}

static void test_what_was_kept_is_freed_with_the_client(void **state) {
        Fixture *f = *state;
        Reply reply;

        say_call(f, CALL_OFFER);
        say_call(f, CALL_WITHDRAWN);
        say_why(f, 7);
        assert_int_equal(client_call(f->client, &(Call){ .type = CALL_WHY, .show.id = 7 }, &reply,
                                     NULL),
                         0);
        reply_done(&reply);
}

static void test_replies_belong_to_their_calls_in_order(void **state) {
        enum {
                N = 100
        };
        Fixture *f = *state;
        Incoming incoming;

        /* Twice, so that the ring goes round. */
        for (int round = 0; round < 2; round++) {
                for (uint64_t i = 1; i <= N; i++) {
                        const Call call = i % 2 ? (Call){ .type = CALL_WHY, .show.id = i } :
                                                  (Call){ .type = CALL_UPDATE, .update.id = i };

                        assert_int_equal(client_send(f->client, &call, -1, NULL), 0);
                        if (i % 2)
                                say_why(f, i);
                        else
                                say(f, "{\"parameters\":{}}");
                }
                assert_int_equal(client_n_outstanding(f->client), N);
                for (uint64_t i = 1; i <= N; i++) {
                        assert_int_equal(client_next(f->client, &incoming, NULL), 0);
                        assert_false(incoming.is_call);
                        assert_int_equal(incoming.reply.to, i % 2 ? CALL_WHY : CALL_UPDATE);
                        assert_int_equal(client_n_outstanding(f->client), N - i);
                        incoming_done(&incoming);
                }
        }
}

static void test_oneway_calls_wait_for_nothing(void **state) {
        Fixture *f = *state;
        Call heard;

        /* oneway by its type, although nobody said so */
        assert_int_equal(client_send(f->client, &(Call){ .type = CALL_AWAY, .away.id = 3 }, -1,
                                     NULL),
                         0);
        assert_int_equal(client_n_outstanding(f->client), 0);
        heard = hear(f);
        assert_true(heard.type == CALL_AWAY && heard.oneway);
}

static void test_descriptor_goes_with_its_call(void **state) {
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), taken = -1;
        Fixture *f = *state;
        struct stat a, b;
        Call heard;

        assert_int_equal(client_send(f->client, &(Call){ .type = CALL_AWAY, .away.id = 3 }, -1,
                                     NULL),
                         0);
        assert_int_equal(client_send(f->client, &(Call){ .type = CALL_STARTED, .started.id = 3 },
                                     fd, NULL),
                         0);
        heard = hear(f);
        assert_int_equal(heard.type, CALL_AWAY);
        assert_int_equal(channel_take_fd(f->daemon), -1);
        heard = hear(f);
        assert_int_equal(heard.type, CALL_STARTED);
        taken = channel_take_fd(f->daemon);
        assert_int_equal(fstat(fd, &a), 0);
        assert_int_equal(fstat(taken, &b), 0);
        assert_int_equal(a.st_ino, b.st_ino);
}

static void test_end_of_the_daemon_is_told(void **state) {
        Fixture *f = *state;
        Incoming incoming;
        Error error;
        Reply reply;

        f->daemon = channel_free(f->daemon);
        assert_int_equal(client_next(f->client, &incoming, &error), CLIENT_E_CLOSED);
        assert_string_equal(error.text, "the daemon has ended the connection");
        assert_int_equal(client_call(f->client, &(Call){ .type = CALL_STATUS }, &reply, &error),
                         CLIENT_E_CLOSED);
        assert_int_equal(client_send(f->client, &(Call){ .type = CALL_AWAY, .away.id = 1 }, -1,
                                     &error),
                         CLIENT_E_CLOSED);
}

/* A daemon that refuses a connection says why and closes, perhaps before we have said anything. */
static void test_parting_words_are_read(void **state) {
        Fixture *f = *state;
        Error error;
        Reply reply;

        say(f, "{\"error\":\"io.taskflow.v1.Limit\",\"parameters\":{\"message\":\"too many\"}}");
        f->daemon = channel_free(f->daemon);
        assert_int_equal(client_call(f->client, &(Call){ .type = CALL_STATUS }, &reply, &error), 0);
        assert_int_equal(reply.error, ERROR_LIMIT);
        assert_string_equal(reply.message, "too many");
        reply_done(&reply);
        assert_int_equal(client_call(f->client, &(Call){ .type = CALL_STATUS }, &reply, &error),
                         CLIENT_E_CLOSED);
}

static void test_nonsense_is_refused_with_its_sentence(void **state) {
        static const struct {
                const char *bytes;
                const char *sentence;
        } cases[] = {
                { "hello", "bad JSON: '[' or '{' expected near 'hello'" },
                { "{\"parameters\":{\"id\":0}}",
                  "'id' must be a whole number from 1 to 549755813887, or \"12_3\"" },
                { "{\"method\":\"io.taskflow.v1.Offer\",\"parameters\":{},\"oneway\":true}",
                  "'id' is missing" },
        };
        Fixture *f = *state;
        char want[256];
        Error error;
        Reply reply;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Call call = { .type = CALL_WHY, .show.id = 1 };

                say(f, cases[i].bytes);
                assert_int_equal(client_call(f->client, &call, &reply, &error), CLIENT_E_BAD);
                (void)snprintf(want, sizeof(want),
                               "the daemon at '%s' does not make sense: %s; if it is not of the "
                               "version of this taskflow, restart it",
                               f->path, cases[i].sentence);
                assert_string_equal(error.text, want);
        }
}

/* A daemon that is newer says things that we need not know. */
static void test_calls_that_are_not_known_are_passed_over(void **state) {
        const Call call = { .type = CALL_WHY, .show.id = 7 };
        Fixture *f = *state;
        Error error = {};
        Reply reply;

        say(f,
            "{\"method\":\"io.taskflow.v1.Applaud\",\"parameters\":{\"how\":1},\"oneway\":true}");
        say(f, "{\"parameters\":{\"id\":7,\"state\":\"held\"}}");
        assert_int_equal(client_call(f->client, &call, &reply, &error), 0);
        assert_true(reply.why.id == 7);
        reply_done(&reply);
}

static void test_what_a_daemon_of_another_version_refuses_is_said_to_be_that(void **state) {
        static const char *const errors[] = { "io.taskflow.v1.BadRequest",
                                              "org.varlink.service.MethodNotFound" };
        const Call call = { .type = CALL_WHY, .show.id = 7 };
        Fixture *f = *state;
        char bytes[256];
        Error error = {};
        Reply reply;

        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                (void)snprintf(bytes, sizeof(bytes),
                               "{\"error\":\"%s\",\"parameters\":{\"message\":\"no\"}}", errors[i]);
                say(f, bytes);
                assert_int_equal(client_call(f->client, &call, &reply, &error), 0);
                assert_string_equal(
                        reply.message,
                        "no (the daemon and this taskflow are of different versions: 'taskflow doctor' "
                        "says which, and what to do)");
                reply_done(&reply);
        }
}

static void test_reply_to_nothing_is_refused(void **state) {
        Fixture *f = *state;
        Incoming incoming;
        Error error;

        say(f, "{\"parameters\":{}}");
        assert_int_equal(client_next(f->client, &incoming, &error), CLIENT_E_BAD);
        assert_non_null(strstr(error.text, "a reply that belongs to no call"));
}

static void test_request_that_is_too_long_is_not_sent(void **state) {
        Call call = { .type = CALL_HOLD,
                      .ids.ids = { .n = 100000, .ids = sample_zeroed(100000, sizeof(uint64_t)) } };
        Fixture *f = *state;
        Error error;
        Reply reply;

        for (size_t i = 0; i < call.ids.ids.n; i++)
                call.ids.ids.ids[i] = INT64_MAX - i;
        assert_int_equal(client_call(f->client, &call, &reply, &error), -E2BIG);
        assert_string_equal(error.text, "the request is longer than 1 MiB");
        assert_int_equal(client_n_outstanding(f->client), 0);
        call_done(&call);
}

static void test_what_the_daemon_does_not_read_waits(void **state) {
        Fixture *f = *state;
        Incoming incoming;
        size_t n = 0, n_heard = 0;

        while (client_poll_events(f->client) == POLLIN) {
                assert_int_equal(client_send(f->client,
                                             &(Call){ .type = CALL_USED, .used.id = ++n }, -1,
                                             NULL),
                                 0);
        }
        assert_int_equal(client_poll_events(f->client), POLLIN | POLLOUT);

        while (n_heard < n) {
                const char *bytes;
                size_t n_bytes;

                assert_int_equal(client_next(f->client, &incoming, NULL), CLIENT_E_AGAIN);
                while (channel_receive(f->daemon, &bytes, &n_bytes) == 0) {
                        Call call;

                        assert_int_equal(call_decode(bytes, n_bytes, &call, NULL), 0);
                        assert_int_equal(call.used.id, ++n_heard);
                }
        }
        assert_int_equal(client_poll_events(f->client), POLLIN);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_connection_says_where_it_goes, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_call_is_answered, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_error_of_the_daemon_is_a_reply, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_list_comes_in_several_replies, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_what_comes_in_between_is_kept_in_order, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_what_was_kept_is_freed_with_the_client, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_replies_belong_to_their_calls_in_order, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_oneway_calls_wait_for_nothing, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_descriptor_goes_with_its_call, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_end_of_the_daemon_is_told, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_parting_words_are_read, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_nonsense_is_refused_with_its_sentence, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_calls_that_are_not_known_are_passed_over,
                                                set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        test_what_a_daemon_of_another_version_refuses_is_said_to_be_that, set_up,
                        tear_down),
                cmocka_unit_test_setup_teardown(test_reply_to_nothing_is_refused, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_request_that_is_too_long_is_not_sent, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(test_what_the_daemon_does_not_read_waits, set_up,
                                                tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
