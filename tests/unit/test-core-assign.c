/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "core/assign.h"

#include "check.h"

/* A generator of one's own: the same numbers everywhere, for ever. */
static uint64_t next_random(uint64_t *seed) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

/* About a quarter of them. */
static uint64_t some_bits(uint64_t *seed) {
        uint64_t bits = next_random(seed);

        return bits & next_random(seed);
}

static Assign assign_of(unsigned n_needs, unsigned n_slots, const uint64_t *can) {
        Assign assign = { .n_needs = n_needs, .n_slots = n_slots };

        for (unsigned i = 0; i < n_needs; i++)
                assign.can[i] = can[i];
        for (unsigned i = 0; i < n_slots; i++)
                assign.prefer[i] = i;
        return assign;
}

static void test_no_needs_are_served(_unused_ void **state) {
        Assign assign = assign_of(0, 4, NULL);

        assert_true(assign_all(&assign));
}

static void test_a_need_gets_the_slot_that_is_preferred(_unused_ void **state) {
        Assign assign = assign_of(1, 3, (uint64_t[]){ 0x7 });

        assign.prefer[0] = 2;
        assign.prefer[2] = 0;
        assert_true(assign_all(&assign));
        assert_int_equal(assign.slot_of[0], 2);
}

static void test_an_earlier_need_moves_for_a_later_one(_unused_ void **state) {
        Assign assign = assign_of(2, 2, (uint64_t[]){ 0x3, 0x1 });

        assert_true(assign_all(&assign));
        assert_int_equal(assign.slot_of[0], 1);
        assert_int_equal(assign.slot_of[1], 0);
}

static void test_a_chain_of_moves_is_found(_unused_ void **state) {
        Assign assign = assign_of(4, 4, (uint64_t[]){ 0x3, 0x6, 0xc, 0x1 });

        assert_true(assign_all(&assign));
        assert_int_equal(assign.slot_of[3], 0);
        assert_int_equal(assign.slot_of[0], 1);
        assert_int_equal(assign.slot_of[1], 2);
        assert_int_equal(assign.slot_of[2], 3);
}

static void test_two_needs_for_one_slot_are_too_many(_unused_ void **state) {
        Assign assign = assign_of(3, 3, (uint64_t[]){ 0x1, 0x1, 0x6 });

        assert_false(assign_all(&assign));
        assert_int_equal(assign.slot_of[0], 0);
        assert_int_equal(assign.slot_of[1], -1);
        assert_true(assign.slot_of[2] > 0);
}

static void test_sixty_four_are_served(_unused_ void **state) {
        Assign assign = { .n_needs = 64, .n_slots = 64 };

        /* Each could be served by its own slot and the one before: all must move but one. */
        for (unsigned i = 0; i < 64; i++) {
                assign.prefer[i] = i;
                assign.can[i] = UINT64_C(3) << i;
        }
        assign.can[63] = UINT64_C(1);
        assert_true(assign_all(&assign));
        for (unsigned i = 0; i < 63; i++)
                assert_int_equal(assign.slot_of[i], (int)i + 1);
        assert_int_equal(assign.slot_of[63], 0);
}

/* By trying everything. */
static bool can_serve(const Assign *assign, unsigned need, uint64_t used) {
        if (need == assign->n_needs)
                return true;

        for (unsigned slot = 0; slot < assign->n_slots; slot++) {
                uint64_t bit = UINT64_C(1) << slot;

                if ((assign->can[need] & bit) && !(used & bit) &&
                    can_serve(assign, need + 1, used | bit))
                        return true;
        }
        return false;
}

static void test_what_can_be_served_is_served(_unused_ void **state) {
        uint64_t seed = 42;
        unsigned n_served = 0;

        for (unsigned round = 0; round < 20000; round++) {
                Assign assign = { .n_needs = 1 + (unsigned)(next_random(&seed) % 6),
                                  .n_slots = 1 + (unsigned)(next_random(&seed) % 6) };
                uint64_t used = 0;

                for (unsigned i = 0; i < assign.n_needs; i++)
                        assign.can[i] = some_bits(&seed) & ((UINT64_C(1) << assign.n_slots) - 1);
                for (unsigned i = 0; i < assign.n_slots; i++)
                        assign.prefer[i] = (i + round) % assign.n_slots;

                assert_int_equal(assign_all(&assign), can_serve(&assign, 0, 0));
                for (unsigned i = 0; i < assign.n_needs; i++) {
                        uint64_t bit = UINT64_C(1) << (assign.slot_of[i] & 63);

                        if (assign.slot_of[i] < 0)
                                continue;
                        assert_true(assign.can[i] & bit);
                        assert_false(used & bit);
                        used |= bit;
                        n_served++;
                }
        }
        assert_true(n_served > 1000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_needs_are_served),
                cmocka_unit_test(test_a_need_gets_the_slot_that_is_preferred),
                cmocka_unit_test(test_an_earlier_need_moves_for_a_later_one),
                cmocka_unit_test(test_a_chain_of_moves_is_found),
                cmocka_unit_test(test_two_needs_for_one_slot_are_too_many),
                cmocka_unit_test(test_sixty_four_are_served),
                cmocka_unit_test(test_what_can_be_served_is_served),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
