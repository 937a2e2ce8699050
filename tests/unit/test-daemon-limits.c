/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Who must go when too much waits to be read. The connections are real, their users are not: each is given the account of one.
 * What they owe is the list of ids of an answer that is under way, of which nothing but the length is there.
 */

#include <sys/socket.h>
#include <unistd.h>

#include "core/core.h"
#include "daemon/limits.h"
#include "settings/settings.h"

#include "check.h"

enum {
        USER = 1000,
        PEERS_MAX = 8,
};

typedef struct Bench {
        Daemon daemon;
        Limits *limits; /* what was counted is the peers' and their users' */
        Peer *peers[PEERS_MAX];
        int far_ends[PEERS_MAX];
        size_t n_peers;
} Bench;

static int set_up(void **state) {
        Bench *bench = calloc(1, sizeof(*bench));
        Daemon *daemon;
        Error error = {};

        assert_non_null(bench);
        daemon = &bench->daemon;
        assert_int_equal(sd_event_new(&daemon->event), 0);
        assert_int_equal(settings_load(&daemon->settings, NULL, false, false, &error), 0);
        assert_int_equal(core_new(&daemon->core, &daemon->settings.policy), 0);
        assert_int_equal(peers_new(&daemon->peers, daemon), 0);
        assert_int_equal(limits_new(&bench->limits, daemon), 0);
        *state = bench;
        return 0;
}

static int tear_down(void **state) {
        Bench *bench = *state;
        Daemon *daemon = &bench->daemon;

        daemon->peers = peers_free(daemon->peers);
        assert_int_equal(daemon->accounts.n_out_bytes, 0);
        for (size_t i = 0; i < bench->n_peers; i++)
                (void)close(bench->far_ends[i]);
        (void)limits_free(bench->limits);
        accounts_done(&daemon->accounts);
        (void)core_free(daemon->core);
        settings_done(&daemon->settings);
        (void)sd_event_unref(daemon->event);
        free(bench);
        return 0;
}

/* One more connection of that user. */
static Peer *let_in(Bench *bench, uid_t uid) {
        Daemon *daemon = &bench->daemon;
        int ends[2];
        Peer *peer;

        assert_true(bench->n_peers < PEERS_MAX);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
                         0);
        bench->far_ends[bench->n_peers] = ends[1];
        /* It is served here and now, and stands in no line when it changes hands. */
        accounts_get(&daemon->accounts, geteuid())->credit_us = 1;
        assert_int_equal(peers_add(daemon->peers, ends[0]), 0);
        peer = peers_first(daemon->peers);
        assert_false(peer->waits_for_turn);
        assert_int_equal(peer->n_out_bytes, 0);
        peer->account->n_peers--;
        peer->uid = uid;
        peer->account = accounts_get(&daemon->accounts, uid);
        assert_non_null(peer->account);
        peer->account->n_peers++;
        bench->peers[bench->n_peers++] = peer;
        return peer;
}

static void owe(Bench *bench, Peer *peer, size_t n_bytes) {
        if (!peer->lister)
                peer->lister = calloc(1, sizeof(*peer->lister));
        assert_non_null(peer->lister);
        peer->lister->n_ids = (n_bytes - sizeof(*peer->lister)) / sizeof(*peer->lister->ids);
        limits_note(bench->limits, peer);
}

/* Nobody was cut but this one; NULL: nobody at all. */
static void assert_cut(const Bench *bench, const Peer *one) {
        for (size_t i = 0; i < bench->n_peers; i++)
                assert_int_equal(bench->peers[i]->cut, bench->peers[i] == one);
}

static void test_of_a_user_the_connection_that_has_most_must_go(void **state) {
        Bench *bench = *state;
        Peer *less = let_in(bench, USER), *most = let_in(bench, USER), *last = let_in(bench, USER);
        Peer *other = let_in(bench, USER + 1);

        owe(bench, other, ACCOUNT_OUT_BYTES_MAX);
        owe(bench, less, 20 * MIB);
        owe(bench, most, 30 * MIB);
        owe(bench, last, 14 * MIB);
        assert_int_equal(last->account->n_out_bytes, ACCOUNT_OUT_BYTES_MAX);
        assert_cut(bench, NULL);

        owe(bench, last, 14 * MIB + sizeof(uint64_t));
        assert_cut(bench, most);
        assert_int_equal(last->account->n_out_bytes, 34 * MIB + sizeof(uint64_t));
        assert_int_equal(bench->daemon.accounts.n_out_bytes, 98 * MIB + sizeof(uint64_t));
}

/* Each of them is within his own limit. Who had little, and asked for the last of it, is not the one. */
static void test_of_all_users_the_one_who_has_most_must_go(void **state) {
        Bench *bench = *state;
        Peer *greedy = let_in(bench, USER), *more = let_in(bench, USER), *last;

        for (uid_t uid = USER + 1; uid <= USER + 3; uid++)
                owe(bench, let_in(bench, uid), 62 * MIB);
        last = let_in(bench, USER + 4);
        owe(bench, greedy, 40 * MIB);
        owe(bench, more, 23 * MIB);
        owe(bench, last, 7 * MIB);
        assert_int_equal(bench->daemon.accounts.n_out_bytes, ACCOUNTS_OUT_BYTES_MAX);
        assert_cut(bench, NULL);

        owe(bench, last, 7 * MIB + sizeof(uint64_t));
        assert_cut(bench, greedy);
        assert_int_equal(bench->daemon.accounts.n_out_bytes, 216 * MIB + sizeof(uint64_t));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_of_a_user_the_connection_that_has_most_must_go,
                                                set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_of_all_users_the_one_who_has_most_must_go,
                                                set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
