#define _GNU_SOURCE
#include "netlink_socket.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Not in every libc's headers. */
#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif
#ifndef NETLINK_GET_STRICT_CHK
#define NETLINK_GET_STRICT_CHK 12
#endif

/* Answers to a batch wait here until read; the kernel doubles the figure for its own bookkeeping. */
#define RECEIVE_BUFFER (4 << 20)
#define SEND_BUFFER (1 << 20)
/* The kernel never makes a dump part larger than 32 KiB; one answer to a get may be somewhat larger. */
#define CHUNK (64 << 10)

int64_t monotonic_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The privileged option where we may, the bounded one where not. */
static void set_buffer(int fd, int force, int plain, int size) {
  if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof size) != 0)
    setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

int netlink_open(int protocol, struct failure *failure) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0) return fail(failure, "socket");
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    fail(failure, "bind");
    close(fd);
    return -1;
  }
  int one = 1;
  /* Older kernels lack some of these; all is readable without them, with less detail. */
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof one);
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER);
  return fd;
}

int netlink_join(int fd, uint32_t group, struct failure *failure) {
  if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
    return fail(failure, "setsockopt");
  return 0;
}

int netlink_hear_all(int fd, struct failure *failure) {
  int one = 1;
  if (setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &one, sizeof one) != 0)
    return fail(failure, "setsockopt");
  return 0;
}

static int reserve(struct exchange *exchange) {
  if (exchange->replies_capacity - exchange->replies_length >= CHUNK) return 0;
  size_t capacity = exchange->replies_capacity ? exchange->replies_capacity * 2 : 2 * CHUNK;
  uint8_t *larger = realloc(exchange->replies, capacity);
  if (!larger) {
    errno = ENOMEM;
    return -1;
  }
  exchange->replies = larger;
  exchange->replies_capacity = capacity;
  return 0;
}

/*
 * Looks through one datagram at `bytes`: keeps the messages numbered first…last by moving
 * them together, says in `done` whether the end of the last one is among them. Returns the
 * number of bytes kept. Messages of an earlier, abandoned exchange are dropped so.
 */
static size_t keep_ours(uint8_t *bytes, size_t length, uint32_t first, uint32_t last, int *done) {
  size_t kept = 0, offset = 0;
  while (offset + NLMSG_HDRLEN <= length) {
    struct nlmsghdr header;
    memcpy(&header, bytes + offset, sizeof header);
    if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > length - offset) break;
    size_t size = NLMSG_ALIGN(header.nlmsg_len);
    if (size > length - offset) size = length - offset;
    if (header.nlmsg_seq - first <= last - first) { /* unsigned: numbers may wrap */
      memmove(bytes + kept, bytes + offset, size);
      kept += size;
      if (header.nlmsg_seq == last &&
          (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE))
        *done = 1;
    }
    offset += size;
  }
  return kept;
}

static int await(int fd, short events, int64_t deadline) {
  for (;;) {
    int64_t left = deadline - monotonic_ms();
    struct pollfd entry = {.fd = fd, .events = events};
    int ready = left > 0 ? poll(&entry, 1, left > 60000 ? 60000 : (int)left) : 0;
    if (ready > 0) return 0;
    if (ready < 0 && errno != EINTR) return -1;
    if (monotonic_ms() >= deadline) {
      errno = ETIMEDOUT;
      return -1;
    }
  }
}

static int send_all(struct exchange *exchange, const uint8_t *bytes, size_t length) {
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  for (;;) {
    ssize_t sent =
        sendto(exchange->fd, bytes, length, 0, (struct sockaddr *)&kernel, sizeof kernel);
    if (sent >= 0) return 0;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return fail(&exchange->failure, "sendto");
    if (await(exchange->fd, POLLOUT, exchange->deadline) != 0) return fail(&exchange->failure, "poll");
  }
}

static int receive_until(struct exchange *exchange, uint32_t first, uint32_t last) {
  int done = 0, overrun = 0;
  while (!done) {
    if (reserve(exchange) != 0) return fail(&exchange->failure, "realloc");
    uint8_t *tail = exchange->replies + exchange->replies_length;
    struct sockaddr_nl sender = {0};
    struct iovec vector = {.iov_base = tail, .iov_len = CHUNK};
    struct msghdr message = {
        .msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &vector, .msg_iovlen = 1};
    ssize_t received = recvmsg(exchange->fd, &message, 0);
    if (received < 0) {
      if (errno == EINTR) continue;
      if (errno == ENOBUFS) { /* answers were lost; what is left is still worth reading */
        overrun = 1;
        continue;
      }
      if (errno != EAGAIN) return fail(&exchange->failure, "recvmsg");
      if (overrun) {
        errno = ENOBUFS;
        return fail(&exchange->failure, "recvmsg");
      }
      if (await(exchange->fd, POLLIN, exchange->deadline) != 0) return fail(&exchange->failure, "poll");
      continue;
    }
    if (sender.nl_pid != 0) continue; /* only the kernel is believed */
    if (message.msg_flags & MSG_TRUNC) {
      errno = EMSGSIZE;
      return fail(&exchange->failure, "recvmsg");
    }
    exchange->replies_length += keep_ours(tail, (size_t)received, first, last, &done);
  }
  if (overrun) {
    errno = ENOBUFS;
    return fail(&exchange->failure, "recvmsg");
  }
  return 0;
}

void netlink_exchange(struct exchange *exchange) {
  size_t start = 0, offset = 0;
  uint32_t first = 0;
  while (offset + NLMSG_HDRLEN <= exchange->request_length) {
    struct nlmsghdr header;
    memcpy(&header, exchange->request + offset, sizeof header);
    if (offset == start) first = header.nlmsg_seq;
    size_t left = exchange->request_length - offset;
    if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > left) {
      errno = EINVAL;
      fail(&exchange->failure, "sendto");
      return;
    }
    size_t size = NLMSG_ALIGN(header.nlmsg_len);
    offset += size < left ? size : left;
    if (!exchange->one_by_one && offset < exchange->request_length) continue;
    if (send_all(exchange, exchange->request + start, offset - start) != 0) return;
    if (receive_until(exchange, first, header.nlmsg_seq) != 0) return;
    start = offset;
  }
}

static int keep_heard(struct drained *drained, const struct heard *heard) {
  if (drained->count == drained->capacity) {
    size_t capacity = drained->capacity ? drained->capacity * 2 : 64;
    struct heard *larger = realloc(drained->heard, capacity * sizeof *larger);
    if (!larger) {
      errno = ENOMEM;
      return -1;
    }
    drained->heard = larger;
    drained->capacity = capacity;
  }
  drained->heard[drained->count++] = *heard;
  return 0;
}

/* The namespace's number comes beside the message, where it is not the socket's own. */
static int32_t namespace_of(struct msghdr *message) {
  int32_t id = -1;
  for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each; each = CMSG_NXTHDR(message, each))
    if (each->cmsg_level == SOL_NETLINK && each->cmsg_type == NETLINK_LISTEN_ALL_NSID)
      memcpy(&id, CMSG_DATA(each), sizeof id);
  return id;
}

static int hear(struct drained *drained, int32_t namespace_id, const uint8_t *bytes, size_t length) {
  for (size_t offset = 0; offset + NLMSG_HDRLEN <= length;) {
    struct nlmsghdr header;
    memcpy(&header, bytes + offset, sizeof header);
    if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > length - offset) break;
    struct heard heard = {.namespace_id = namespace_id, .type = header.nlmsg_type};
    if (header.nlmsg_len >= NLMSG_HDRLEN + 8)
      memcpy(&heard.index, bytes + offset + NLMSG_HDRLEN + 4, sizeof heard.index);
    if (keep_heard(drained, &heard) != 0) return -1;
    offset += NLMSG_ALIGN(header.nlmsg_len);
  }
  return 0;
}

/*
 * After an overrun the kernel goes on dropping messages, without a word, until its queue
 * has been emptied. So only behind the end of it is a look sure to miss nothing.
 */
int netlink_drain(int fd, struct drained *drained, struct failure *failure) {
  uint8_t buffer[16 << 10]; /* one event is smaller: a link is told in 2 KiB */
  char control[CMSG_SPACE(sizeof(int32_t))];
  for (;;) {
    struct sockaddr_nl sender = {0};
    struct iovec vector = {.iov_base = buffer, .iov_len = sizeof buffer};
    struct msghdr message = {.msg_name = &sender,
                             .msg_namelen = sizeof sender,
                             .msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t received = recvmsg(fd, &message, MSG_DONTWAIT);
    if (received < 0) {
      if (errno == EAGAIN) return 0;
      if (errno == ENOBUFS) drained->lost = 1;
      else if (errno != EINTR) return fail(failure, "recvmsg");
    } else if (message.msg_flags & MSG_TRUNC)
      drained->lost = 1;
    else if (sender.nl_pid == 0 && /* only the kernel is believed */
             hear(drained, namespace_of(&message), buffer, (size_t)received) != 0)
      return fail(failure, "realloc");
  }
}
