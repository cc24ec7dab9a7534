#define _GNU_SOURCE
#include "xtables.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

/* A table that somebody changes between the question for its size and the one for its rules is asked again. */
#define ATTEMPTS 8
#define NAMES 32

/* ipt_getinfo and ip6t_getinfo, ipt_get_entries and ip6t_get_entries have one form. */
_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "one form of information");
_Static_assert(sizeof(struct ipt_get_entries) == sizeof(struct ip6t_get_entries), "one form of entries");

/* What differs between the two families. */
struct family {
  const char *names;
  int domain, level, get_info, get_entries;
  size_t entry_size, next, counters;
};

static const struct family families[] = {
    {"/proc/thread-self/net/ip_tables_names", AF_INET, IPPROTO_IP, IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES,
     sizeof(struct ipt_entry), offsetof(struct ipt_entry, next_offset), offsetof(struct ipt_entry, counters)},
    {"/proc/thread-self/net/ip6_tables_names", AF_INET6, IPPROTO_IPV6, IP6T_SO_GET_INFO, IP6T_SO_GET_ENTRIES,
     sizeof(struct ip6t_entry), offsetof(struct ip6t_entry, next_offset),
     offsetof(struct ip6t_entry, counters)},
};

static void *append(struct xtables *tables, size_t size) {
  uint8_t *larger = realloc(tables->bytes, tables->length + size);
  if (!larger) {
    errno = ENOMEM;
    return NULL;
  }
  tables->bytes = larger;
  memset(larger + tables->length, 0, size);
  return larger + tables->length;
}

static void clear_counters(const struct family *family, uint8_t *entries, size_t length) {
  for (size_t offset = 0; offset + family->entry_size <= length;) {
    uint16_t next;
    memcpy(&next, entries + offset + family->next, sizeof next);
    memset(entries + offset + family->counters, 0, sizeof(struct xt_counters));
    if (next < family->entry_size) break;
    offset += next;
  }
}

/* Appends one table; `name` has the size of a table's name. */
static int read_table(const struct family *family, int fd, const char *name, struct xtables *tables,
                      struct failure *failure) {
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    struct ipt_getinfo info = {0};
    socklen_t size = sizeof info;
    memcpy(info.name, name, sizeof info.name);
    if (getsockopt(fd, family->level, family->get_info, &info, &size) != 0)
      return fail(failure, "getsockopt");
    size_t length = sizeof(struct ipt_get_entries) + info.size;
    struct ipt_get_entries *entries = append(tables, sizeof info + length);
    if (!entries) return fail(failure, "realloc");
    memcpy(entries, &info, sizeof info);
    entries = (struct ipt_get_entries *)((uint8_t *)entries + sizeof info);
    memcpy(entries->name, name, sizeof entries->name);
    entries->size = info.size;
    size = (socklen_t)length;
    if (getsockopt(fd, family->level, family->get_entries, entries, &size) == 0) {
      clear_counters(family, (uint8_t *)entries->entrytable, info.size);
      tables->length += sizeof info + length;
      return 0;
    }
    if (errno != EAGAIN) return fail(failure, "getsockopt");
  }
  errno = EAGAIN;
  return fail(failure, "getsockopt");
}

static int by_name(const void *one, const void *other) {
  return strcmp(one, other);
}

int xtables_read(int ipv6, struct xtables *tables, struct failure *failure) {
  const struct family *family = &families[ipv6 ? 1 : 0];
  char names[NAMES][XT_TABLE_MAXNAMELEN] = {{0}};
  FILE *file = fopen(family->names, "re");
  if (!file) return fail(failure, "open");
  size_t count = 0;
  while (count < NAMES && fscanf(file, "%31s", names[count]) == 1) count++;
  fclose(file);
  /* The kernel's order is that in which they were made. */
  qsort(names, count, sizeof names[0], by_name);
  int fd = socket(family->domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) return fail(failure, "socket");
  int result = 0;
  for (size_t i = 0; i < count && result == 0; i++)
    result = read_table(family, fd, names[i], tables, failure);
  close(fd);
  return result;
}
