/*
 * Network namespaces: entering for the length of one call, making, removing, and
 * sockets that stay behind in them.
 */
#ifndef MESH_NETNS_H
#define MESH_NETNS_H

#include "netlink_socket.h"

/*
 * Moves the calling thread into the namespace at `path` (NULL or the descriptor `fd` if
 * that is >= 0; neither: stays). Returns what netns_leave takes: a descriptor of the
 * former namespace, -2 when nothing was changed, or -1 and `failure`.
 */
int netns_enter(const char *path, int fd, struct failure *failure);

/* Back to the former namespace. Aborts the process when the kernel refuses: going on
   in a wrong namespace would programme somebody else's network. */
void netns_leave(int former);

/* Makes a namespace that lives at `path` until removed; 0, or -1 and `failure`. EEXIST: one is there. */
int netns_create(const char *path, struct failure *failure);

/* Unmounts and unlinks; 0, or -1 and `failure`. */
int netns_remove(const char *path, struct failure *failure);

/*
 * Opens a socket in the calling thread's namespace: `stream` TCP, else UDP. Bound to
 * address:port when `address` (IPv4 or IPv6 text) is not NULL.
 */
int socket_open(int stream, const char *address, uint16_t port, struct failure *failure);

#endif
