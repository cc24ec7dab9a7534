#define _GNU_SOURCE
#include "netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#define OWN_NAMESPACE "/proc/thread-self/ns/net"

int netns_enter(const char *path, int fd, struct failure *failure) {
  if (!path && fd < 0) return -2;
  int former = open(OWN_NAMESPACE, O_RDONLY | O_CLOEXEC);
  if (former < 0) return fail(failure, "open");
  int target = path ? open(path, O_RDONLY | O_CLOEXEC) : fd;
  if (target < 0) {
    fail(failure, "open");
    close(former);
    return -1;
  }
  int entered = setns(target, CLONE_NEWNET);
  if (entered != 0) fail(failure, "setns");
  if (path) close(target);
  if (entered != 0) {
    close(former);
    return -1;
  }
  return former;
}

void netns_leave(int former) {
  if (former < 0) return;
  if (setns(former, CLONE_NEWNET) != 0) {
    fprintf(stderr, "mesh: cannot return to the former network namespace: %s\n", strerror(errno));
    abort();
  }
  close(former);
}

static int is_namespace(const char *path) {
  struct statfs status;
  return statfs(path, &status) == 0 && status.f_type == NSFS_MAGIC;
}

struct creation {
  const char *path;
  struct failure failure;
};

/* On a thread of its own, so that no other code ever sees the new namespace as its own. */
static void *create_run(void *argument) {
  struct creation *creation = argument;
  if (unshare(CLONE_NEWNET) != 0)
    fail(&creation->failure, "unshare");
  else if (mount(OWN_NAMESPACE, creation->path, "none", MS_BIND, NULL) != 0)
    fail(&creation->failure, "mount");
  return NULL;
}

int netns_create(const char *path, struct failure *failure) {
  /* A plain file is what a crash between open and mount leaves; it is used again. */
  int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);
  if (fd < 0) return fail(failure, "open");
  close(fd);
  if (is_namespace(path)) {
    errno = EEXIST;
    return fail(failure, "mount");
  }
  struct creation creation = {.path = path};
  pthread_t thread;
  int error = pthread_create(&thread, NULL, create_run, &creation);
  if (error != 0) {
    errno = error;
    return fail(failure, "pthread_create");
  }
  pthread_join(thread, NULL);
  if (creation.failure.errnum != 0) {
    unlink(path);
    *failure = creation.failure;
    return -1;
  }
  return 0;
}

int netns_remove(const char *path, struct failure *failure) {
  /* Several mounts may lie on one another, made before and after a mount namespace was copied. */
  for (int depth = 0; depth < 16 && is_namespace(path); depth++)
    if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) != 0) return fail(failure, "umount2");
  if (unlink(path) != 0) return fail(failure, "unlink");
  return 0;
}

int socket_open(int stream, const char *address, uint16_t port, struct failure *failure) {
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  int is_six = address && inet_pton(AF_INET6, address, &six.sin6_addr) == 1;
  if (address && !is_six && inet_pton(AF_INET, address, &four.sin_addr) != 1) {
    errno = EINVAL;
    return fail(failure, "inet_pton");
  }
  int type = (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  int fd = socket(is_six ? AF_INET6 : AF_INET, type, 0);
  if (fd < 0) return fail(failure, "socket");
  if (!address) return fd;
  int one = 1;
  if (stream) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  /* Bursts of datagrams wait while JavaScript is busy; where the kernel refuses it, fewer do. */
  int size = 4 << 20;
  if (!stream) setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  const struct sockaddr *name = is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four;
  if (bind(fd, name, is_six ? sizeof six : sizeof four) != 0) {
    fail(failure, "bind");
    close(fd);
    return -1;
  }
  return fd;
}
