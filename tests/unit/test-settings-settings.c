/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings/settings-key.h"
#include "settings/settings.h"
#include "util/cleanup.h"
#include "util/fd.h"

#include "check.h"

static int parse(const char *text, Settings *ret, Error *error) {
        return settings_parse(ret, "conf", text, strlen(text), false, error);
}

/* "[taskflow]" and one line. */
static int parse_line(const char *line, Settings *ret, Error *error) {
        char text[4096];

        assert_true((size_t)snprintf(text, sizeof(text), "[taskflow]\n%s\n", line) < sizeof(text));
        return parse(text, ret, error);
}

static Settings parsed(const char *line) {
        Settings settings = {};
        Error error = {};

        if (parse_line(line, &settings, &error) != 0)
                fail_msg("%s: %s", line, error.text);
        return settings;
}

static void assert_refused(const char *text, const char *says) {
        Settings settings = {};
        Error error = {};

        if (parse(text, &settings, &error) == 0)
                fail_msg("%s: is taken", text);
        if (strncmp(error.text, "'conf' line ", 12) != 0 || !strstr(error.text, says))
                fail_msg("%s: says \"%s\", not \"%s\"", text, error.text, says);
        assert_null(settings.admins.uids);
}

static void assert_line_refused(const char *line, const char *says) {
        char text[4096];

        (void)snprintf(text, sizeof(text), "[taskflow]\n%s\n", line);
        assert_refused(text, says);
}

/* interface.md's table, in numbers. */
static void test_the_defaults_are_those_of_the_manual(void **state) {
        Settings s = {};

        assert_int_equal(settings_load(&s, NULL, true, false, NULL), 0);
        assert_int_equal(s.policy.default_delay_us, 60 * US_PER_SEC);
        assert_false(s.policy.delay_strict);
        assert_int_equal(s.policy.ample_factor_permille, 2000);
        assert_false(s.policy.unfilled_delay);
        assert_int_equal(s.policy.reserved_memory_bytes, 100 * MIB);
        assert_int_equal(s.policy.reserved_gpu_memory_bytes, MIB);
        assert_int_equal(s.policy.whole_gpu_used_permyriad, 500);
        assert_false(s.policy.gpu_pick_pack);
        assert_int_equal(s.policy.priority_limit, 100);
        assert_int_equal(s.policy.priority_age_us, 3600 * US_PER_SEC);
        assert_int_equal(s.policy.max_delay_us, 600 * US_PER_SEC);
        assert_true(s.policy.gpus_all);
        assert_int_equal(s.policy.n_gpus, 0);
        assert_int_equal(s.policy.n_cpus, sysconf(_SC_NPROCESSORS_ONLN));
        assert_int_equal(s.sample_interval_us, US_PER_SEC);
        assert_int_equal(s.idle_exit_us, TASK_TIME_INF);
        assert_int_equal(s.pin_gpus, PIN_MODE_DEFAULT);
        assert_string_equal(s.nvml_library, "libnvidia-ml.so.1");
        assert_int_equal(s.admins.n_uids, 1);
        assert_int_equal(s.admins.uids[0], 0);
        assert_int_equal(s.admins.n_gids, 0);
        assert_int_equal(s.max_pending_per_user, 100000);
        assert_false(s.show_commands_to_owner_only);
        assert_int_equal(s.history_us, 30 * UINT64_C(86400) * US_PER_SEC);
        settings_done(&s);
}

/* Two lists of defaults would drift apart. */
static void test_the_defaults_are_those_of_the_core(void **state) {
        Policy core = policy_default();
        Settings s = {};

        assert_int_equal(settings_load(&s, NULL, false, false, NULL), 0);
        core.n_cpus = s.policy.n_cpus;
        assert_memory_equal(&s.policy, &core, sizeof(core));
        settings_done(&s);
}

static void test_a_personal_daemon_has_its_own_defaults(void **state) {
        Settings s = {};

        assert_int_equal(settings_load(&s, NULL, false, true, NULL), 0);
        assert_int_equal(s.idle_exit_us, 600 * US_PER_SEC);
        assert_int_equal(s.policy.priority_limit, 200);
        assert_int_equal(s.policy.max_delay_us, TASK_TIME_INF);
        assert_true(settings_is_admin(&s, geteuid(), NULL, 0));
        settings_done(&s);
}

/* Its owner stays an admin whatever the file says. */
static void test_a_personal_file_does_not_take_rights_away(void **state) {
        static const char text[] = "[taskflow]\nadmins = 12345\nidle_exit = never\n";
        Settings s = {};

        assert_int_equal(settings_parse(&s, "conf", text, strlen(text), true, NULL), 0);
        assert_true(settings_is_admin(&s, geteuid(), NULL, 0));
        assert_true(settings_is_admin(&s, 12345, NULL, 0));
        assert_int_equal(s.idle_exit_us, TASK_TIME_INF);
        settings_done(&s);
}

static void test_each_kind_of_value_is_read(void **state) {
        static const struct {
                const char *line;
                size_t offset;
                size_t size;
                uint64_t want;
        } cases[] = {
#define CASE(line, field, want) \
        { line, offsetof(Settings, field), sizeof(((Settings *)NULL)->field), want }
                CASE("default_delay = 90", policy.default_delay_us, 90 * US_PER_SEC),
                CASE("default_delay = 0", policy.default_delay_us, 0),
                CASE("default_delay = inf", policy.default_delay_us, TASK_TIME_INF),
                CASE("default_delay=1h30m", policy.default_delay_us, 5400 * US_PER_SEC),
                CASE("delay_mode = strict", policy.delay_strict, true),
                CASE("delay_mode = ample", policy.delay_strict, false),
                CASE("ample_factor = 1", policy.ample_factor_permille, 1000),
                CASE("ample_factor = 1.5", policy.ample_factor_permille, 1500),
                CASE("ample_factor = 2.345", policy.ample_factor_permille, 2345),
                CASE("ample_factor = 100", policy.ample_factor_permille, 100000),
                CASE("unfilled = delay", policy.unfilled_delay, true),
                CASE("reserved_memory = 2G", policy.reserved_memory_bytes, 2 * GIB),
                CASE("reserved_memory = 0", policy.reserved_memory_bytes, 0),
                CASE("reserved_gpu_memory = 5GB", policy.reserved_gpu_memory_bytes, 5000000000),
                CASE("sample_interval = 100ms", sample_interval_us, 100000),
                CASE("sample_interval = 1h", sample_interval_us, 3600 * US_PER_SEC),
                CASE("priority_limit = 0", policy.priority_limit, 0),
                CASE("priority_limit = 200", policy.priority_limit, 200),
                CASE("priority_age = never", policy.priority_age_us, TASK_TIME_INF),
                CASE("max_delay = never", policy.max_delay_us, TASK_TIME_INF),
                CASE("max_delay = 0s", policy.max_delay_us, 0),
                CASE("whole_gpu_used = 0%", policy.whole_gpu_used_permyriad, 0),
                CASE("whole_gpu_used = 2.5%", policy.whole_gpu_used_permyriad, 250),
                CASE("whole_gpu_used = 0.01%", policy.whole_gpu_used_permyriad, 1),
                CASE("whole_gpu_used = 100%", policy.whole_gpu_used_permyriad, 10000),
                CASE("whole_gpu_used = 100.00%", policy.whole_gpu_used_permyriad, 10000),
                CASE("idle_exit = 10m", idle_exit_us, 600 * US_PER_SEC),
                CASE("gpus = all", policy.gpus_all, true),
                CASE("gpus = 0", policy.gpus_all, false),
                CASE("gpus = 0,1 , GPU-12ab", policy.n_gpus, 3),
                CASE("gpu_pick = pack", policy.gpu_pick_pack, true),
                CASE("pin_gpus = any", pin_gpus, PIN_MODE_DEFAULT),
                CASE("pin_gpus = always", pin_gpus, PIN_MODE_ON),
                CASE("pin_gpus = never", pin_gpus, PIN_MODE_OFF),
                CASE("max_pending_per_user = 1", max_pending_per_user, 1),
                CASE("show_commands = owner", show_commands_to_owner_only, true),
                CASE("history_days = 1", history_us, UINT64_C(86400) * US_PER_SEC),
                CASE("history_days = 36500", history_us, 36500 * UINT64_C(86400) * US_PER_SEC),
                CASE("log_limit = 64K", log_limit_bytes, 64 * KIB),
                CASE("log_days = 7", log_keep_us, 7 * UINT64_C(86400) * US_PER_SEC),
                CASE("order = fair", policy.order_fifo, false),
                CASE("order = fifo", policy.order_fifo, true),
                CASE("share_half_life = 1m", policy.share_half_life_us, 60 * US_PER_SEC),
                CASE("share_half_life = 7d", policy.share_half_life_us, 604800 * US_PER_SEC),
#undef CASE
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Settings s = parsed(cases[i].line);
                uint64_t have = 0;

                memcpy(&have, (const char *)&s + cases[i].offset,
                       cases[i].size); /* little-endian */
                if (have != cases[i].want)
                        fail_msg("%s: is %llu", cases[i].line, (unsigned long long)have);
                settings_done(&s);
        }
}

static void test_words_are_kept_as_written(void **state) {
        Settings s = parsed("nvml_library = /opt/My Driver/libnvidia-ml.so.1");

        assert_string_equal(s.nvml_library, "/opt/My Driver/libnvidia-ml.so.1");
        settings_done(&s);

        s = parsed("gpus = 3, GPU-12AB ,MIG-a/1/2");
        assert_string_equal(s.policy.gpus[0], "3");
        assert_string_equal(s.policy.gpus[1], "GPU-12AB");
        assert_string_equal(s.policy.gpus[2], "MIG-a/1/2");
        settings_done(&s);
}

static void test_a_weight_is_that_of_the_user_else_the_largest_of_its_groups(void **state) {
        Settings s = parsed("weights = 7:2.5 , @8:0.001, @9:3,@7:4");
        const gid_t gids[] = { 1, 8, 9 };

        assert_int_equal(settings_rules(&s, 7, gids, 3).weight_permille, 2500);
        assert_int_equal(settings_rules(&s, 8, gids, 3).weight_permille, 3000);
        assert_int_equal(settings_rules(&s, 8, gids, 2).weight_permille, 1);
        assert_int_equal(settings_rules(&s, 8, gids, 1).weight_permille, 1000);
        assert_int_equal(settings_rules(&s, 9, NULL, 0).weight_permille, 1000);
        settings_done(&s);

        s = parsed("weights = none");
        assert_int_equal(settings_rules(&s, 7, gids, 3).weight_permille, 1000);
        settings_done(&s);
}

static void test_a_limit_is_that_of_the_user_else_the_largest_of_its_groups_else_that_of_all(
        void **state) {
        Settings s = parsed("max_running_per_user = @8:2, 4 , 7:none, @9:0\n"
                            "max_memory_per_user = 64G\n"
                            "max_gpus_per_user = @8:1\n"
                            "max_gpu_memory_per_user = 1T, 7:24G\n"
                            "max_time = 2d, @8:1h");
        const gid_t gids[] = { 8, 9 };
        UserRules rules = settings_rules(&s, 7, gids, 2);

        assert_true(rules.max_running == LIMIT_NONE && rules.max_memory_bytes == 64 * GIB);
        assert_true(rules.max_gpus == 1 && rules.max_gpu_memory_bytes == 24 * GIB);
        assert_true(rules.max_time_us == 3600 * US_PER_SEC);
        rules = settings_rules(&s, 6, gids, 2);
        assert_true(rules.max_running == 2 && rules.max_gpu_memory_bytes == 1024 * GIB);
        assert_true(settings_rules(&s, 6, &gids[1], 1).max_running == 0);
        rules = settings_rules(&s, 6, NULL, 0);
        assert_true(rules.max_running == 4 && rules.max_gpus == LIMIT_NONE);
        assert_true(rules.max_time_us == 172800 * US_PER_SEC);
        settings_done(&s);

        s = parsed("");
        rules = settings_rules(&s, 7, gids, 2);
        assert_true(user_rules_equal(&rules, &(UserRules){ 1000, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE,
                                                           LIMIT_NONE, LIMIT_NONE }));
        settings_done(&s);
}

static void test_a_bad_value_is_refused_with_what_is_allowed(void **state) {
        static const struct {
                const char *line;
                const char *says;
        } cases[] = {
                { "default_delay = 10 apples", "default_delay: " },
                { "default_delay = -1", "default_delay: " },
                { "default_delay = 1e3", "default_delay: " },
                { "default_delay =", "there is no value; the default is '60s'" },
                { "delay_mode = loose", "'loose' is neither 'ample' nor 'strict'" },
                { "delay_mode = Ample", "is neither" },
                { "ample_factor = 0.999", "a number from 1 to 100" },
                { "ample_factor = 0", "a number from 1 to 100" },
                { "ample_factor = 101", "a number from 1 to 100" },
                { "ample_factor = 1.2345", "up to three decimals" },
                { "ample_factor = 1.", "no factor" },
                { "ample_factor = .5", "no factor" },
                { "ample_factor = 1,5", "no factor" },
                { "ample_factor = +2", "no factor" },
                { "ample_factor = 2x", "no factor" },
                { "ample_factor = 99999999999999999999", "no factor" },
                { "unfilled = death", "is neither 'life' nor 'delay'" },
                { "reserved_memory = 10%", "reserved_memory: " },
                { "reserved_memory = 9999P", "a size up to" },
                { "reserved_memory = 5X", "reserved_memory: " },
                { "sample_interval = 0", "a time from 100ms to " },
                { "sample_interval = 99ms", "a time from 100ms to " },
                { "sample_interval = inf", "a time from 100ms to " },
                { "sample_interval = never", "a time from 100ms to " },
                { "order = lifo", "'lifo' is neither 'fair' nor 'fifo'" },
                { "share_half_life = 59s", "a time from 1m to " },
                { "share_half_life = inf", "a time from 1m to " },
                { "priority_limit = 201", "priority_limit: " },
                { "priority_limit = high", "priority_limit: " },
                { "priority_age = 0", "a time from 1s to inf" },
                { "whole_gpu_used = 5", "from 0% to 100%" },
                { "whole_gpu_used = 100.01%", "from 0% to 100%" },
                { "whole_gpu_used = 1.234%", "up to two decimals" },
                { "whole_gpu_used = %", "no percentage" },
                { "whole_gpu_used = 5%%", "no percentage" },
                { "idle_exit = 0", "a time from 1s to inf" },
                { "gpu_pick = best", "neither 'spread' nor 'pack'" },
                { "pin_gpus = on", "is none of 'any', 'always' and 'never'" },
                { "admins = ,root", "a name is missing" },
                { "admins = @", "a name is missing" },
                { "admins = all", "there is no user 'all'" },
                { "allow_users = none", "there is no user 'none'" },
                { "deny_users = all", "there is no user 'all'" },
                { "admins = nobody-of-this-name", "there is no user 'nobody-of-this-name'" },
                { "admins = root, @no-such-group", "there is no group 'no-such-group'" },
                { "admins = 4294967295", "admins: " },
                { "max_pending_per_user = 0", "max_pending_per_user: " },
                { "max_pending_per_user = 1k", "max_pending_per_user: " },
                { "show_commands = no", "neither 'everyone' nor 'owner'" },
                { "history_days = 0", "history_days: " },
                { "log_limit = 1K", "log_limit: " },
                { "log_days = 0", "log_days: " },
                { "history_days = 30d", "history_days: " },
                { "history_days = 36501", "history_days: " },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_line_refused(cases[i].line, cases[i].says);
}

static void test_a_bad_value_of_users_or_gpus_is_refused(void **state) {
        static const struct {
                const char *line;
                const char *says;
        } cases[] = {
                { "weights = alice",
                  "'alice' is none of these: a user or @group, a colon, and a number" },
                { "weights = root:0", "a number from 0.001 to 1000" },
                { "weights = root:1000.001", "a number from 0.001 to 1000" },
                { "weights = root:1.0001", "a number from 0.001 to 1000" },
                { "weights = :1", "a name is missing" },
                { "weights = root:1,", "'' is none of these" },
                { "weights = root:1, 0:2", "'0' is there twice" },
                { "weights = nobody-at-all:1", "there is no user 'nobody-at-all'" },
                { "weights = @nobody-at-all:1", "there is no group 'nobody-at-all'" },
                { "max_running_per_user = some", "'some' is no limit: a number" },
                { "max_running_per_user = -1", "is no limit" },
                { "max_running_per_user = 1, 2", "'2' is the second one for everybody" },
                { "max_running_per_user = root:", "is no limit" },
                { "max_running_per_user = root:1, 0:2", "'0' is there twice" },
                { "max_running_per_user = ,", "'' is no limit" },
                { "max_memory_per_user = 4 apples", "is no limit: a size" },
                { "max_time = @root:x", "is no limit: a time" },
                { "gpus = any", "'any' is no id of a GPU" },
                { "gpus = all, 1", "'all' is no id of a GPU" },
                { "gpus = 0, 0", "GPU '0' is there twice" },
                { "gpus = 0, 00", "GPU '00' is there twice" },
                { "gpus = 0,,1", "'' is no id of a GPU" },
                { "gpus = 0,", "'' is no id of a GPU" },
                { "gpus = 0 1", "'0 1' is no id of a GPU" },
                { "gpus = GPU_1", "is no id of a GPU" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_line_refused(cases[i].line, cases[i].says);
}

static void test_a_text_that_does_not_fit_is_refused(void **state) {
        const SettingsKey *key = settings_key_find("nvml_library", NULL);
        Settings s = {};
        Error error = {};
        char text[300];

        (void)snprintf(text, sizeof(text), "%0256d", 0);
        assert_int_equal(settings_key_set(key, text, &s, &error), -EINVAL);
        assert_non_null(strstr(error.text, "longer than 255 bytes"));
        text[255] = '\0';
        assert_int_equal(settings_key_set(key, text, &s, &error), 0);
        assert_string_equal(s.nvml_library, text);
}

static void test_too_many_gpus_are_refused(void **state) {
        char line[1024] = "gpus = 0";

        for (unsigned i = 1; i <= GPU_MAX; i++)
                (void)snprintf(line + strlen(line), sizeof(line) - strlen(line), ",%u", i);
        assert_line_refused(line, "more than 64");
}

static void test_an_unknown_key_names_its_neighbour(void **state) {
        static const struct {
                const char *line;
                const char *says;
        } cases[] = {
                { "defualt_delay = 1",
                  "unknown key 'defualt_delay'; did you mean 'default_delay'?" },
                { "default-delay = 1", "did you mean 'default_delay'?" },
                { "reserve_memory = 1", "did you mean 'reserved_memory'?" },
                { "gpu = 1", "did you mean 'gpus'?" },
                { "pin_gpu = 1", "did you mean 'pin_gpus'?" },
                { "Gpus = 1", "did you mean 'gpus'?" },
                { "history = 1", "unknown key 'history'; taskflow.conf(5)" },
                { "colour = 1", "unknown key 'colour'; taskflow.conf(5)" },
                { "x = 1", "unknown key 'x'; taskflow.conf(5)" },
                { "a_key_that_is_much_longer_than_any_that_there_is = 1", "taskflow.conf(5)" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_line_refused(cases[i].line, cases[i].says);
}

static void test_the_form_of_the_file_is_strict(void **state) {
        assert_refused("gpus = 0\n[taskflow]\n", "line 1: 'gpus' stands before '[taskflow]'");
        assert_refused("[taskflow]\ngpus = 0\n\n[task]\nmemory = 5G\n",
                       "line 5: unknown section '[task]'");
        assert_refused("[taskflow]\n[other]\n",
                       "line 2: there are two sections, '[taskflow]' and '[tokens]', each once");
        assert_refused("[other]\n", "line 1: there are two sections");
        assert_refused("[taskflow]\ngpus = 0\n[taskflow]\n", "line 3: there are two sections");
        assert_refused("[tokens]\n[taskflow]\n[tokens]\n", "line 3: there are two sections");
        assert_refused("[tokens]\nmatlab = 1\n[tokens2]\n", "line 3: there are two sections");
        assert_refused("[taskflow]\ngpus = 0\n# x\ngpus = 0\n",
                       "line 4: 'gpus' is there already, in line 2");
        assert_refused("[taskflow]\ngpus\n", "line 2: ");
        assert_refused("[taskflow]\n gpus = 0\n", "line 2: ");
        assert_refused("[taskflow]\ndefault_delay = 60s ; a minute\n", "line 2: ");
}

static void test_comments_and_nothing_are_fine(void **state) {
        static const char *const texts[] = {
                "",
                "\n\n",
                "# [other]\n; gpus = x\n",
                "[taskflow]",
                "[taskflow]\n#gpus = x\n",
                "[taskflow]\r\ngpus = 0\r\n",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Settings s = {};
                Error error = {};

                if (parse(texts[i], &s, &error) != 0)
                        fail_msg("%s: %s", texts[i], error.text);
                settings_done(&s);
        }
}

static void test_names_become_numbers(void **state) {
        const struct passwd *user = getpwuid(1);
        const struct group *group = getgrgid(1);
        char line[256];
        Settings s;

        if (!user || !group) {
                print_message("# skipped: there is no user or group 1\n");
                skip();
                return;
        }
        (void)snprintf(line, sizeof(line), "admins = %s, @%s , 4711,@4712", user->pw_name,
                       group->gr_name);
        s = parsed(line);
        assert_int_equal(s.admins.n_uids, 2);
        assert_int_equal(s.admins.uids[0], user->pw_uid);
        assert_int_equal(s.admins.uids[1], 4711);
        assert_int_equal(s.admins.n_gids, 2);
        assert_int_equal(s.admins.gids[0], group->gr_gid);
        assert_int_equal(s.admins.gids[1], 4712);
        settings_done(&s);
}

static void test_an_admin_is_one_by_uid_or_any_group(void **state) {
        const gid_t mine[] = { 7, 8 };
        Settings s = parsed("admins = 1000, @8");

        assert_true(settings_is_admin(&s, 1000, NULL, 0));
        assert_false(settings_is_admin(&s, 1001, NULL, 0));
        assert_false(settings_is_admin(&s, 0, NULL, 0));
        assert_true(settings_is_admin(&s, 1001, mine, 2));
        assert_false(settings_is_admin(&s, 8, mine, 1));
        settings_done(&s);
}

static void test_who_is_denied_or_not_allowed_is_left_out(void **state) {
        const gid_t mine[] = { 7, 8 };
        Settings s = parsed("");

        assert_true(settings_is_allowed(&s, 1001, NULL, 0));
        settings_done(&s);

        s = parsed("allow_users = 1001, @8\ndeny_users = 1002, @9, 0\n");
        assert_true(settings_is_allowed(&s, 1001, NULL, 0));
        assert_false(settings_is_allowed(&s, 1003, NULL, 0));
        assert_true(settings_is_allowed(&s, 1003, mine, 2));
        assert_false(settings_is_allowed(&s, 1002, mine, 2));
        assert_false(settings_is_allowed(&s, 1001, (const gid_t[]){ 9 }, 1));
        assert_true(settings_is_allowed(&s, 0, NULL, 0)); /* an admin, whatever is said of it */
        settings_done(&s);

        s = parsed("allow_users = all\ndeny_users = none\n");
        assert_true(settings_is_allowed(&s, 1003, NULL, 0));
        settings_done(&s);
}

static void test_a_file_may_be_missing_unless_it_is_required(void **state) {
        char folder[64];
        char path[96];
        Settings s = {};
        Error error = {};
        FILE *f;

        make_test_folder(folder);
        (void)snprintf(path, sizeof(path), "%s/taskflow.conf", folder);

        assert_int_equal(settings_load(&s, path, false, false, &error), 0);
        settings_done(&s);
        assert_int_equal(settings_load(&s, path, true, false, &error), -ENOENT);
        assert_non_null(strstr(error.text, path));

        f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs("[taskflow]\ngpus = x y\n", f) >= 0);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(settings_load(&s, path, false, false, &error), -EINVAL);
        assert_non_null(strstr(error.text, "taskflow.conf' line 2: gpus: "));

        assert_int_equal(settings_load(&s, folder, false, false, &error), -EISDIR);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(folder), 0);
}

static void test_every_key_has_a_default_that_it_takes(void **state) {
        assert_true(n_settings_keys <= 64);
        for (size_t i = 0; i < n_settings_keys; i++) {
                const SettingsKey *key = &settings_keys[i];
                Settings s = {};
                Error error = {};

                assert_ptr_equal(settings_key_find(key->name, &error), key);
                assert_int_equal(settings_key_set(key, key->standard, &s, &error), 0);
                if (key->personal)
                        assert_int_equal(settings_key_set(key, key->personal, &s, &error), 0);
                assert_non_null(key->help);
                settings_done(&s);
        }
}

static void test_tokens_are_names_with_a_number(_unused_ void **state) {
        Settings s = {};

        assert_int_equal(parse("[taskflow]\ngpus = 0\n[tokens]\nmatlab = 3\nAnsys.hpc-2 = 0\n"
                               "scratch_io=1000000\n",
                               &s, NULL),
                         0);
        assert_int_equal(s.policy.n_tokens, 3);
        assert_string_equal(s.policy.tokens[0].name, "matlab");
        assert_int_equal(s.policy.tokens[0].n, 3);
        assert_string_equal(s.policy.tokens[1].name, "Ansys.hpc-2");
        assert_int_equal(s.policy.tokens[1].n, 0);
        assert_int_equal(s.policy.tokens[2].n, 1000000);
        settings_done(&s);

        assert_refused("[tokens]\nmatlab = 3\n\nmatlab = 2\n",
                       "line 4: 'matlab' is there already, in line 2");
        assert_refused("[tokens]\nmatlab = many\n", "line 2: matlab: ");
        assert_refused("[tokens]\nmatlab = -1\n", "line 2: matlab: ");
        assert_refused("[tokens]\nmatlab =\n", "line 2: ");
        assert_refused("[tokens]\nmatlab = 1000001\n", "line 2: matlab: ");
        assert_refused("[tokens]\n2d = 1\n", "line 2: '2d' is no name of tokens");
        assert_refused("[tokens]\nany = 1\n",
                       "line 2: 'any' is no name of tokens: it means something else");
        assert_refused("[tokens]\na23456789012345678901234567890123 = 1\n", "at most 31 in all");
}

static void test_there_is_an_end_to_tokens(_unused_ void **state) {
        char text[4096] = "[tokens]\n";
        size_t n = strlen(text);
        Settings s = {};

        for (int i = 0; i < TOKENS_MAX; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "t%d = %d\n", i, i);
        assert_int_equal(parse(text, &s, NULL), 0);
        assert_int_equal(s.policy.n_tokens, TOKENS_MAX);
        settings_done(&s);
        (void)snprintf(text + n, sizeof(text) - n, "more = 1\n");
        assert_refused(text, "more than 64 names of tokens");
}

/* With each '#' taken away it says what holds without it. */
static void test_the_example_file_says_the_defaults(void **state) {
        _cleanup_free_ char *have = NULL;
        _cleanup_free_ char *want = NULL;
        size_t n_have = 0;
        size_t n_want = 0;
        Settings defaults = {};
        Settings s = {};
        FILE *f;

        f = open_memstream(&want, &n_want);
        assert_non_null(f);
        assert_int_equal(settings_print_defaults(f), 0);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(fd_read_file(AT_FDCWD, "../../dist/taskflow.conf", &have, &n_have,
                                      1 << 20),
                         0);
        assert_string_equal(have, want);

        for (char *line = want; (line = strstr(line, "\n#")); line++)
                if (line[2] != ' ')
                        line[1] = ' ', memmove(line + 1, line + 2, strlen(line + 1));
        assert_int_equal(parse(want, &s, NULL), 0);
        assert_int_equal(settings_load(&defaults, NULL, false, false, NULL), 0);
        assert_int_equal(s.policy.n_tokens, 1); /* of these there are none by default */
        s.policy.n_tokens = 0;
        s.policy.tokens[0] = (Token){};
        assert_memory_equal(&s.policy, &defaults.policy, sizeof(s.policy));
        assert_string_equal(s.nvml_library, defaults.nvml_library);
        settings_done(&defaults);
        settings_done(&s);
}

/* Each key has a paragraph of its own that begins with its name and default, and there are no others. */
static void test_the_manual_has_the_same_keys_and_defaults(void **state) {
        _cleanup_free_ char *text = NULL;
        unsigned n = 0;
        size_t n_text = 0;

        assert_int_equal(fd_read_file(AT_FDCWD, "../../man/taskflow.conf.5.scd", &text, &n_text,
                                      1 << 20),
                         0);
        for (size_t i = 0; i < n_settings_keys; i++) {
                const SettingsKey *key = &settings_keys[i];
                char heading[128];

                if (key->personal)
                        (void)snprintf(heading, sizeof(heading), "\n*%s* = %s (personal: %s)\n",
                                       key->name, key->standard, key->personal);
                else
                        (void)snprintf(heading, sizeof(heading), "\n*%s* = %s\n", key->name,
                                       key->standard);
                if (!strstr(text, heading))
                        fail_msg("the manual lacks: %s", heading);
        }

        for (const char *at = text; (at = strstr(at, "* = ")); at++)
                n++;
        assert_int_equal(n, n_settings_keys);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_defaults_are_those_of_the_manual),
                cmocka_unit_test(test_the_defaults_are_those_of_the_core),
                cmocka_unit_test(test_a_personal_daemon_has_its_own_defaults),
                cmocka_unit_test(test_a_personal_file_does_not_take_rights_away),
                cmocka_unit_test(test_each_kind_of_value_is_read),
                cmocka_unit_test(test_words_are_kept_as_written),
                cmocka_unit_test(test_a_weight_is_that_of_the_user_else_the_largest_of_its_groups),
                cmocka_unit_test(
                        test_a_limit_is_that_of_the_user_else_the_largest_of_its_groups_else_that_of_all),
                cmocka_unit_test(test_a_bad_value_is_refused_with_what_is_allowed),
                cmocka_unit_test(test_a_bad_value_of_users_or_gpus_is_refused),
                cmocka_unit_test(test_a_text_that_does_not_fit_is_refused),
                cmocka_unit_test(test_too_many_gpus_are_refused),
                cmocka_unit_test(test_an_unknown_key_names_its_neighbour),
                cmocka_unit_test(test_the_form_of_the_file_is_strict),
                cmocka_unit_test(test_comments_and_nothing_are_fine),
                cmocka_unit_test(test_names_become_numbers),
                cmocka_unit_test(test_an_admin_is_one_by_uid_or_any_group),
                cmocka_unit_test(test_who_is_denied_or_not_allowed_is_left_out),
                cmocka_unit_test(test_a_file_may_be_missing_unless_it_is_required),
                cmocka_unit_test(test_every_key_has_a_default_that_it_takes),
                cmocka_unit_test(test_tokens_are_names_with_a_number),
                cmocka_unit_test(test_there_is_an_end_to_tokens),
                cmocka_unit_test(test_the_example_file_says_the_defaults),
                cmocka_unit_test(test_the_manual_has_the_same_keys_and_defaults),
        };

        return cmocka_run_group_tests_name("settings-settings", tests, NULL, NULL);
}
