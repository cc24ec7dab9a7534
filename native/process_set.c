#define _GNU_SOURCE
#include "process_set.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EVENTS 64

/* Not in every libc's headers; the same number on every architecture. */
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

int process_set_open(struct failure *failure) {
  int set = epoll_create1(EPOLL_CLOEXEC);
  return set < 0 ? fail(failure, "epoll_create1") : set;
}

int process_set_add(int set, int pid, uint32_t id, struct failure *failure) {
  int process = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec always */
  if (process < 0) return fail(failure, "pidfd_open");
  struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = id};
  if (epoll_ctl(set, EPOLL_CTL_ADD, process, &event) == 0) return process;
  fail(failure, "epoll_ctl");
  close(process);
  return -1;
}

ssize_t process_receive(int set, uint8_t *buffer, size_t size) {
  struct epoll_event events[EVENTS];
  int most = size / sizeof(uint32_t) < EVENTS ? (int)(size / sizeof(uint32_t)) : EVENTS;
  int count = epoll_wait(set, events, most, 0);
  if (count < 0) return -1;
  for (int i = 0; i < count; i++) memcpy(buffer + i * sizeof(uint32_t), &events[i].data.u32, sizeof(uint32_t));
  return (ssize_t)(count * sizeof(uint32_t));
}
