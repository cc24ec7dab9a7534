/*
 * The tables of iptables-legacy and ip6tables-legacy as the kernel holds them.
 */
#ifndef MESH_XTABLES_H
#define MESH_XTABLES_H

#include <stddef.h>
#include <stdint.h>

#include "failure.h"

struct xtables {
  uint8_t *bytes; /* of malloc; the caller frees them, also after a failure */
  size_t length;
};

/*
 * Reads all tables that there are in the calling thread's namespace, one after the other:
 * name, hooks and rules, with the counters set to 0. Two readings are the same when nobody
 * has changed a rule between them. Makes no table that is not there. 0, or -1 and `failure`.
 */
int xtables_read(int ipv6, struct xtables *tables, struct failure *failure);

#endif
