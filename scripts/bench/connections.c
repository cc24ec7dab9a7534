/*
 * connections - opens connections, or asks on kept ones, with as few system calls as there can be.
 *
 *   connections serve PORT...
 *   connections open ADDRESS PORT SECONDS AT_A_TIME    a connection for each request
 *   connections ask ADDRESS PORT SECONDS AT_A_TIME     requests on connections that are kept
 *
 * The last two print "COUNT FAILED SECONDS MEDIAN P99", both times in microseconds, from the
 * begin of connecting (or asking) to the end of the answer. A request is 64 bytes, no two
 * alike, and its answer the same 64; a connection that is opened for one request ends as one
 * of HTTP with "Connection: close" does: the server closes it behind the answer, and the client
 * when it has seen that. So the client's port is free at once, and what is left of the connection
 * (TIME_WAIT) is where the server is, which takes a port again that comes back meanwhile. Ways
 * on which the client has different addresses must not lead to one port of a server: the clock that TCP
 * goes by then (PAWS) is another one for each pair of addresses.
 *
 * By io_uring, since an ordinary client and server make some fifteen system calls for a
 * connection, which cost more than what is measured, the way in between. Here a batch of
 * connections has two or three. Needs io_uring of Linux 5.19.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ENTRIES = 1024, MOST = 128, LENGTH = 64, MAX_FILES = 65536, PATIENCE = 5 /* s */ };
enum step { ACCEPT, SOCKET, CONNECT, SEND, RECEIVE, CLOSE };
enum { QUIET = IOSQE_CQE_SKIP_SUCCESS, LINK = IOSQE_IO_LINK, LINK_ALWAYS = IOSQE_IO_HARDLINK };

static int ring;
static struct io_uring_sqe *entries;
static struct io_uring_cqe *results;
static unsigned *submit_tail, *submit_mask, *result_head, *result_tail, *result_mask, waiting;

static void fail(const char *what, int error) {
  fprintf(stderr, "connections: %s: %s\n", what, strerror(error));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void *map(size_t length, off_t offset) {
  void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);
  if (at == MAP_FAILED) fail("mmap", errno);
  return at;
}

static void make_ring(void) {
  /* The first is the cheapest, since Linux 6.1. */
  unsigned ways[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN};
  struct io_uring_params p;
  for (int i = 0; i < 2; i++) {
    p = (struct io_uring_params){.flags = ways[i]};
    ring = syscall(SYS_io_uring_setup, ENTRIES, &p);
    if (ring >= 0) break;
  }
  if (ring < 0) fail("io_uring of Linux 5.19 or newer is needed", errno);
  size_t submit = p.sq_off.array + p.sq_entries * sizeof(unsigned);
  size_t result = p.cq_off.cqes + p.cq_entries * sizeof *results;
  char *at = map(submit > result ? submit : result, IORING_OFF_SQ_RING);
  entries = map(p.sq_entries * sizeof *entries, IORING_OFF_SQES);
  submit_tail = (unsigned *)(at + p.sq_off.tail);
  submit_mask = (unsigned *)(at + p.sq_off.ring_mask);
  result_head = (unsigned *)(at + p.cq_off.head);
  result_tail = (unsigned *)(at + p.cq_off.tail);
  result_mask = (unsigned *)(at + p.cq_off.ring_mask);
  results = (struct io_uring_cqe *)(at + p.cq_off.cqes);
  unsigned *order = (unsigned *)(at + p.sq_off.array);
  for (unsigned i = 0; i < p.sq_entries; i++) order[i] = i;
}

/* Submits what waits, and waits for a result, a second at most; not at all if `least` is 0. */
static void enter(unsigned least) {
  struct __kernel_timespec second = {.tv_sec = 1};
  struct io_uring_getevents_arg how = {.ts = (uintptr_t)&second};
  unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  int done = syscall(SYS_io_uring_enter, ring, waiting, least, flags, &how, sizeof how);
  if (done >= 0) waiting -= done;
  else if (errno != ETIME && errno != EINTR && errno != EBUSY) fail("io_uring_enter", errno);
}

/* Room for a chain of `count`: what is linked has to be submitted together. */
static void make_room(unsigned count) {
  while (waiting + count > ENTRIES) enter(0);
}

static struct io_uring_sqe *add(int operation, int fd, uint64_t step, unsigned of, int flags) {
  unsigned tail = *submit_tail;
  struct io_uring_sqe *entry = &entries[tail & *submit_mask];
  memset(entry, 0, sizeof *entry);
  entry->opcode = operation;
  entry->fd = fd;
  entry->flags = flags;
  entry->user_data = step << 32 | of;
  __atomic_store_n(submit_tail, tail + 1, __ATOMIC_RELEASE);
  waiting++;
  return entry;
}

static void add_transfer(int operation, int fd, unsigned of, int flags, void *data, int length) {
  struct io_uring_sqe *entry = add(operation, fd, operation == IORING_OP_SEND ? SEND : RECEIVE, of, flags);
  entry->addr = (uintptr_t)data;
  entry->len = length;
  entry->msg_flags = operation == IORING_OP_SEND ? MSG_NOSIGNAL : MSG_WAITALL;
}

/* Every result that is there, each given to `take`. */
static void take_results(void (*take)(enum step, unsigned, int, unsigned)) {
  unsigned head = *result_head, tail = __atomic_load_n(result_tail, __ATOMIC_ACQUIRE);
  while (head != tail) {
    struct io_uring_cqe result = results[head++ & *result_mask];
    __atomic_store_n(result_head, head, __ATOMIC_RELEASE);
    take(result.user_data >> 32, (unsigned)result.user_data, result.res, result.flags);
  }
}

/* The server: what it has read of each connection, by descriptor. */
static char (*read_of)[LENGTH];

static void accept_from(int listener) {
  add(IORING_OP_ACCEPT, listener, ACCEPT, listener, 0)->ioprio = IORING_ACCEPT_MULTISHOT;
}

static void take_served(enum step step, unsigned fd, int result, unsigned flags) {
  make_room(2);
  if (step == ACCEPT) {
    if (result == -EINVAL) fail("io_uring of Linux 5.19 or newer is needed", EINVAL);
    if (!(flags & IORING_CQE_F_MORE)) accept_from(fd);
    if (result >= 0) add_transfer(IORING_OP_RECV, result, result, 0, read_of[result], LENGTH);
  } else if (step == RECEIVE && result == LENGTH) {
    /* The first letter says whether more will follow. */
    int kept = read_of[fd][0] == 'k';
    add_transfer(IORING_OP_SEND, fd, fd, QUIET | (kept ? LINK : LINK_ALWAYS), read_of[fd], LENGTH);
    if (kept) add_transfer(IORING_OP_RECV, fd, fd, 0, read_of[fd], LENGTH);
    else add(IORING_OP_CLOSE, fd, CLOSE, fd, QUIET);
  } else if (step == RECEIVE) {
    add(IORING_OP_CLOSE, fd, CLOSE, fd, QUIET);
  }
}

static void listen_on(int port) {
  struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons(port)};
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&self, sizeof self) || listen(listener, 4096)) fail("listen", errno);
  accept_from(listener);
}

static void serve(char **ports) {
  read_of = calloc(MAX_FILES, sizeof *read_of);
  if (!read_of) fail("memory", ENOMEM);
  for (; *ports; ports++) listen_on(atoi(*ports));
  for (;;) {
    enter(1);
    take_results(take_served);
  }
}

/* The client: those under way at a time. */
static struct flow {
  int fd, next_fd; /* -1: none yet */
  double began;
  char request[LENGTH], answer[LENGTH + 1];
} flows[MOST];
static struct sockaddr_in peer;
static int kept, over, under_way;
static unsigned long asked, answered, failed;
static double moment;
static uint32_t *times; /* us, of each answer */
static const char *first_failure;
static int first_error;

static void failure(const char *what, int error) {
  failed++;
  if (!first_failure) first_failure = what, first_error = error;
}

static void prepare(struct flow *flow) {
  struct io_uring_sqe *entry = add(IORING_OP_SOCKET, AF_INET, SOCKET, flow - flows, 0);
  entry->off = SOCK_STREAM;
}

static void ask(struct flow *flow) {
  unsigned of = flow - flows;
  flow->began = moment;
  memcpy(flow->request + 1, &asked, sizeof asked);
  asked++;
  memset(flow->answer, 0, sizeof flow->answer);
  add_transfer(IORING_OP_SEND, flow->fd, of, QUIET | LINK_ALWAYS, flow->request, LENGTH);
  /* The end of the connection comes behind the answer, where it is not kept: so it is waited for. */
  add_transfer(IORING_OP_RECV, flow->fd, of, kept ? 0 : LINK_ALWAYS, flow->answer, kept ? LENGTH : LENGTH + 1);
}

static void connect_to(struct flow *flow) {
  unsigned of = flow - flows;
  make_room(5);
  flow->fd = flow->next_fd;
  flow->next_fd = -1;
  under_way++;
  struct io_uring_sqe *entry = add(IORING_OP_CONNECT, flow->fd, CONNECT, of, QUIET | LINK_ALWAYS);
  entry->addr = (uintptr_t)&peer;
  entry->off = sizeof peer;
  ask(flow);
  if (kept) return;
  add(IORING_OP_CLOSE, flow->fd, CLOSE, of, 0);
  prepare(flow);
}

static void take_answer(struct flow *flow, int result) {
  if (result != LENGTH) {
    failure("answer", result < 0 ? -result : EPROTO);
  } else if (memcmp(flow->request, flow->answer, LENGTH)) {
    failure("wrong answer", EPROTO);
  } else {
    if (answered % (1 << 16) == 0) times = realloc(times, (answered + (1 << 16)) * sizeof *times);
    if (!times) fail("times", ENOMEM);
    times[answered++] = (moment - flow->began) * 1e6;
    if (kept && !over) return make_room(2), ask(flow);
  }
  if (kept) under_way--;
}

static void take_asked(enum step step, unsigned of, int result, unsigned flags) {
  struct flow *flow = &flows[of];
  (void)flags;
  if (step == SOCKET) {
    if (result < 0) fail(result == -EINVAL ? "io_uring of Linux 5.19 or newer is needed" : "socket", -result);
    flow->next_fd = result;
  } else if (step == RECEIVE) {
    take_answer(flow, result);
  } else if (step == CLOSE) {
    under_way--;
    flow->fd = -1;
  } else {
    /* The answer will be missing, and counted there. */
    if (!first_failure) first_failure = step == CONNECT ? "connect" : "send", first_error = -result;
    return;
  }
  if (flow->fd < 0 && flow->next_fd >= 0 && !over) connect_to(flow);
}

static int compare(const void *a, const void *b) {
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return (left > right) - (left < right);
}

static int load(double seconds, int at_a_time) {
  double began = moment = now();
  for (int i = 0; i < at_a_time; i++) {
    flows[i] = (struct flow){.fd = -1, .next_fd = -1};
    memset(flows[i].request, 'x', LENGTH);
    flows[i].request[0] = kept ? 'k' : 'c';
    prepare(&flows[i]);
  }
  while (!over || under_way > 0) {
    enter(1);
    moment = now();
    over = moment >= began + seconds;
    if (moment > began + seconds + PATIENCE) break;
    take_results(take_asked);
  }
  for (; under_way > 0; under_way--) failure("no answer", ETIMEDOUT);
  if (failed) fprintf(stderr, "connections: %s: %s\n", first_failure, strerror(first_error));
  if (!answered) return 1;
  qsort(times, answered, sizeof *times, compare);
  printf("%lu %lu %f %u %u\n", answered, failed, moment - began, times[answered / 2], times[answered * 99 / 100]);
  return 0;
}

int main(int argc, char **argv) {
  struct rlimit many = {MAX_FILES, MAX_FILES};
  setrlimit(RLIMIT_NOFILE, &many);
  int serving = argc > 2 && !strcmp(argv[1], "serve");
  kept = !serving && argc == 6 && !strcmp(argv[1], "ask");
  if (!serving && !kept && (argc != 6 || strcmp(argv[1], "open"))) {
    fprintf(stderr, "connections serve PORT... | connections open|ask ADDRESS PORT SECONDS AT_A_TIME\n");
    return 2;
  }
  make_ring();
  if (serving) serve(argv + 2);
  int at_a_time = atoi(argv[5]);
  peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
  if (inet_pton(AF_INET, argv[2], &peer.sin_addr) != 1 || at_a_time < 1 || at_a_time > MOST)
    return fprintf(stderr, "connections: no address: %s, or not 1 to %d at a time\n", argv[2], MOST), 2;
  return load(atof(argv[4]), at_a_time);
}
