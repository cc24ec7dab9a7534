#define _GNU_SOURCE
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUFFER 4096

static void *watch_run(void *argument) {
  struct watch *watch = argument;
  uint8_t *buffer = malloc(BUFFER);
  struct pollfd entries[2] = {{.fd = watch->fd, .events = POLLIN}, {.fd = watch->wake, .events = POLLIN}};
  while (buffer) {
    if (poll(entries, 2, -1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (entries[1].revents) break;
    ssize_t received = watch->receive(watch->fd, buffer, BUFFER);
    if (received > 0)
      watch->deliver(watch->context, buffer, (size_t)received, 0);
    else if (received < 0 && errno != EINTR && errno != EAGAIN) {
      watch->deliver(watch->context, NULL, 0, errno);
      break;
    }
  }
  free(buffer);
  return NULL;
}

int watch_start(struct watch *watch, struct failure *failure) {
  watch->wake = eventfd(0, EFD_CLOEXEC);
  if (watch->wake < 0) return fail(failure, "eventfd");
  int error = pthread_create(&watch->thread, NULL, watch_run, watch);
  if (error != 0) {
    close(watch->wake);
    errno = error;
    return fail(failure, "pthread_create");
  }
  return 0;
}

void watch_stop(struct watch *watch) {
  uint64_t one = 1;
  while (write(watch->wake, &one, sizeof one) < 0 && errno == EINTR) continue;
  pthread_join(watch->thread, NULL);
  close(watch->wake);
}
