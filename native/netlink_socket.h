/*
 * Netlink sockets: opening, batches with their answers, what multicast tells.
 * Knows descriptors, bytes and the frame of a message, never its meaning.
 */
#ifndef MESH_NETLINK_SOCKET_H
#define MESH_NETLINK_SOCKET_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

/* Opens a socket of `protocol` (NETLINK_*) in the calling thread's namespace; -1 and `failure` on error. */
int netlink_open(int protocol, struct failure *failure);

/* Joins a multicast group (RTNLGRP_*); 0, or -1 and `failure`. */
int netlink_join(int fd, uint32_t group, struct failure *failure);

/* Has multicast messages come from all namespaces that have a number in the socket's own; 0, or -1 and `failure`. */
int netlink_hear_all(int fd, struct failure *failure);

/* What is kept of a multicast message. */
struct heard {
  int32_t namespace_id; /* -1: of the socket's own namespace */
  uint32_t type;
  uint32_t index; /* second word of the payload: the link's index in messages of links, addresses and neighbours */
};

/* All that was heard since the last time. */
struct drained {
  struct heard *heard; /* malloc'd */
  size_t count, capacity;
  int lost; /* whether there was more, which the kernel had no room for */
};

/* Empties the socket without waiting; 0, or -1 and `failure`. */
int netlink_drain(int fd, struct drained *drained, struct failure *failure);

/* One exchange: messages out, answers in. */
struct exchange {
  int fd;
  uint8_t *request;
  size_t request_length;
  int one_by_one; /* send each message alone and await its end: several dumps in a row */
  int64_t deadline; /* milliseconds of CLOCK_MONOTONIC */
  uint8_t *replies; /* malloc'd; all answers to our sequence numbers, one after the other */
  size_t replies_length;
  size_t replies_capacity;
  struct failure failure;
};

/* Runs an exchange on the calling thread; fills replies and failure. Blocks at most until the deadline. */
void netlink_exchange(struct exchange *exchange);

int64_t monotonic_ms(void);

#endif
