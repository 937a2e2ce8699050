/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Channels over a socketpair: whatever pieces the bytes come in, messages and descriptors come out whole and in order
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "wire/frame.h"

#include "check.h"

enum {
        QUEUE_BYTES = 64 * 1024,
};

/* A channel and the other end, bare. */
typedef struct Pair {
        Channel *channel;
        int peer_fd;
} Pair;

static Pair new_pair(void) {
        Pair pair;
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(channel_new(&pair.channel, fds[0], QUEUE_BYTES), 0);
        assert_int_equal(channel_fd(pair.channel), fds[0]);
        pair.peer_fd = fds[1];
        return pair;
}

static void free_pair(Pair *pair) {
        assert_null(channel_free(pair->channel));
        pair->peer_fd = fd_close(pair->peer_fd);
}

static void give(const Pair *pair, const char *bytes, size_t n) {
        assert_int_equal(send(pair->peer_fd, bytes, n, MSG_NOSIGNAL), n);
}

/* Bytes with descriptors. */
static void give_fds(const Pair *pair, const char *bytes, size_t n, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(16 * sizeof(int))];
        } control = {};
        struct iovec part = { .iov_len = n };
        struct msghdr message = { .msg_iov = &part,
                                  .msg_iovlen = 1,
                                  .msg_control = &control,
                                  .msg_controllen = CMSG_SPACE(n_fds * sizeof(int)) };

        memcpy(&part.iov_base, &bytes, sizeof(bytes));
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(&control.align), fds, n_fds * sizeof(int));
        assert_int_equal(sendmsg(pair->peer_fd, &message, MSG_NOSIGNAL), n);
}

static void assert_next(Channel *channel, const char *want) {
        const char *bytes = NULL;
        size_t n = 0;
        int r;

        r = channel_receive(channel, &bytes, &n);
        if (r ==
            FRAME_E_AGAIN) /* one read at most: what comes with a descriptor is a read of its own */
                r = channel_receive(channel, &bytes, &n);
        assert_int_equal(r, 0);
        assert_int_equal(n, strlen(want));
        assert_string_equal(bytes, want);
}

static void assert_outcome(Channel *channel, int want) {
        const char *bytes;
        size_t n;

        assert_int_equal(channel_receive(channel, &bytes, &n), want);
}

static void assert_same_file(int a, int b) {
        struct stat x, y;

        assert_int_equal(fstat(a, &x), 0);
        assert_int_equal(fstat(b, &y), 0);
        assert_true(x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static size_t n_open_fds(void) {
        DIR *dir = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        (void)closedir(dir);
        return n;
}

/* Takes what is there; @n_seen messages of @want were seen before. Return: how many now. */
static size_t take_messages(const Pair *pair, const char *const *want, size_t n_seen) {
        const char *bytes = NULL;
        size_t n = 0;

        while (want[n_seen] && channel_receive(pair->channel, &bytes, &n) == 0) {
                assert_int_equal(n, strlen(want[n_seen]));
                assert_string_equal(bytes, want[n_seen++]);
        }
        return n_seen;
}

/* In three pieces. */
static void pass_in_pieces(const char *stream, size_t n, size_t i, size_t j) {
        static const char *const want[] = { "{\"a\":1}", "{}", "", "last one", NULL };
        Pair pair = new_pair();
        size_t n_seen;

        give(&pair, stream, i);
        n_seen = take_messages(&pair, want, 0);
        give(&pair, stream + i, j - i);
        n_seen = take_messages(&pair, want, n_seen);
        give(&pair, stream + j, n - j);
        assert_int_equal(take_messages(&pair, want, n_seen), ELEMENTSOF(want) - 1);
        free_pair(&pair);
}

static void test_messages_come_whole_whatever_the_pieces(_unused_ void **state) {
        static const char stream[] = "{\"a\":1}\0{}\0\0last one";
        const size_t n = sizeof(stream); /* the ending NUL is the last message's */

        for (size_t i = 0; i <= n; i++)
                for (size_t j = i; j <= n; j++)
                        pass_in_pieces(stream, n, i, j);
}

static void test_nothing_yet_is_no_message(_unused_ void **state) {
        Pair pair = new_pair();

        assert_outcome(pair.channel, FRAME_E_AGAIN);
        give(&pair, "half", 4);
        assert_outcome(pair.channel, FRAME_E_AGAIN);
        assert_false(channel_has_message(pair.channel));
        give(&pair, "\0", 1);
        assert_next(pair.channel, "half");
        assert_outcome(pair.channel, FRAME_E_AGAIN);
        free_pair(&pair);
}

/* poll() would wait for ever for a message that was read already. */
static void test_message_that_waits_is_known(_unused_ void **state) {
        Pair pair = new_pair();

        give(&pair, "a\0b\0c", 5);
        assert_next(pair.channel, "a");
        assert_true(channel_has_message(pair.channel));
        assert_next(pair.channel, "b");
        assert_false(channel_has_message(pair.channel));
        free_pair(&pair);
}

static void test_what_was_said_before_the_end_is_given_out(_unused_ void **state) {
        Pair pair = new_pair();

        give(&pair, "a\0b\0c", 5);
        pair.peer_fd = fd_close(pair.peer_fd);
        assert_next(pair.channel, "a");
        assert_next(pair.channel, "b");
        assert_outcome(pair.channel, FRAME_E_CLOSED);
        assert_outcome(pair.channel, FRAME_E_CLOSED);
        free_pair(&pair);
}

static void test_sending_to_nobody_is_no_signal(_unused_ void **state) {
        Pair pair = new_pair();

        pair.peer_fd = fd_close(pair.peer_fd);
        assert_int_equal(channel_send(pair.channel, "a", 1, -1), FRAME_E_CLOSED);
        free_pair(&pair);
}

/* Feeds @n bytes and a NUL, reading in between; returns what the channel says at last. */
static int feed(const Pair *pair, size_t n, size_t *ret_n) {
        static char bytes[64 * 1024];
        const char *message;
        int r = FRAME_E_AGAIN;

        memset(bytes, 'x', sizeof(bytes));
        for (size_t i = 0; i < n && r == FRAME_E_AGAIN; i += MIN(sizeof(bytes), n - i)) {
                give(pair, bytes, MIN(sizeof(bytes), n - i));
                for (int k = 0; k < 5 && r == FRAME_E_AGAIN; k++)
                        r = channel_receive(pair->channel, &message, ret_n);
        }
        if (r != FRAME_E_AGAIN)
                return r;

        give(pair, "", 1);
        return channel_receive(pair->channel, &message, ret_n);
}

static void test_longest_message_passes_and_one_more_does_not(_unused_ void **state) {
        Pair pair = new_pair();
        size_t n;

        assert_int_equal(feed(&pair, FRAME_MESSAGE_MAX - 1, &n), 0);
        assert_int_equal(n, FRAME_MESSAGE_MAX - 1);
        assert_int_equal(feed(&pair, FRAME_MESSAGE_MAX, &n), FRAME_E_TOO_BIG);
        assert_outcome(pair.channel, FRAME_E_TOO_BIG);
        assert_false(channel_has_message(pair.channel));
        free_pair(&pair);
}

static void test_many_messages_pass_through_many_reads(_unused_ void **state) {
        Pair pair = new_pair();
        char bytes[64];
        size_t n_sent = 0, n_seen = 0;

        while (n_seen < 20000) {
                const char *message;
                size_t n;

                for (int i = 0; i < 100 && n_sent < 20000; i++) {
                        int n_bytes = snprintf(bytes, sizeof(bytes), "message %zu", n_sent++);

                        give(&pair, bytes, (size_t)n_bytes + 1);
                }
                while (channel_receive(pair.channel, &message, &n) == 0) {
                        (void)snprintf(bytes, sizeof(bytes), "message %zu", n_seen++);
                        assert_string_equal(message, bytes);
                }
        }
        free_pair(&pair);
}

static void test_descriptor_comes_with_its_message(_unused_ void **state) {
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), taken = -1;
        Pair pair = new_pair();

        give(&pair, "before", 7);
        give_fds(&pair, "with", 5, &fd, 1);
        give(&pair, "behind", 7);
        assert_next(pair.channel, "before");
        assert_next(pair.channel, "with");
        taken = channel_take_fd(pair.channel);
        assert_same_file(taken, fd);
        assert_true(fcntl(taken, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(channel_take_fd(pair.channel), -1);
        assert_next(pair.channel, "behind");
        free_pair(&pair);
}

static void test_descriptors_that_nobody_took_are_closed(_unused_ void **state) {
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        const int fds[FRAME_FDS_MAX] = { fd, fd, fd, fd };
        size_t n_before = n_open_fds();
        Pair pair = new_pair();

        give_fds(&pair, "x", 2, fds, FRAME_FDS_MAX);
        assert_next(pair.channel, "x");
        assert_int_equal(n_open_fds(), n_before + 2 + FRAME_FDS_MAX);
        free_pair(&pair);
        assert_int_equal(n_open_fds(), n_before);
}

static void test_more_descriptors_than_allowed_end_it(_unused_ void **state) {
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        const int fds[16] = { fd, fd, fd, fd, fd, fd, fd, fd, fd, fd, fd, fd, fd, fd, fd, fd };
        static const size_t counts[] = { FRAME_FDS_MAX + 1, FRAME_FDS_MAX + 2, 16 };
        size_t n_before = n_open_fds();

        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                Pair pair = new_pair();

                give_fds(&pair, "x", 2, fds, counts[i]);
                assert_outcome(pair.channel, FRAME_E_BAD);
                assert_true(n_open_fds() <= n_before + 2 + FRAME_FDS_MAX);
                free_pair(&pair);
                assert_int_equal(n_open_fds(), n_before);
        }
}

/* So that it is not taken for that of a later message. */
static void test_descriptor_that_nobody_took_goes_with_its_message(_unused_ void **state) {
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        size_t n_before = n_open_fds();
        Pair pair = new_pair();

        for (int i = 0; i < 3 * FRAME_FDS_MAX; i++) {
                give_fds(&pair, "x", 2, &fd, 1);
                assert_next(pair.channel, "x");
                assert_int_equal(n_open_fds(), n_before + 3);
        }
        give(&pair, "y", 2);
        assert_next(pair.channel, "y");
        assert_int_equal(channel_take_fd(pair.channel), -1);
        assert_int_equal(n_open_fds(), n_before + 2);
        free_pair(&pair);
}

static void test_what_is_sent_arrives(_unused_ void **state) {
        Pair pair = new_pair();
        char bytes[16] = "";

        assert_int_equal(channel_send(pair.channel, "hello", 5, -1), 0);
        assert_int_equal(channel_send(pair.channel, "", 0, -1), 0);
        assert_int_equal(channel_n_unsent_bytes(pair.channel), 0);
        assert_int_equal(read(pair.peer_fd, bytes, sizeof(bytes)), 7);
        assert_memory_equal(bytes, "hello\0", 7);
        free_pair(&pair);
}

/* Two channels, one of which sends more than the socket takes, with a descriptor in some of the messages. */
static void test_queue_keeps_order_and_descriptors(_unused_ void **state) {
        _cleanup_close_ int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
                            zero_fd = open("/dev/zero", O_RDONLY);
        char *big = malloc(FRAME_MESSAGE_MAX);
        size_t n_before = n_open_fds(), n_seen = 0;
        Channel *from, *to;
        int fds[2];

        assert_non_null(big);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(channel_new(&from, fds[0], (size_t)16 * FRAME_MESSAGE_MAX), 0);
        assert_int_equal(channel_new(&to, fds[1], QUEUE_BYTES), 0);

        for (int i = 0; i < 10; i++) {
                memset(big, 'a' + i, FRAME_MESSAGE_MAX);
                assert_int_equal(channel_send(from, big,
                                              (size_t)(FRAME_MESSAGE_MAX - 1 - i * 90000),
                                              i % 3 == 0 ? null_fd :
                                              i % 3 == 1 ? zero_fd :
                                                           -1),
                                 0);
        }
        assert_true(channel_n_unsent_bytes(from) > 0);
        assert_int_equal(channel_flush(from), FRAME_E_AGAIN);

        while (n_seen < 10) {
                _cleanup_close_ int fd = -1;
                const char *message;
                size_t n;
                int r;

                assert_true(channel_flush(from) <= FRAME_E_AGAIN);
                r = channel_receive(to, &message, &n);
                if (r == FRAME_E_AGAIN)
                        continue;
                assert_int_equal(r, 0);
                assert_int_equal(n, FRAME_MESSAGE_MAX - 1 - n_seen * 90000);
                assert_true(message[0] == 'a' + (int)n_seen && message[n - 1] == 'a' + (int)n_seen);
                fd = channel_take_fd(to);
                assert_int_equal(fd >= 0, n_seen % 3 != 2);
                if (fd >= 0)
                        assert_same_file(fd, n_seen % 3 == 0 ? null_fd : zero_fd);
                n_seen++;
        }

        assert_int_equal(channel_n_unsent_bytes(from), 0);
        channel_free(from);
        channel_free(to);
        free(big);
        assert_int_equal(n_open_fds(), n_before);
}

static void test_what_is_queued_goes_out_with_the_next_that_is_sent(_unused_ void **state) {
        Pair pair = new_pair();
        char bytes[32];

        assert_int_equal(channel_queue(pair.channel, "kept", 4, -1), 0);
        assert_int_equal(recv(pair.peer_fd, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
        assert_int_equal(channel_n_unsent_bytes(pair.channel), 5);
        assert_int_equal(channel_send(pair.channel, "sent", 4, -1), 0);
        assert_int_equal(recv(pair.peer_fd, bytes, sizeof(bytes), MSG_DONTWAIT), 10);
        assert_memory_equal(bytes, "kept\0sent", 10);

        assert_int_equal(channel_queue(pair.channel, "again", 5, -1), 0);
        assert_int_equal(channel_flush(pair.channel), 0);
        assert_int_equal(recv(pair.peer_fd, bytes, sizeof(bytes), MSG_DONTWAIT), 6);
        free_pair(&pair);
}

static void test_what_buffers_take_is_known_and_may_be_dropped(_unused_ void **state) {
        _cleanup_close_ int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        size_t n_before = n_open_fds(), n;
        const char *bytes;
        Pair pair = new_pair();

        assert_int_equal(channel_in_size(pair.channel) + channel_out_size(pair.channel), 0);
        give(&pair, "half", 4);
        assert_int_equal(channel_receive(pair.channel, &bytes, &n), FRAME_E_AGAIN);
        assert_int_equal(channel_n_unread_bytes(pair.channel), 4);
        assert_true(channel_in_size(pair.channel) >= 4);

        assert_int_equal(channel_queue(pair.channel, "never", 5, null_fd), 0);
        assert_true(channel_out_size(pair.channel) >= 6);
        assert_int_equal(n_open_fds(), n_before + 3);
        channel_drop_unsent(pair.channel);
        assert_int_equal(channel_out_size(pair.channel), 0);
        assert_int_equal(channel_n_unsent_bytes(pair.channel), 0);
        assert_int_equal(n_open_fds(), n_before + 2);
        assert_int_equal(channel_flush(pair.channel), 0);

        channel_drop_unread(pair.channel);
        assert_int_equal(channel_in_size(pair.channel), 0);
        assert_int_equal(channel_n_unread_bytes(pair.channel), 0);
        free_pair(&pair);
}

static void test_queue_has_a_limit(_unused_ void **state) {
        Pair pair = new_pair();
        char bytes[1000];
        size_t n_sent = 0, n_read = 0;
        int r;

        memset(bytes, 'x', sizeof(bytes));
        while ((r = channel_send(pair.channel, bytes, sizeof(bytes), -1)) == 0)
                n_sent++;
        assert_int_equal(r, FRAME_E_FULL);
        assert_true(channel_n_unsent_bytes(pair.channel) <= QUEUE_BYTES);
        assert_true(channel_n_unsent_bytes(pair.channel) > QUEUE_BYTES - 1001);

        /* What was refused left nothing behind. */
        while (n_read < n_sent * 1001) {
                ssize_t n;

                assert_true(channel_flush(pair.channel) <= FRAME_E_AGAIN);
                n = read(pair.peer_fd, bytes, sizeof(bytes));
                assert_true(n > 0);
                n_read += (size_t)n;
        }
        assert_int_equal(n_read, n_sent * 1001);
        assert_int_equal(channel_flush(pair.channel), 0);
        assert_int_equal(recv(pair.peer_fd, bytes, 1, MSG_DONTWAIT), -1);
        free_pair(&pair);
}

static void test_descriptors_in_the_queue_have_a_limit(_unused_ void **state) {
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        size_t n_before = n_open_fds();
        Pair pair = new_pair();
        char bytes[1000];
        int r;

        memset(bytes, 'x', sizeof(bytes));
        do
                r = channel_send(pair.channel, bytes, sizeof(bytes), -1);
        while (r == 0 && channel_n_unsent_bytes(pair.channel) == 0);
        do
                r = channel_send(pair.channel, "y", 1, fd);
        while (r == 0);
        assert_int_equal(r, FRAME_E_FULL);
        free_pair(&pair);
        assert_int_equal(n_open_fds(), n_before);
}

/* There may be thousands of connections, nearly all of them idle. */
static void test_idle_channel_is_small_also_after_a_big_message(_unused_ void **state) {
        Pair pair;
        size_t n, before;

        before = mallinfo2().uordblks;
        pair = new_pair();
        assert_int_equal(feed(&pair, FRAME_MESSAGE_MAX - 1, &n), 0);
        assert_outcome(pair.channel, FRAME_E_AGAIN);
        assert_int_equal(channel_send(pair.channel, "hello", 5, -1), 0);
        if (mallinfo2().uordblks > 0) /* 0: a sanitizer's allocator */
                assert_true(mallinfo2().uordblks - before < 1024);
        free_pair(&pair);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_messages_come_whole_whatever_the_pieces),
                cmocka_unit_test(test_nothing_yet_is_no_message),
                cmocka_unit_test(test_message_that_waits_is_known),
                cmocka_unit_test(test_what_was_said_before_the_end_is_given_out),
                cmocka_unit_test(test_sending_to_nobody_is_no_signal),
                cmocka_unit_test(test_longest_message_passes_and_one_more_does_not),
                cmocka_unit_test(test_many_messages_pass_through_many_reads),
                cmocka_unit_test(test_descriptor_comes_with_its_message),
                cmocka_unit_test(test_descriptors_that_nobody_took_are_closed),
                cmocka_unit_test(test_more_descriptors_than_allowed_end_it),
                cmocka_unit_test(test_descriptor_that_nobody_took_goes_with_its_message),
                cmocka_unit_test(test_what_is_sent_arrives),
                cmocka_unit_test(test_queue_keeps_order_and_descriptors),
                cmocka_unit_test(test_what_is_queued_goes_out_with_the_next_that_is_sent),
                cmocka_unit_test(test_what_buffers_take_is_known_and_may_be_dropped),
                cmocka_unit_test(test_queue_has_a_limit),
                cmocka_unit_test(test_descriptors_in_the_queue_have_a_limit),
                cmocka_unit_test(test_idle_channel_is_small_also_after_a_big_message),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
