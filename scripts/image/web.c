/*
 * web - the server in the test images. It says who answered and whom it saw.
 *
 *   web [--sctp] [--pktinfo] [--delay SECONDS] [--linger SECONDS | --quiet SECONDS]
 *       [PORT | FIRST-LAST]...                                 (default: port 80)
 *
 * Each port answers HTTP/1.1 over TCP (with --sctp over SCTP too) and datagrams
 * over UDP, with one line: "<host name> <client address>:<client port> <local port>".
 *   /slow?ms=N    the same, N milliseconds later
 *   /bytes?n=N    N bytes instead
 *   /health       200, or 503 while there is a file /tmp/sick
 * --delay    listens only after so many seconds, as an application that warms up
 * --linger   goes on accepting for so many seconds after SIGTERM, as an application
 *            that gives balancers time to notice
 * --quiet    goes on accepting after SIGTERM until nobody from elsewhere has connected
 *            for so many seconds, however long balancers take to notice
 * --pktinfo  answers a datagram from the address it was sent to; without, the
 *            kernel chooses the source by route, as for most simple servers
 *
 * On SIGTERM it stops accepting, answers what is under way with "Connection:
 * close", and exits when all connections are closed, or after 10 seconds.
 * One thread, one epoll; a connection has one request at a time under way.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FILES = 65536, LEAVE_SECONDS = 10 };

enum kind { NONE, LISTENER, DATAGRAM, CONNECTION };

struct file {
  enum kind kind;
  int port;                /* local port, of listeners and datagram sockets */
  struct sockaddr_in peer; /* of connections, as are all that follow */
  int local_port;
  char in[4096];
  size_t in_length;
  char head[512]; /* of the answer, and all of a short one */
  size_t head_length, head_sent;
  long filler;     /* bytes of /bytes still to send */
  int64_t wake;    /* when /slow is over, ms; 0: not under way */
  int close_after; /* close once the answer is out */
};

static struct file *files[MAX_FILES];
static char host[65];
static char filler_bytes[65536];
static int poller, open_connections, sleeping, with_pktinfo;
static volatile sig_atomic_t leaving;
static int64_t last_accept; /* of a connection from elsewhere, ms */

static void on_term(int signal_number) {
  (void)signal_number;
  leaving = 1;
}

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static struct file *watch(int fd, enum kind kind, int port) {
  if (fd < 0 || fd >= MAX_FILES) die("web: socket");
  struct file *file = calloc(1, sizeof *file);
  if (!file) die("web");
  file->kind = kind;
  file->port = port;
  files[fd] = file;
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
  return file;
}

static void forget(int fd) {
  struct file *file = files[fd];
  if (file->kind == CONNECTION) open_connections--;
  if (file->wake) sleeping--;
  files[fd] = NULL;
  free(file);
  close(fd);
}

static void wait_for(int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
}

static int bound_socket(int type, int protocol, int port) {
  int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol), one = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (fd < 0) die(protocol == IPPROTO_SCTP ? "web: SCTP" : "web: socket");
  if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&address, sizeof address)) die("web: bind");
  if (type == SOCK_STREAM && listen(fd, 4096)) die("web: listen");
  if (type == SOCK_DGRAM) setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one);
  return fd;
}

static int line_for(char *line, size_t size, const struct sockaddr_in *peer, int local_port) {
  char address[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &peer->sin_addr, address, sizeof address);
  return snprintf(line, size, "%s %s:%d %d\n", host, address, ntohs(peer->sin_port), local_port);
}

static void answer_datagrams(int fd) {
  for (;;) {
    char data[2048], control[256], line[160];
    struct sockaddr_in peer;
    struct iovec part = {data, sizeof data};
    struct msghdr message = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(fd, &message, 0) < 0) return;
    part.iov_base = line;
    part.iov_len = line_for(line, sizeof line, &peer, files[fd]->port);
    if (with_pktinfo) {
      /* The header that told where it was sent to, given back, sets the source. */
      for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
        if (c->cmsg_type == IP_PKTINFO) ((struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex = 0;
    } else {
      message.msg_control = NULL;
      message.msg_controllen = 0;
    }
    sendmsg(fd, &message, 0);
  }
}

static void accept_all(int fd) {
  for (;;) {
    struct sockaddr_in peer, local;
    socklen_t length = sizeof peer, local_length = sizeof local;
    int one = 1, connection = accept4(fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connection < 0) return;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    getsockname(connection, (struct sockaddr *)&local, &local_length);
    struct file *file = watch(connection, CONNECTION, 0);
    file->peer = peer;
    file->local_port = ntohs(local.sin_port);
    open_connections++;
    if (ntohl(peer.sin_addr.s_addr) >> 24 != 127) last_accept = now_ms();
  }
}

/* The number behind NAME= in the request's path, or 0. */
static long parameter(const char *path, const char *name) {
  const char *at = strstr(path, name);
  return at ? atol(at + strlen(name)) : 0;
}

static void begin_answer(struct file *file, const char *request) {
  char path[256] = "", line[160];
  sscanf(request, "%*15s %255s", path);
  int length = line_for(line, sizeof line, &file->peer, file->local_port);
  const char *status = "200 OK";
  file->filler = 0;
  if (!strncmp(path, "/bytes?", 7)) {
    file->filler = parameter(path, "n=");
    length = 0;
  } else if (!strncmp(path, "/slow?", 6)) {
    file->wake = now_ms() + parameter(path, "ms=");
    sleeping++;
  } else if (!strcmp(path, "/health") && access("/tmp/sick", F_OK) == 0) {
    status = "503 Service Unavailable";
  }
  if (strcasestr(request, "\r\nconnection: close") || strstr(request, " HTTP/1.0\r\n")) file->close_after = 1;
  file->head_length =
      snprintf(file->head, sizeof file->head, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %ld\r\n%s\r\n%.*s",
               status, length + file->filler, file->close_after || leaving ? "Connection: close\r\n" : "", length, line);
  if (leaving) file->close_after = 1;
  file->head_sent = 0;
}

/* Sends what it can. 1: all is out; 0: more to come; -1: the connection is of no more use. */
static int send_answer(int fd, struct file *file) {
  while (file->head_sent < file->head_length || file->filler > 0) {
    int in_head = file->head_sent < file->head_length;
    size_t want = in_head ? file->head_length - file->head_sent
                          : (size_t)(file->filler < (long)sizeof filler_bytes ? file->filler : (long)sizeof filler_bytes);
    ssize_t sent = send(fd, in_head ? file->head + file->head_sent : filler_bytes, want, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return 0;
    if (sent < 0) return -1;
    if (in_head) file->head_sent += sent;
    else file->filler -= sent;
  }
  return 1;
}

/* Goes on with a connection as far as it will: request, pause, answer, next request. */
static void serve(int fd) {
  struct file *file = files[fd];
  for (;;) {
    if (file->wake) {
      if (now_ms() < file->wake) return wait_for(fd, EPOLLRDHUP);
      file->wake = 0;
      sleeping--;
    }
    if (file->head_length > 0) {
      int sent = send_answer(fd, file);
      if (sent == 0) return wait_for(fd, EPOLLOUT);
      if (sent < 0 || file->close_after) return forget(fd);
      file->head_length = 0;
    }
    char *end = memmem(file->in, file->in_length, "\r\n\r\n", 4);
    if (end) {
      size_t used = end + 4 - file->in;
      end[2] = 0;
      begin_answer(file, file->in);
      memmove(file->in, file->in + used, file->in_length - used);
      file->in_length -= used;
      continue;
    }
    if (file->in_length == sizeof file->in) return forget(fd);
    ssize_t got = recv(fd, file->in + file->in_length, sizeof file->in - file->in_length, 0);
    if (got < 0 && errno == EAGAIN) return wait_for(fd, EPOLLIN);
    if (got <= 0) return forget(fd);
    file->in_length += got;
  }
}

static void close_listeners(void) {
  for (int fd = 0; fd < MAX_FILES; fd++)
    if (files[fd] && files[fd]->kind != CONNECTION) forget(fd);
}

/* Ms until the first /slow is over, and no more than `most`; those over are served. */
static int serve_sleepers(int most) {
  if (!sleeping) return most;
  int64_t now = now_ms();
  for (int fd = 0; fd < MAX_FILES; fd++) {
    if (!files[fd] || !files[fd]->wake) continue;
    if (files[fd]->wake <= now) serve(fd);
    else if (most < 0 || files[fd]->wake - now < most) most = files[fd]->wake - now;
  }
  return most;
}

static void listen_on(const char *range, int with_sctp) {
  int first = atoi(range), last = strchr(range, '-') ? atoi(strchr(range, '-') + 1) : first;
  for (int port = first; port <= last; port++) {
    watch(bound_socket(SOCK_STREAM, 0, port), LISTENER, port);
    watch(bound_socket(SOCK_DGRAM, 0, port), DATAGRAM, port);
    if (with_sctp) watch(bound_socket(SOCK_STREAM, IPPROTO_SCTP, port), LISTENER, port);
  }
}

int main(int argc, char **argv) {
  int with_sctp = 0, delay = 0, linger = 0, quiet = 0, first_port = 1;
  for (; first_port < argc && argv[first_port][0] == '-'; first_port++) {
    if (!strcmp(argv[first_port], "--sctp")) with_sctp = 1;
    else if (!strcmp(argv[first_port], "--pktinfo")) with_pktinfo = 1;
    else if (!strcmp(argv[first_port], "--delay") && first_port + 1 < argc) delay = atoi(argv[++first_port]);
    else if (!strcmp(argv[first_port], "--linger") && first_port + 1 < argc) linger = atoi(argv[++first_port]);
    else if (!strcmp(argv[first_port], "--quiet") && first_port + 1 < argc) quiet = atoi(argv[++first_port]);
    else return fprintf(stderr, "web [--sctp] [--pktinfo] [--delay SECONDS] [--linger SECONDS | --quiet SECONDS] [PORT | FIRST-LAST]...\n"), 2;
  }
  struct sigaction action = {.sa_handler = on_term};
  struct rlimit many = {MAX_FILES, MAX_FILES};
  sigaction(SIGTERM, &action, NULL);
  setrlimit(RLIMIT_NOFILE, &many);
  gethostname(host, sizeof host - 1);
  memset(filler_bytes, 'x', sizeof filler_bytes);
  poller = epoll_create1(EPOLL_CLOEXEC);
  for (int64_t start = now_ms() + delay * 1000; now_ms() < start && !leaving;) usleep(50000);
  if (first_port == argc && !leaving) listen_on("80", with_sctp);
  for (int i = first_port; i < argc && !leaving; i++) listen_on(argv[i], with_sctp);

  int64_t linger_until = 0, leave_by = 0;
  for (;;) {
    if (leaving && !linger_until) linger_until = now_ms() + (quiet ? quiet : linger) * 1000;
    if (quiet && linger_until && last_accept + quiet * 1000 > linger_until) linger_until = last_accept + quiet * 1000;
    if (leaving && !leave_by && now_ms() >= linger_until) {
      close_listeners();
      leave_by = now_ms() + LEAVE_SECONDS * 1000;
    }
    if (leave_by && (!open_connections || now_ms() >= leave_by)) return 0;
    struct epoll_event events[64];
    /* While it leaves it looks at its clock; so it does at times anyway, lest SIGTERM come just before the wait. */
    int count = epoll_wait(poller, events, 64, serve_sleepers(leaving ? 100 : 1000));
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (!files[fd]) continue;
      if (files[fd]->kind == LISTENER) accept_all(fd);
      else if (files[fd]->kind == DATAGRAM) answer_datagrams(fd);
      else if (files[fd]->wake && events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) forget(fd);
      else serve(fd);
    }
  }
}
