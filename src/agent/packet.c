/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "agent/packet.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef union Control {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
} Control;

int packet_send(int fd, const void *bytes, size_t n, int passed_fd) {
        struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = n };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
        Control control = { 0 };

        if (passed_fd >= 0) {
                message.msg_control = control.bytes;
                message.msg_controllen = sizeof(control.bytes);
                control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                                   .cmsg_type = SCM_RIGHTS,
                                                   .cmsg_len = CMSG_LEN(sizeof(int)) };
                (void)memcpy(CMSG_DATA(&control.header), &passed_fd, sizeof(passed_fd));
        }
        if (TEMP_FAILURE_RETRY(sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)) >= 0)
                return 0;
        switch (errno) {
        case EAGAIN:
        case ENOBUFS:
        case ENOMEM:
        case ETOOMANYREFS: /* descriptors of ours that nobody has taken yet */
                return PACKET_E_AGAIN;
        default:
                return -errno;
        }
}

ssize_t packet_receive(int fd, void *bytes, size_t n, int flags, int *ret_fd) {
        struct iovec iov = { .iov_base = bytes, .iov_len = n };
        Control control = { 0 };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };
        const struct cmsghdr *header;
        ssize_t received;

        received = TEMP_FAILURE_RETRY(recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC));
        if (received < 0)
                return -errno;
        *ret_fd = -1;
        header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
            header->cmsg_len == CMSG_LEN(sizeof(int)))
                (void)memcpy(ret_fd, CMSG_DATA(header), sizeof(*ret_fd));
        return received;
}
