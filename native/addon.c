/*
 * Exports of the addon, and nothing else: arguments out of JavaScript, results into it.
 * src/netlink/addon.ts is its only caller and has checked every argument; errors carry
 * `errno` and `syscall`, to which it adds `code`.
 */
#include <errno.h>
#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlink_socket.h"
#include "netns.h"
#include "process_set.h"
#include "watch.h"
#include "xtables.h"

#define MAX_ARGUMENTS 5
#define PATH_SIZE 4096
/* Undelivered events; beyond that the thread waits. */
#define WATCH_QUEUE 256

static napi_value null_value(napi_env env) {
  napi_value value;
  napi_get_null(env, &value);
  return value;
}

static napi_value int_value(napi_env env, int number) {
  napi_value value;
  napi_create_int32(env, number, &value);
  return value;
}

static napi_value throw_failure(napi_env env, const struct failure *failure) {
  napi_value message, error, name;
  char text[256];
  snprintf(text, sizeof text, "%s: %s", failure->syscall, strerror(failure->errnum));
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message);
  napi_create_error(env, NULL, message, &error);
  napi_set_named_property(env, error, "errno", int_value(env, failure->errnum));
  napi_create_string_utf8(env, failure->syscall, NAPI_AUTO_LENGTH, &name);
  napi_set_named_property(env, error, "syscall", name);
  napi_throw(env, error);
  return NULL;
}

static int arguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *values) {
  size_t count = MAX_ARGUMENTS;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  if (count >= wanted) return 0;
  napi_throw_type_error(env, NULL, "too few arguments");
  return -1;
}

static int32_t int_argument(napi_env env, napi_value value) {
  int32_t number = -1;
  napi_get_value_int32(env, value, &number);
  return number;
}

/* Text into `buffer`; NULL when the value is no text (null). */
static const char *text_argument(napi_env env, napi_value value, char *buffer, size_t size) {
  size_t length;
  return napi_get_value_string_utf8(env, value, buffer, size, &length) == napi_ok ? buffer : NULL;
}

/* A namespace is a path, a descriptor, or null for the present one. */
static int enter_argument(napi_env env, napi_value value, int *former) {
  char buffer[PATH_SIZE];
  struct failure failure = {0};
  const char *path = text_argument(env, value, buffer, sizeof buffer);
  *former = netns_enter(path, path ? -1 : int_argument(env, value), &failure);
  if (*former != -1) return 0;
  throw_failure(env, &failure);
  return -1;
}

/* openNetlink(protocol, namespace): descriptor */
static napi_value open_netlink(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS];
  int former;
  if (arguments(env, info, 2, values) != 0 || enter_argument(env, values[1], &former) != 0) return NULL;
  struct failure failure = {0};
  int fd = netlink_open(int_argument(env, values[0]), &failure);
  netns_leave(former);
  return fd < 0 ? throw_failure(env, &failure) : int_value(env, fd);
}

/* joinGroup(descriptor, group): null */
static napi_value join_group(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS];
  if (arguments(env, info, 2, values) != 0) return NULL;
  struct failure failure = {0};
  int joined = netlink_join(int_argument(env, values[0]), (uint32_t)int_argument(env, values[1]), &failure);
  return joined != 0 ? throw_failure(env, &failure) : null_value(env);
}

/* hearAll(descriptor): null */
static napi_value hear_all(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS];
  if (arguments(env, info, 1, values) != 0) return NULL;
  struct failure failure = {0};
  int heard = netlink_hear_all(int_argument(env, values[0]), &failure);
  return heard != 0 ? throw_failure(env, &failure) : null_value(env);
}

/* drain(descriptor): {heard, lost}, with a struct heard for each message */
static napi_value drain(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS], result, heard, lost;
  if (arguments(env, info, 1, values) != 0) return NULL;
  struct failure failure = {0};
  struct drained drained = {0};
  int emptied = netlink_drain(int_argument(env, values[0]), &drained, &failure);
  if (emptied == 0) {
    napi_create_object(env, &result);
    napi_create_buffer_copy(env, drained.count * sizeof *drained.heard, drained.heard, NULL, &heard);
    napi_get_boolean(env, drained.lost != 0, &lost);
    napi_set_named_property(env, result, "heard", heard);
    napi_set_named_property(env, result, "lost", lost);
  }
  free(drained.heard);
  return emptied != 0 ? throw_failure(env, &failure) : result;
}

/* openSocket(stream, address, port, namespace): descriptor */
static napi_value open_socket(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS];
  int former;
  bool stream = false;
  char buffer[64];
  if (arguments(env, info, 4, values) != 0) return NULL;
  napi_get_value_bool(env, values[0], &stream);
  const char *address = text_argument(env, values[1], buffer, sizeof buffer);
  int port = int_argument(env, values[2]);
  if (enter_argument(env, values[3], &former) != 0) return NULL;
  struct failure failure = {0};
  int fd = socket_open(stream, address, (uint16_t)port, &failure);
  netns_leave(former);
  return fd < 0 ? throw_failure(env, &failure) : int_value(env, fd);
}

/* readXtables(ipv6, namespace): buffer */
static napi_value read_xtables(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS], bytes;
  int former;
  bool ipv6 = false;
  if (arguments(env, info, 2, values) != 0 || enter_argument(env, values[1], &former) != 0) return NULL;
  napi_get_value_bool(env, values[0], &ipv6);
  struct failure failure = {0};
  struct xtables tables = {0};
  int result = xtables_read(ipv6, &tables, &failure);
  netns_leave(former);
  if (result == 0) napi_create_buffer_copy(env, tables.length, tables.bytes, NULL, &bytes);
  free(tables.bytes);
  return result == 0 ? bytes : throw_failure(env, &failure);
}

/* runInNamespace(namespace, function): what the function returned */
static napi_value run_in_namespace(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS], self, result = NULL;
  int former;
  if (arguments(env, info, 2, values) != 0 || enter_argument(env, values[0], &former) != 0) return NULL;
  napi_get_undefined(env, &self);
  napi_call_function(env, self, values[1], 0, NULL, &result); /* an exception stays pending and goes on */
  netns_leave(former);
  return result;
}

static napi_value namespace_call(napi_env env, napi_callback_info info,
                                 int (*call)(const char *, struct failure *)) {
  napi_value values[MAX_ARGUMENTS];
  char buffer[PATH_SIZE];
  if (arguments(env, info, 1, values) != 0) return NULL;
  const char *path = text_argument(env, values[0], buffer, sizeof buffer);
  struct failure failure = {.errnum = EINVAL, .syscall = "open"};
  if (!path || call(path, &failure) != 0) return throw_failure(env, &failure);
  return null_value(env);
}

/* createNamespace(path): null */
static napi_value create_namespace(napi_env env, napi_callback_info info) {
  return namespace_call(env, info, netns_create);
}

/* removeNamespace(path): null */
static napi_value remove_namespace(napi_env env, napi_callback_info info) {
  return namespace_call(env, info, netns_remove);
}

/* openProcessSet(): descriptor */
static napi_value open_process_set(napi_env env, napi_callback_info info) {
  (void)info;
  struct failure failure = {0};
  int set = process_set_open(&failure);
  return set < 0 ? throw_failure(env, &failure) : int_value(env, set);
}

/* addProcess(set, pid, id): descriptor that keeps it in the set */
static napi_value add_process(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS];
  if (arguments(env, info, 3, values) != 0) return NULL;
  struct failure failure = {0};
  int process = process_set_add(int_argument(env, values[0]), int_argument(env, values[1]),
                                (uint32_t)int_argument(env, values[2]), &failure);
  return process < 0 ? throw_failure(env, &failure) : int_value(env, process);
}

struct exchange_work {
  struct exchange exchange;
  napi_deferred deferred;
  napi_async_work work;
};

static void exchange_execute(napi_env env, void *data) {
  (void)env;
  netlink_exchange(&((struct exchange_work *)data)->exchange);
}

static void exchange_complete(napi_env env, napi_status status, void *data) {
  struct exchange_work *work = data;
  struct exchange *exchange = &work->exchange;
  if (status == napi_cancelled && exchange->failure.errnum == 0)
    exchange->failure = (struct failure){.errnum = ECANCELED, .syscall = "sendto"};
  napi_value result, replies, name;
  napi_create_object(env, &result);
  napi_create_buffer_copy(env, exchange->replies_length, exchange->replies, NULL, &replies);
  napi_set_named_property(env, result, "replies", replies);
  napi_set_named_property(env, result, "errno", int_value(env, exchange->failure.errnum));
  if (exchange->failure.syscall)
    napi_create_string_utf8(env, exchange->failure.syscall, NAPI_AUTO_LENGTH, &name);
  else
    name = null_value(env);
  napi_set_named_property(env, result, "syscall", name);
  napi_resolve_deferred(env, work->deferred, result);
  napi_delete_async_work(env, work->work);
  free(exchange->request);
  free(exchange->replies);
  free(work);
}

static void queue_work(napi_env env, napi_async_execute_callback execute,
                       napi_async_complete_callback complete, void *data, napi_async_work *work) {
  napi_value name;
  napi_create_string_utf8(env, "mesh:netlink", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, NULL, name, execute, complete, data, work);
  napi_queue_async_work(env, *work);
}

/* exchange(descriptor, messages, oneByOne, timeout): promise of {replies, errno, syscall} */
static napi_value exchange(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS], promise;
  if (arguments(env, info, 4, values) != 0) return NULL;
  void *bytes = NULL;
  size_t length = 0;
  bool one_by_one = false;
  napi_get_buffer_info(env, values[1], &bytes, &length);
  napi_get_value_bool(env, values[2], &one_by_one);
  struct exchange_work *work = calloc(1, sizeof *work);
  uint8_t *request = malloc(length ? length : 1);
  if (!work || !request) {
    free(work);
    free(request);
    return throw_failure(env, &(struct failure){.errnum = ENOMEM, .syscall = "malloc"});
  }
  if (length) memcpy(request, bytes, length);
  work->exchange = (struct exchange){.fd = int_argument(env, values[0]),
                                     .request = request,
                                     .request_length = length,
                                     .one_by_one = one_by_one,
                                     .deadline = monotonic_ms() + int_argument(env, values[3])};
  napi_create_promise(env, &work->deferred, &promise);
  queue_work(env, exchange_execute, exchange_complete, work, &work->work);
  return promise;
}

struct event {
  size_t length;
  int errnum;
  uint8_t bytes[];
};

struct js_watch {
  struct watch watch;
  napi_env env;
  napi_threadsafe_function function;
  int running;
};

static void watch_deliver(void *context, const uint8_t *bytes, size_t length, int errnum) {
  struct js_watch *watch = context;
  struct event *event = malloc(sizeof *event + length);
  if (!event) return;
  event->length = length;
  event->errnum = errnum;
  if (length) memcpy(event->bytes, bytes, length);
  if (napi_call_threadsafe_function(watch->function, event, napi_tsfn_blocking) != napi_ok) free(event);
}

static void watch_call(napi_env env, napi_value listener, void *context, void *data) {
  struct event *event = data;
  (void)context;
  if (env && listener) {
    napi_value self, result, thrown, values[2];
    bool pending = false;
    napi_get_undefined(env, &self);
    if (event->errnum)
      values[0] = null_value(env);
    else
      napi_create_buffer_copy(env, event->length, event->bytes, NULL, &values[0]);
    values[1] = int_value(env, event->errnum);
    napi_call_function(env, self, listener, 2, values, &result);
    napi_is_exception_pending(env, &pending);
    if (pending) { /* addon.ts catches what listeners throw; this keeps the process if that fails */
      napi_get_and_clear_last_exception(env, &thrown);
      fputs("mesh: a listener threw past its guard\n", stderr);
    }
  }
  free(event);
}

static void watch_end(void *data) {
  struct js_watch *watch = data;
  if (!watch->running) return;
  watch->running = 0;
  napi_release_threadsafe_function(watch->function, napi_tsfn_abort); /* frees a thread that waits to deliver */
  watch_stop(&watch->watch);
}

static void watch_finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct js_watch *watch = data;
  if (watch->running) {
    napi_remove_env_cleanup_hook(watch->env, watch_end, watch);
    watch_end(watch);
  }
  free(watch);
}

/*
 * watchProcesses(descriptor, listener): handle; the listener gets (bytes, 0), which are ids of processes of
 * the set that ended, or (null, errno)
 */
static napi_value watch_processes(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS], name, handle;
  if (arguments(env, info, 2, values) != 0) return NULL;
  struct js_watch *watch = calloc(1, sizeof *watch);
  if (!watch) return throw_failure(env, &(struct failure){.errnum = ENOMEM, .syscall = "malloc"});
  struct failure failure = {0};
  watch->env = env;
  watch->watch = (struct watch){
      .fd = int_argument(env, values[0]), .receive = process_receive, .deliver = watch_deliver, .context = watch};
  napi_create_string_utf8(env, "mesh:watch", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, values[1], NULL, name, WATCH_QUEUE, 1, NULL, NULL, watch, watch_call,
                                  &watch->function);
  if (watch_start(&watch->watch, &failure) != 0) {
    napi_release_threadsafe_function(watch->function, napi_tsfn_abort);
    free(watch);
    return throw_failure(env, &failure);
  }
  watch->running = 1;
  napi_add_env_cleanup_hook(env, watch_end, watch); /* runs before the hook of the function above */
  napi_create_external(env, watch, watch_finalize, NULL, &handle);
  return handle;
}

/* unwatch(handle): null; no event is delivered afterwards */
static napi_value unwatch(napi_env env, napi_callback_info info) {
  napi_value values[MAX_ARGUMENTS];
  void *data = NULL;
  if (arguments(env, info, 1, values) != 0) return NULL;
  napi_get_value_external(env, values[0], &data);
  struct js_watch *watch = data;
  if (watch && watch->running) {
    napi_remove_env_cleanup_hook(env, watch_end, watch);
    watch_end(watch);
  }
  return null_value(env);
}

static void warm_execute(napi_env env, void *data) {
  (void)env;
  (void)data;
}

static void warm_complete(napi_env env, napi_status status, void *data) {
  (void)status;
  napi_async_work *work = data;
  napi_delete_async_work(env, *work);
  free(work);
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback function;
  } exported[] = {
      {"openNetlink", open_netlink},
      {"joinGroup", join_group},
      {"hearAll", hear_all},
      {"drain", drain},
      {"exchange", exchange},
      {"watchProcesses", watch_processes},
      {"unwatch", unwatch},
      {"openProcessSet", open_process_set},
      {"addProcess", add_process},
      {"openSocket", open_socket},
      {"readXtables", read_xtables},
      {"runInNamespace", run_in_namespace},
      {"createNamespace", create_namespace},
      {"removeNamespace", remove_namespace},
  };
  for (size_t i = 0; i < sizeof exported / sizeof *exported; i++) {
    napi_value function;
    napi_create_function(env, exported[i].name, NAPI_AUTO_LENGTH, exported[i].function, NULL, &function);
    napi_set_named_property(env, exports, exported[i].name, function);
  }
  /* A thread inherits its maker's namespace: all of libuv's pool must start before the first setns. */
  napi_async_work *work = malloc(sizeof *work);
  if (work) queue_work(env, warm_execute, warm_complete, work, work);
  return exports;
}
