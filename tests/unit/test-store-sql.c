/* SPDX-License-Identifier: GPL-3.0-or-later */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "store/database.h"
#include "store/db.h"
#include "store/sql.h"

#include "check.h"
#include "store-fixture.h"

static sqlite3 *memory_database(void) {
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
        for (unsigned i = 0; i < STORE_SCHEMA_VERSION; i++) {
                assert_int_equal(sqlite3_exec(db, sql_migrations[i], NULL, NULL, NULL), SQLITE_OK);
                assert_int_equal(sqlite3_exec(db, sql_set_version[i], NULL, NULL, NULL), SQLITE_OK);
        }
        return db;
}

static void test_every_statement_has_a_text(void **state) {
        for (unsigned i = 0; i < N_SQL; i++)
                assert_non_null(sql_statements[i]);
}

/*
 * With a million tasks a statement that walks through all of them holds up the loop. Those that do must: what is
 * active at the start, and the two that read a damaged file.
 */
static bool may_scan(unsigned i) {
        return i == SQL_TASKS_ACTIVE || i == SQL_TASKS_UP || i == SQL_TASKS_DOWN ||
               i == SQL_TASKS_UP_1 || i == SQL_TASKS_DOWN_1 || i == SQL_TASKS_UP_2 ||
               i == SQL_TASKS_DOWN_2;
}

static void check_plan(unsigned i, const char *step) {
        if (strstr(step, "TEMP B-TREE") && i != SQL_GPUS)
                fail_msg("%s: %s", sql_statements[i], step);
        if (strncmp(step, "SCAN task", 9) != 0)
                return;
        if (!may_scan(i) || (i == SQL_TASKS_ACTIVE && !strstr(step, "task_active")))
                fail_msg("%s: %s", sql_statements[i], step);
}

static void test_no_statement_walks_through_all_tasks(void **state) {
        sqlite3 *db = memory_database();

        for (unsigned i = 0; i < N_SQL; i++) {
                sqlite3_stmt *statement = NULL;
                char sql[4096];

                assert_true((size_t)snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s",
                                             sql_statements[i]) < sizeof(sql));
                assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
                while (sqlite3_step(statement) == SQLITE_ROW)
                        check_plan(i, (const char *)sqlite3_column_text(statement, 3));
                (void)sqlite3_finalize(statement);
        }
        (void)sqlite3_close(db);
}

/* Tables that take anything would hide a bug in what we bind. */
static void test_every_table_is_strict(void **state) {
        sqlite3 *db = memory_database();
        sqlite3_stmt *statement = NULL;
        unsigned n = 0;

        assert_int_equal(sqlite3_prepare_v2(db,
                                            "SELECT name, strict FROM pragma_table_list "
                                            "WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'",
                                            -1, &statement, NULL),
                         SQLITE_OK);
        for (; sqlite3_step(statement) == SQLITE_ROW; n++)
                assert_int_equal(sqlite3_column_int(statement, 1), 1);
        assert_int_equal(n, 8);
        (void)sqlite3_finalize(statement);
        (void)sqlite3_close(db);
}

static int open_database(const Folder *folder, Database *ret, Error *error) {
        int dir_fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        assert_true(dir_fd >= 0);
        r = database_open(ret, &database_tasks, dir_fd, in_folder(folder, DATABASE_FILE), true,
                          error);
        (void)close(dir_fd);
        return r;
}

/* Step by step from the empty database, which is version 0. */
static void test_an_older_database_is_brought_up_to_this_version(void **state) {
        const Folder *folder = *state;
        Database database;
        Error error;

        assert_int_equal(open_database(folder, &database, &error), 0);
        assert_true(database.is_new);
        db_done(&database.db);
        assert_int_equal(ask(folder, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
        assert_int_equal(ask(folder, "PRAGMA application_id"), SQL_APPLICATION_ID);

        assert_int_equal(open_database(folder, &database, &error), 0);
        assert_false(database.is_new);
        db_done(&database.db);
}

static void test_codes_become_errno(void **state) {
        assert_int_equal(db_errno(NULL, SQLITE_OK), 0);
        assert_int_equal(db_errno(NULL, SQLITE_ROW), 0);
        assert_int_equal(db_errno(NULL, SQLITE_DONE), 0);
        assert_int_equal(db_errno(NULL, SQLITE_FULL), -ENOSPC);
        assert_int_equal(db_errno(NULL, SQLITE_CORRUPT), -EUCLEAN);
        assert_int_equal(db_errno(NULL, SQLITE_CORRUPT_INDEX), -EUCLEAN);
        assert_int_equal(db_errno(NULL, SQLITE_NOTADB), -EUCLEAN);
        assert_int_equal(db_errno(NULL, SQLITE_IOERR_READ), -EIO);
        assert_int_equal(db_errno(NULL, SQLITE_IOERR_NOMEM), -ENOMEM);
        assert_int_equal(db_errno(NULL, SQLITE_BUSY), -EBUSY);
        assert_int_equal(db_errno(NULL, SQLITE_READONLY_DBMOVED), -EROFS);
        assert_int_equal(db_errno(NULL, SQLITE_CONSTRAINT_UNIQUE), -EEXIST);
        assert_int_equal(db_errno(NULL, SQLITE_CONSTRAINT_DATATYPE), -EINVAL);
        for (int code = 1; code < 100; code++)
                assert_true(db_errno(NULL, code) <= 0);
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_statement_has_a_text),
                cmocka_unit_test(test_no_statement_walks_through_all_tasks),
                cmocka_unit_test(test_every_table_is_strict),
                cmocka_unit_test(test_codes_become_errno),
                store_test(test_an_older_database_is_brought_up_to_this_version),
        };

        return cmocka_run_group_tests_name("store-sql", tests, NULL, NULL);
}
