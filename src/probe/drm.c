/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "probe/drm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "probe/fields.h"
#include "util/cleanup.h"
#include "util/fd.h"
#include "util/macro.h"

enum {
        NUMBER_TEXT_MAX = 64,
        ENTRIES_MAX = 1024, /* of one folder that are looked at */
};

int drm_parse_number(const char *text, size_t n, unsigned base, uint64_t *ret) {
        const char *p = text, *end = text + n;
        uint64_t value = 0;

        if (end > p && end[-1] == '\n')
                end--;
        if (base == 16 && end - p > 2 && p[0] == '0' && p[1] == 'x')
                p += 2;
        if (p == end)
                return -EBADMSG;

        for (; p < end; p++) {
                static const char digits[] = "0123456789abcdef";
                const char *digit = *p ? memchr(digits, *p, base) : NULL;

                if (!digit)
                        return -EBADMSG;
                if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(digit - digits), &value))
                        return -ERANGE;
        }
        *ret = value;
        return 0;
}

int drm_read_number(int dir_fd, const char *path, unsigned base, uint64_t *ret) {
        char text[NUMBER_TEXT_MAX];
        ssize_t n;

        n = fields_read(dir_fd, path, text, sizeof(text));
        if (n < 0)
                return (int)n;
        return drm_parse_number(text, (size_t)n, base, ret);
}

bool drm_read_text(int dir_fd, const char *path, char *buf, size_t n) {
        ssize_t n_read;
        size_t n_line;

        n_read = fields_read(dir_fd, path, buf, n - 1);
        if (n_read < 0)
                return false;
        buf[n_read] = '\0';
        n_line = strcspn(buf, "\n");
        (void)memset(buf + n_line, '\0', n - n_line);
        for (char *p = buf; *p; p++)
                if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
                        *p = '?';
        return buf[0] != '\0';
}

/* Hexadecimal digits, at most so many, and @stop behind them. */
static const char *get_hex(const char *p, size_t n_max, char stop, unsigned *ret) {
        size_t n = strspn(p, "0123456789abcdef");
        uint64_t value;

        if (n == 0 || n > n_max || p[n] != stop || drm_parse_number(p, n, 16, &value) < 0)
                return NULL;
        *ret = (unsigned)value;
        return p + n + (stop != '\0');
}

bool drm_parse_address(const char *text, PciAddress *ret) {
        const char *p = text;

        p = get_hex(p, 8, ':', &ret->domain);
        p = p ? get_hex(p, 2, ':', &ret->bus) : NULL;
        p = p ? get_hex(p, 2, '.', &ret->device) : NULL;
        p = p ? get_hex(p, 1, '\0', &ret->function) : NULL;
        return p && ret->device < 32 && ret->function < 8;
}

int drm_compare_addresses(const PciAddress *a, const PciAddress *b) {
        const unsigned as[] = { a->domain, a->bus, a->device, a->function };
        const unsigned bs[] = { b->domain, b->bus, b->device, b->function };

        for (size_t i = 0; i < ELEMENTSOF(as); i++)
                if (as[i] != bs[i])
                        return as[i] < bs[i] ? -1 : 1;
        return 0;
}

void drm_format_uuid(const PciAddress *address, char buf[static GPU_UUID_MAX]) {
        (void)memset(buf, '\0', GPU_UUID_MAX);
        (void)snprintf(buf, GPU_UUID_MAX, "PCI-%04x.%02x.%02x.%x", address->domain, address->bus,
                       address->device, address->function);
}

/* What a link ends in. */
static bool read_link_name(int dir_fd, const char *path, char *buf, size_t n_buf) {
        char link[PATH_MAX];
        const char *name;
        ssize_t n;

        n = readlinkat(dir_fd, path, link, sizeof(link) - 1);
        if (n <= 0)
                return false;
        link[n] = '\0';
        name = strrchr(link, '/');
        name = name ? name + 1 : link;
        if (strlen(name) >= n_buf)
                return false;
        (void)memcpy(buf, name, strlen(name) + 1);
        return true;
}

static bool is_known(const char *driver, const char *const *drivers) {
        for (; *drivers; drivers++)
                if (strcmp(driver, *drivers) == 0)
                        return true;
        return false;
}

/* `card0`, not `card0-DP-1`, which is a plug of it. */
static bool is_card(const char *name) {
        return strncmp(name, "card", 4) == 0 && name[4] != '\0' &&
               name[4 + strspn(name + 4, "0123456789")] == '\0';
}

static int open_card(int drm_fd,
                     const char *name,
                     unsigned vendor,
                     const char *const *drivers,
                     DrmCard *ret) {
        char path[NAME_MAX + sizeof("/device")];
        char address[DRM_ADDRESS_MAX];
        char driver[32];
        uint64_t number;
        int fd;

        (void)snprintf(path, sizeof(path), "%s/device", name);
        if (!read_link_name(drm_fd, path, address, sizeof(address)) ||
            !drm_parse_address(address, &ret->address))
                return -ENODEV;
        fd = openat(drm_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        if (drm_read_number(fd, "vendor", 16, &number) < 0 || number != vendor ||
            !read_link_name(fd, "driver", driver, sizeof(driver)) || !is_known(driver, drivers)) {
                (void)fd_close(fd);
                return -ENODEV;
        }
        ret->device = drm_read_number(fd, "device", 16, &number) < 0 ? 0 : (unsigned)number;
        ret->fd = fd;
        return 0;
}

/* Takes the card. */
static void add_card(DrmCards *cards, const DrmCard *card) {
        unsigned at = cards->n;

        while (at > 0 && drm_compare_addresses(&cards->cards[at - 1].address, &card->address) > 0)
                at--;
        if (cards->n == ELEMENTSOF(cards->cards) ||
            (at > 0 && drm_compare_addresses(&cards->cards[at - 1].address, &card->address) == 0)) {
                (void)fd_close(card->fd);
                return;
        }
        (void)memmove(&cards->cards[at + 1], &cards->cards[at],
                      (cards->n - at) * sizeof(cards->cards[0]));
        cards->cards[at] = *card;
        cards->n++;
}

int drm_cards_open(int sysfs_fd, unsigned vendor, const char *const *drivers, DrmCards *ret) {
        unsigned n_entries = 0;
        struct dirent *entry;
        DIR *dir;
        int fd;

        ret->n = 0;
        fd = openat(sysfs_fd, "class/drm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        dir = fdopendir(fd);
        if (!dir) {
                (void)fd_close(fd);
                return -ENOMEM;
        }

        while (n_entries++ < ENTRIES_MAX && (entry = readdir(dir))) {
                DrmCard card = { .fd = -1 };

                if (is_card(entry->d_name) &&
                    open_card(dirfd(dir), entry->d_name, vendor, drivers, &card) == 0)
                        add_card(ret, &card);
        }
        (void)closedir(dir);
        return 0;
}

int drm_open(const char *sysfs, unsigned vendor, const char *const *drivers) {
        _cleanup_(drm_cards_close) DrmCards cards = {};
        _cleanup_close_ int sysfs_fd = -1;

        sysfs_fd = open(sysfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (sysfs_fd < 0 || drm_cards_open(sysfs_fd, vendor, drivers, &cards) < 0 || cards.n == 0)
                return -1;
        return TAKE_FD(sysfs_fd);
}

void drm_cards_close(DrmCards *cards) {
        for (unsigned i = 0; i < cards->n; i++)
                (void)fd_close(cards->cards[i].fd);
        cards->n = 0;
}
