/* quick.h: what does pyrunc-oci do without Python?
 *
 * An engine calls `start`, `kill`, `state` and `delete` once or more for each container, and the
 * interpreter alone takes longer than the work.  So the plain cases are done here, as
 * pyrunc/runtime/lifecycle.py and container_state.py do them; those remain the reference.
 *
 * What is not plain is handed over: nothing has been printed by then, and what has been done Python
 * may do again.  So every error is Python's to word, and C has only one way to go.
 */
#ifndef PYRUNC_QUICK_H
#define PYRUNC_QUICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* SPEC_VERSION of container_state.py: what `state` says. */
#define OCI_VERSION "1.3.0"

enum outcome { SERVED, HAND_OVER };
enum status { STOPPED, CREATED, RUNNING, PAUSED };
enum { MAX_CGROUPS = 32, STATE_BYTES = 1 << 18 };

/* A piece of state.json as it stands there, quotes and escapes included. */
struct token {
    const char *start;
    size_t length;
};

/* What was recorded at create. */
struct container {
    const char *id;
    int root_fd;
    int directory_fd;
    struct token stored_id, bundle, rootfs, created, annotations, scope;
    pid_t pid;
    uint64_t start_time;
    const char *cgroups[MAX_CGROUPS];
    size_t cgroup_count;
    bool has_pid_namespace;
    bool is_attended; /* start and delete have more to do: hooks, readiness to wait for */
};

/* quick.c: the exit code, or -1 for what Python has to do. */
int serve_quickly(int argc, char **argv);

/* quick_state.c */
enum outcome read_state(struct container *container, char *buffer);

/* quick_process.c */
bool is_alive(const struct container *container);
bool signal_process(const struct container *container, int number);
bool end_process(const struct container *container);

/* quick_cgroup.c */
bool is_frozen(const struct container *container);
void thaw(const struct container *container);
bool has_members(const struct container *container);
bool remove_cgroups(const struct container *container);

/* quick_verbs.c */
enum outcome start_container(const struct container *container);
enum outcome kill_container(const struct container *container, int number);
enum outcome show_state(const struct container *container);
enum outcome delete_container(const struct container *container, bool force);

#endif
