/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * An agent whole, but for a daemon: what becomes of a row's claims, which are to go when the row's keeper can't come to them any more, and of
 * orders that are not carried out.
 */

#include <stdlib.h>
#include <sys/pidfd.h>

#include "agent/agent.h"
#include "agent/jobs.h"
#include "agent/runs.h"
#include "util/clock.h"

#include "keeper-fixture.h"

enum {
        FIRST = 1, /* of the row */
        CLAIM = 2, /* behind it, and given back */
};

static Agent *start_agent(void) {
        _cleanup_free_ char *nothing = in_folder("nothing");
        AgentOptions options = { .folder = folder, .lives = "detached" };
        Agent *agent = NULL;
        Error error = { 0 };

        assert_int_equal(setenv("TASKFLOW_SOCKET", nothing, 1), 0);
        assert_int_equal(nursery_start(&options.nursery, NULL), 0);
        if (agent_new(&agent, &options, &error) < 0)
                fail_msg("%s", error.text);
        epoch = agent->epoch;
        return agent;
}

static void turn_until(Agent *agent, bool (*is_so)(const Agent *agent)) {
        uint64_t until_us = clock_boottime_us() + DEADLINE_MS * US_PER_MSEC;

        while (!is_so(agent)) {
                assert_true(clock_boottime_us() < until_us);
                assert_true(sd_event_run(agent->event, 100 * US_PER_MSEC) >= 0);
        }
}

static bool is_claim_gone(const Agent *agent) {
        return !run_newest(agent, CLAIM);
}

static bool has_claim_file(const Agent *agent) {
        char name[RECORD_NAME_MAX];

        record_file_name(CLAIM, 1, name);
        return faccessat(agent->run_fd, name, F_OK, 0) == 0;
}

/* Two that one keeper was ordered; the second was given back, and its task is over. */
static Run *make_row(Agent *agent) {
        Run *first = run_new(agent, FIRST, 1), *claim = run_new(agent, CLAIM, 1);

        first->phase = RUN_PHASE_STARTING;
        row_take(claim, FIRST);
        assert_int_equal(claim->phase, RUN_PHASE_IN_ROW);
        assert_true(row_prepare_order(first));
        row_note_order(first, 2);
        row_cancel(claim, 0);
        assert_int_equal(claim->phase, RUN_PHASE_CLAIMED);
        assert_false(run_let_go(claim));
        assert_true(has_claim_file(agent));
        return first;
}

static pid_t start_sleeper(void) {
        pid_t pid = fork();

        if (pid == 0) {
                (void)pause();
                _exit(0);
        }
        assert_true(pid > 0);
        return pid;
}

static void end_sleeper(pid_t pid) {
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The first has ended, and its keeper is to come to the next, which is that claim. */
static void end_first(Run *first, pid_t keeper, int pidfd) {
        first->keeper = keeper;
        run_watch(first, pidfd);
        first->goes_on = true;
        run_finish(first, RUN_PHASE_ENDED);
        run_set_over(first);
}

static void test_a_claim_stays_while_its_keeper_may_come_to_it(_unused_ void **state) {
        _cleanup_(agent_freep) Agent *agent = start_agent();
        pid_t keeper = start_sleeper();

        end_first(make_row(agent), keeper, pidfd_open(keeper, 0));
        while (run_newest(agent, FIRST))
                assert_true(sd_event_run(agent->event, 100 * US_PER_MSEC) >= 0);
        assert_true(has_claim_file(agent));
        end_sleeper(keeper);
        turn_until(agent, is_claim_gone);
        assert_false(has_claim_file(agent));
        assert_false(agent_has_work(agent));
}

/* Which is what is watched until that one has ended. */
static void test_it_goes_when_its_keeper_dies_with_the_first(_unused_ void **state) {
        _cleanup_(agent_freep) Agent *agent = start_agent();
        pid_t keeper = start_sleeper();
        Run *first = make_row(agent);

        first->keeper = keeper;
        run_watch(first, pidfd_open(keeper, 0));
        end_sleeper(keeper);
        turn_until(agent, is_claim_gone);
        assert_false(has_claim_file(agent));
        assert_int_equal(first->phase, RUN_PHASE_DEAD);
}

static void test_it_goes_also_if_its_keeper_could_not_be_watched(_unused_ void **state) {
        _cleanup_(agent_freep) Agent *agent = start_agent();
        pid_t keeper = start_sleeper();

        end_first(make_row(agent), keeper, -EMFILE);
        end_sleeper(keeper);
        turn_until(agent, is_claim_gone);
        assert_false(has_claim_file(agent));
}

static bool is_watched(const Agent *agent) {
        return run_newest(agent, CLAIM)->watch_fd >= 0;
}

static void test_its_keeper_is_watched_when_it_can_be(_unused_ void **state) {
        _cleanup_(agent_freep) Agent *agent = start_agent();
        pid_t keeper = start_sleeper();

        end_first(make_row(agent), keeper, -EMFILE);
        turn_until(agent, is_watched);
        assert_true(has_claim_file(agent));
        end_sleeper(keeper);
        turn_until(agent, is_claim_gone);
        assert_false(has_claim_file(agent));
}

static void test_it_goes_when_its_keeper_has_come_to_it(_unused_ void **state) {
        _cleanup_(agent_freep) Agent *agent = start_agent();
        _cleanup_(order_done) TestOrder first = make_shell_order(FIRST, "exit 3");
        _cleanup_(order_done) TestOrder second = make_shell_order(CLAIM, "touch $HOME/never");
        KeeperOrder orders[] = { first.order, second.order };
        Run *run = make_row(agent);

        assert_int_equal(nursery_spawn(agent->nursery, orders, ELEMENTSOF(orders)), 0);
        turn_until(agent, is_claim_gone);
        assert_false(has_claim_file(agent));
        assert_int_equal(run->phase, RUN_PHASE_ENDED);
        assert_end(&run->end, TASK_STATE_FAILED, 3, 0);
        assert_int_equal(faccessat(agent->run_fd, "../logs/2.log", F_OK, 0), -1);
}

static bool is_taken_back(const Agent *agent) {
        return run_newest(agent, FIRST)->phase == RUN_PHASE_CLAIMED;
}

/* Its keeper comes to an order that a new epoch has begun after. */
static void test_an_order_of_another_epoch_is_taken_back(_unused_ void **state) {
        _cleanup_(agent_freep) Agent *agent = start_agent();
        _cleanup_(order_done) TestOrder order = make_shell_order(FIRST, "touch $HOME/never");
        Run *run = run_new(agent, FIRST, 1);
        uint64_t next;

        run->phase = RUN_PHASE_STARTING;
        assert_int_equal(epoch_begin(folder, 0, &next, NULL), 0);
        assert_int_equal(nursery_spawn(agent->nursery, &order.order, 1), 0);
        turn_until(agent, is_taken_back);
        assert_int_not_equal(agent->epoch, epoch);
        assert_int_not_equal(agent->epoch, next);
        assert_int_equal(faccessat(agent->run_fd, "../logs/1.log", F_OK, 0), -1);
}

static bool is_put_off(const Agent *agent) {
        return run_newest(agent, FIRST)->ordered_boot_us > 1;
}

/* Somebody is in the epoch, and stays there: nothing is claimed, and the log is not filled with it. */
static void test_an_order_is_not_taken_back_while_its_epoch_goes_on(_unused_ void **state) {
        _cleanup_(agent_freep) Agent *agent = start_agent();
        _cleanup_close_ int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        Run *run = run_new(agent, FIRST, 1);
        int fd;

        assert_int_equal(epoch_enter(&fd, folder_fd, epoch), 0);
        run->phase = RUN_PHASE_STARTING;
        run_note_untaken(run);
        turn_until(agent, is_put_off);
        assert_int_equal(run->phase, RUN_PHASE_STARTING);
        assert_int_equal(agent->epoch, epoch);
        (void)fd_close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_a_claim_stays_while_its_keeper_may_come_to_it,
                                                make_agent_folder, leave_agent_folder),
                cmocka_unit_test_setup_teardown(test_it_goes_when_its_keeper_dies_with_the_first,
                                                make_agent_folder, leave_agent_folder),
                cmocka_unit_test_setup_teardown(
                        test_it_goes_also_if_its_keeper_could_not_be_watched, make_agent_folder,
                        leave_agent_folder),
                cmocka_unit_test_setup_teardown(test_its_keeper_is_watched_when_it_can_be,
                                                make_agent_folder, leave_agent_folder),
                cmocka_unit_test_setup_teardown(test_it_goes_when_its_keeper_has_come_to_it,
                                                make_agent_folder, leave_agent_folder),
                cmocka_unit_test_setup_teardown(test_an_order_of_another_epoch_is_taken_back,
                                                make_agent_folder, leave_agent_folder),
                cmocka_unit_test_setup_teardown(
                        test_an_order_is_not_taken_back_while_its_epoch_goes_on, make_agent_folder,
                        leave_agent_folder),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
