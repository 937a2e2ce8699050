#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * The GPU probe
 *
 * A child of taskflowd that opens the drivers and answers each byte on its stdin with one report on
 * its stdout. What it sends is checked before anyone sees it: sizes, counts, states, ends of
 * strings, free <= total, UUIDs of [A-Za-z0-9./-] alone and none twice.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/gpu-vendor.h"
#include "util/macro.h"

typedef struct GpuProcessHandle {
        pid_t pid;
        int pid_fd;     /* readable when it has ended */
        int request_fd; /* one byte asks for a look */
        int report_fd;  /* non-blocking; readable when something came */
        char *buffer;   /* a report that is not complete yet */
        size_t n_buffer;
        int wait_status; /* as from waitpid(), once reaped */
} GpuProcessHandle;

/* Nothing started: what a handle is before gpu_process_start() and after gpu_process_reap(). */
#define GPU_PROCESS_HANDLE_NULL \
        ((GpuProcessHandle){ .pid_fd = -1, .request_fd = -1, .report_fd = -1 })

/**
 * gpu_process_start() - exec ourselves as the probe
 * @program:    path of taskflowd ("/proc/self/exe" works)
 * @sources:    for the vendors
 *
 * The child gets a clean start: default signals, nothing open but its pipes and stderr, the
 * environment of the daemon (LD_LIBRARY_PATH is how tests bring their own library); it ends when
 * its stdin ends.
 *
 * Return: 0, or negative errno.
 */
int gpu_process_start(GpuProcessHandle *ret, const char *program, const GpuSources *sources);

/*
 * Closes the pipes, kills it if it still runs, frees the buffer; does NOT reap it: pid and pid_fd
 * stay until gpu_process_reap().
 */
void gpu_process_stop(GpuProcessHandle *handle);

/*
 * True, with everything closed, if it has ended and was reaped; false if it is still there (a
 * driver call in D state), or if its end is its tracer's yet, although pid_fd is readable.
 */
bool gpu_process_reap(GpuProcessHandle *handle);

/* Asks for a look. Return: 0, or negative errno. */
int gpu_process_ask(GpuProcessHandle *handle);

/* gpu_process_receive() */
enum {
        GPU_PROCESS_E_AGAIN = 1, /* the report is not complete yet */
        GPU_PROCESS_E_GONE,      /* it has ended */
        GPU_PROCESS_E_BAD,       /* what it sent makes no sense: stop it */
};

/**
 * gpu_process_receive() - read what came
 * @ret:        one whole checked report; to be freed with free()
 */
int gpu_process_receive(GpuProcessHandle *handle, GpuReport **ret);

/* Checks a report as it came over the pipe (n_bytes of it). Return: 0, or GPU_PROCESS_E_BAD. */
int gpu_report_check(const void *bytes, size_t n_bytes);

/*
 * The probe itself: what taskflowd runs when its first argument is GPU_PROCESS_ARGUMENT, with
 * GPU_PROCESS_ARGC arguments in all. Returns an exit status.
 */
#define GPU_PROCESS_ARGUMENT "--gpu-probe"
#define GPU_PROCESS_ARGC     3
int gpu_process_main(char *const *argv);
