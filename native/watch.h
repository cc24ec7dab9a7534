/*
 * A thread that reads a descriptor whenever there is something.
 */
#ifndef MESH_WATCH_H
#define MESH_WATCH_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"

/* `deliver` is called on the thread with bytes, or with length 0 and an errno when it has come to its end. */
struct watch {
  int fd;
  int wake; /* eventfd that ends the thread */
  pthread_t thread;
  /* Reads what there is without waiting; -1 and errno, EAGAIN for nothing. */
  ssize_t (*receive)(int fd, uint8_t *buffer, size_t size);
  void (*deliver)(void *context, const uint8_t *bytes, size_t length, int errnum);
  void *context;
};

/* 0, or -1 and `failure`. */
int watch_start(struct watch *watch, struct failure *failure);
/* Ends the thread and waits for it; `deliver` is not called afterwards. */
void watch_stop(struct watch *watch);

#endif
