/*
 * Netlink sockets: opening, batches with their answers, multicast watches.
 * Knows descriptors, bytes and the frame of a message, never its meaning.
 */
#ifndef MESH_NETLINK_SOCKET_H
#define MESH_NETLINK_SOCKET_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"

/* Opens a socket of `protocol` (NETLINK_*) in the calling thread's namespace; -1 and `failure` on error. */
int netlink_open(int protocol, struct failure *failure);

/* Joins a multicast group (RTNLGRP_*); 0, or -1 and `failure`. */
int netlink_join(int fd, uint32_t group, struct failure *failure);

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

/* Reads one datagram of the kernel's; those of others count as nothing. */
ssize_t netlink_receive(int fd, uint8_t *buffer, size_t size);

/* Runs an exchange on the calling thread; fills replies and failure. Blocks at most until the deadline. */
void netlink_exchange(struct exchange *exchange);

int64_t monotonic_ms(void);

/* A thread that reads a descriptor. `deliver` is called on it with bytes, or with length 0 and an errno. */
struct watch {
  int fd;
  int wake; /* eventfd that ends the thread */
  pthread_t thread;
  /* Reads what there is without waiting: netlink_receive, process_receive. -1 and errno, EAGAIN for nothing. */
  ssize_t (*receive)(int fd, uint8_t *buffer, size_t size);
  void (*deliver)(void *context, const uint8_t *bytes, size_t length, int errnum);
  void *context;
};

/* 0, or -1 and `failure`. */
int watch_start(struct watch *watch, struct failure *failure);
/* Ends the thread and waits for it; `deliver` is not called afterwards. */
void watch_stop(struct watch *watch);

#endif
