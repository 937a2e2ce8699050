/* SPDX-License-Identifier: GPL-3.0-or-later */

#include "util/signal-default.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* At least as long as the kernel's struct sigaction, and its handler, flags and mask are zero for the default. */
typedef struct KernelAction {
        unsigned long words[8];
} KernelAction;

void signal_default_all(void) {
        static const KernelAction standard;

        for (int i = 1; i < _NSIG; i++)
                (void)syscall(SYS_rt_sigaction, i, &standard, NULL, (size_t)(_NSIG / 8));
}
