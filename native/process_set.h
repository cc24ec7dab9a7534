/*
 * Processes whose ends are to be told: an epoll descriptor that holds a pidfd for each.
 */
#ifndef MESH_PROCESS_SET_H
#define MESH_PROCESS_SET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"

/* An empty set; a descriptor, or -1 and `failure`. */
int process_set_open(struct failure *failure);

/*
 * Adds a process of the calling thread's PID namespace; `id` is how its end will be told, once.
 * A descriptor that keeps it in the set until it is closed, or -1 and `failure`: ESRCH when
 * there is no such process, ENOSYS before Linux 5.3.
 */
int process_set_add(int set, int pid, uint32_t id, struct failure *failure);

/* For `struct watch`: the ids of processes that have ended, as native uint32_t one after the other. */
ssize_t process_receive(int set, uint8_t *buffer, size_t size);

#endif
