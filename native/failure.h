/*
 * What a system call failed with.
 */
#ifndef MESH_FAILURE_H
#define MESH_FAILURE_H

#include <errno.h>

/* errnum 0 is success. */
struct failure {
  int errnum;
  const char *syscall;
};

/* Notes errno as what `syscall` failed with; -1, for the caller to return. */
static inline int fail(struct failure *failure, const char *syscall) {
  failure->errnum = errno;
  failure->syscall = syscall;
  return -1;
}

#endif
