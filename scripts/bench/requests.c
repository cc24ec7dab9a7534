/*
 * requests - asks test servers (scripts/image/web.c) at a steady rate, a connection for each
 * request, and tells of each what became of it: what a client in JavaScript takes for one
 * request is enough for ten of these.
 *
 *   requests LOCAL-ADDRESS RATE SECONDS ADDRESS PORT...
 *
 * Every 1/RATE seconds each port is asked once. A line for each request, when it is over:
 * "PORT BEGAN ENDED WORD", times in milliseconds since 1970; the word is the host name of the
 * server that answered, or "!" and the number of the error: ETIMEDOUT after SECONDS without an
 * answer, EPROTO for one that is not understood. Ends on SIGTERM, when the last one is over.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FILES = 65536, TICK = 2 /* ms */ };
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24 /* linux/in.h */
#endif

struct request {
  int port;
  double began;
  int is_sent;
  size_t length;
  char answer[1024];
};

static const char question[] = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
static struct request *requests[MAX_FILES];
static int poller, under_way, highest;
static volatile sig_atomic_t ending;

static void on_term(int number) {
  (void)number;
  ending = 1;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* What is known of a request; `error`: 0 if there is an answer. */
static void tell(const struct request *request, int error) {
  char name[65];
  const char *body = error ? NULL : strstr(request->answer, "\r\n\r\n");
  if (!error && (!body || sscanf(body + 4, "%64s", name) != 1)) error = EPROTO;
  printf("%d %.3f %.3f ", request->port, request->began, now());
  if (error) printf("!%d\n", error);
  else puts(name);
}

static void finish(int fd, int error) {
  tell(requests[fd], error);
  free(requests[fd]);
  requests[fd] = NULL;
  under_way--;
  close(fd);
}

static void begin(const struct sockaddr_in *from, const struct sockaddr_in *to) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  if (fd < 0 || fd >= MAX_FILES) die("requests: socket");
  struct request *request = calloc(1, sizeof *request);
  if (!request) die("requests");
  request->port = ntohs(to->sin_port);
  request->began = now();
  requests[fd] = request;
  under_way++;
  if (fd > highest) highest = fd;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  if (bind(fd, (const struct sockaddr *)from, sizeof *from)) die("requests: bind");
  if (connect(fd, (const struct sockaddr *)to, sizeof *to) && errno != EINPROGRESS) {
    finish(fd, errno);
    return;
  }
  struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("requests: epoll");
}

static void go_on(int fd) {
  struct request *request = requests[fd];
  if (!request->is_sent) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (!error && send(fd, question, sizeof question - 1, MSG_NOSIGNAL) < 0) error = errno;
    if (error) {
      finish(fd, error);
      return;
    }
    request->is_sent = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
    return;
  }
  size_t space = sizeof request->answer - 1 - request->length;
  ssize_t got = recv(fd, request->answer + request->length, space, 0);
  if (got > 0) request->length += got;
  else if (got == 0 || errno != EAGAIN) finish(fd, got == 0 ? 0 : errno);
}

int main(int argc, char **argv) {
  if (argc < 6) {
    fprintf(stderr, "requests LOCAL-ADDRESS RATE SECONDS ADDRESS PORT...\n");
    return 2;
  }
  struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
  double gap = 1e3 / atof(argv[2]), patience = atof(argv[3]) * 1e3;
  if (inet_pton(AF_INET, argv[1], &from.sin_addr) != 1 || inet_pton(AF_INET, argv[4], &to.sin_addr) != 1)
    die("requests: address");
  signal(SIGTERM, on_term);
  poller = epoll_create1(0);
  double next = now();
  while (!ending || under_way > 0) {
    for (; !ending && next <= now(); next += gap)
      for (int i = 5; i < argc; i++) {
        to.sin_port = htons(atoi(argv[i]));
        begin(&from, &to);
      }
    struct epoll_event events[256];
    int count = epoll_wait(poller, events, 256, TICK);
    for (int i = 0; i < count; i++) go_on(events[i].data.fd);
    double oldest = now() - patience;
    for (int fd = 0; fd <= highest; fd++)
      if (requests[fd] && requests[fd]->began < oldest) finish(fd, ETIMEDOUT);
    fflush(stdout);
  }
  return 0;
}
