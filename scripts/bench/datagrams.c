/*
 * datagrams - counts datagrams that arrive, as many at a system call as there are.
 *
 *   datagrams serve PORT                     counts, and answers a datagram that begins
 *                                            with ? with the count since the last one
 *   datagrams send ADDRESS PORT SECONDS      sends as fast as the kernel takes them; prints
 *                                            "SENT ARRIVED SECONDS"
 *
 * iperf3 makes several system calls for each datagram, which in some kernels cost more
 * than all of the datagram's way. One flow at a time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, LENGTH = 64, BUFFER = 64 << 20 };

static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];
static char data[BATCH][LENGTH];

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int open_socket(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), size = BUFFER;
  if (fd < 0) die("datagrams: socket");
  /* What waits until the other process has its turn on the processor is not lost. */
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  for (int i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){data[i], LENGTH};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  return fd;
}

static void serve(int port) {
  struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons(port)}, peers[BATCH];
  int fd = open_socket();
  if (bind(fd, (struct sockaddr *)&self, sizeof self)) die("datagrams: bind");
  /* While they come it looks every other millisecond: woken for each, it would be most of what is measured. */
  struct timespec pause = {.tv_nsec = 2000000};
  int idle = 0; /* looks without any */
  for (long count = 0;;) {
    for (int i = 0; i < BATCH; i++) {
      messages[i].msg_hdr.msg_name = &peers[i];
      messages[i].msg_hdr.msg_namelen = sizeof peers[i];
    }
    int got = recvmmsg(fd, messages, BATCH, idle < 10 ? MSG_DONTWAIT : MSG_WAITFORONE, NULL);
    idle = got > 0 ? 0 : idle + 1;
    if (got < BATCH) nanosleep(&pause, NULL);
    for (int i = 0; i < got; i++) {
      if (data[i][0] != '?') {
        count++;
        continue;
      }
      char answer[32];
      int length = snprintf(answer, sizeof answer, "%ld", count);
      sendto(fd, answer, length, 0, (struct sockaddr *)&peers[i], sizeof peers[i]);
      count = 0;
    }
  }
}

/* The server's count; asked until it answers. */
static long ask(int fd) {
  struct timeval patience = {.tv_sec = 1};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  for (int i = 0; i < 10; i++) {
    char answer[32] = "";
    if (send(fd, "?", 1, 0) == 1 && recv(fd, answer, sizeof answer - 1, 0) > 0) return atol(answer);
  }
  fprintf(stderr, "datagrams: no answer\n");
  exit(1);
}

static int send_to(const char *address, int port, double seconds) {
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(port)};
  int fd = open_socket();
  if (inet_pton(AF_INET, address, &peer.sin_addr) != 1) return fprintf(stderr, "datagrams: no address: %s\n", address), 2;
  if (connect(fd, (struct sockaddr *)&peer, sizeof peer)) die("datagrams: connect");
  ask(fd); /* begins the flow, and the count */
  memset(data, 'x', sizeof data);
  long sent = 0;
  double began = now();
  while (now() < began + seconds) {
    int count = sendmmsg(fd, messages, BATCH, 0);
    if (count > 0) sent += count;
  }
  /* Behind them all, so that it is answered when they have been counted. */
  long arrived = ask(fd);
  printf("%ld %ld %f\n", sent, arrived, now() - began);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "serve")) serve(atoi(argv[2]));
  if (argc == 5 && !strcmp(argv[1], "send")) return send_to(argv[2], atoi(argv[3]), atof(argv[4]));
  fprintf(stderr, "datagrams serve PORT | datagrams send ADDRESS PORT SECONDS\n");
  return 2;
}
