#pragma once

/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Process trees
 *
 * Which processes belong to a task, and what RAM they hold. A task's tree is its runner's
 * descendants (the runner is a subreaper, so that what left its session stays a descendant),
 * without the runner itself; only processes owned by the task's user count.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What we need of /proc/PID/stat. */
typedef struct TreeStat {
        char state; /* `Z`: a zombie */
        pid_t parent;
        unsigned n_threads;
} TreeStat;

typedef enum TreeMethod {
        TREE_METHOD_CGROUP, /* memory.stat anon + shmem + kernel of the task's own cgroup */
        TREE_METHOD_PSS,    /* sum of Pss_Anon + Pss_Shmem */
        TREE_METHOD_RSS,    /* sum of RssAnon + the largest RssShmem */
} TreeMethod;

typedef struct TreeUse {
        uint64_t
                memory_bytes; /* what MemAvailable loses by it (decisions.md 1): never file pages */
        TreeMethod method;
        size_t n_processes;
} TreeUse;

/**
 * tree_pids() - all living descendants of a process, zombies left out
 * @proc_fd:    of /proc
 * @root:       not in the result
 * @uid:        only processes of this user
 * @ret:        to be freed with free(); NULL if there are none
 *
 * Return: how many, or negative errno.
 */
ssize_t tree_pids(int proc_fd, pid_t root, uid_t uid, pid_t **ret);

/**
 * tree_measure() - RAM of all descendants of @root
 * @budget_us:  PSS costs about 4 ms a GiB: when this much time is used up the rest is counted by
 *              RSS, and so is a process that alone would take more than what is left
 *
 * A process that ends meanwhile is passed over.
 *
 * Return: 0, -ESRCH if there are none, or negative errno.
 */
int tree_measure(int proc_fd, pid_t root, uid_t uid, uint64_t budget_us, TreeUse *ret);

/**
 * tree_measure_many() - the same of several processes, by one reading of /proc
 * @budget_us:  for all of them together
 * @ret:        one for each root; n_processes is 0 where there are none
 *
 * Return: 0, or negative errno.
 */
int tree_measure_many(int proc_fd,
                      const pid_t *roots,
                      size_t n_roots,
                      uid_t uid,
                      uint64_t budget_us,
                      TreeUse *ret);

/**
 * tree_measure_cgroup() - RAM of processes that have a cgroup to themselves
 * @cgroup_fd:  of /sys/fs/cgroup
 * @root:       the runner; a group that it is in too is not the task's own
 * @pids:       all of the task; sorted by this
 * @n_pids:     at least 1
 *
 * What tree_measure() tries first. Groups of v2 alone.
 *
 * Return: 0, or -ENODATA if there is no such group or memory is not counted there.
 */
int tree_measure_cgroup(int proc_fd,
                        int cgroup_fd,
                        pid_t root,
                        pid_t *pids,
                        size_t n_pids,
                        TreeUse *ret);

/* Whether task @task_id's runner or command is @pid: asked for each ancestor of a process. */
typedef uint64_t (*tree_owner_fn)(pid_t pid, void *userdata);

/**
 * tree_find_owner() - the task that a process belongs to
 * @owner:      returns a task id or 0
 * @ret_uid:    may be NULL: the owner of the process
 *
 * Walks from @pid up through its parents (at most 1024).
 *
 * Return: the task id; 0 if it belongs to none or is gone.
 */
uint64_t tree_find_owner(int proc_fd,
                         pid_t pid,
                         tree_owner_fn owner,
                         void *userdata,
                         uid_t *ret_uid);

/**
 * tree_parse_stat() - find state, parent and threads in the text of /proc/PID/stat
 * @text:       borrowed; needs no NUL; the name in it may hold anything, also `) R 1`
 * @n:          number of bytes
 * @ret:        set on success
 *
 * Return: 0, or -EBADMSG if it is no such text.
 */
int tree_parse_stat(const char *text, size_t n, TreeStat *ret);
