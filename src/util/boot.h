#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * This run of the machine
 */

enum {
        BOOT_ID_SIZE = 37, /* a UUID in text with its NUL */
};

/**
 * boot_id_read() - the random id that the kernel took when it started
 * @ret:        set to the UUID as text
 *
 * Return: 0, -EBADMSG if the kernel's file is not as expected, or the errno of reading it.
 */
int boot_id_read(char ret[static BOOT_ID_SIZE]);
