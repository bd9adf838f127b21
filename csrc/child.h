/* child.h: what do the steps of the container's first process share?
 *
 * Everything in child.c, target.c, netlink.c and step_*.c runs between clone3 and execve: only
 * system calls, no memory from the heap, no library state.  tests/unit/static holds it with nm.
 */
#ifndef PYRUNC_CHILD_H
#define PYRUNC_CHILD_H

#include "launcher.h"
#include "sys.h"

#include <limits.h>

/* Shared by launcher and child from clone3 to execve. */
struct progress {
    uint32_t current;   /* index of the child's step */
    int32_t hook_errno; /* why a hook could not be executed */
    struct hook_report hook;
    struct step_record records[];
};

struct child {
    const struct plan *plan;
    struct progress *progress;
    char **argv;
    char **environment;
    int stdio[3];           /* what becomes 0, 1 and 2; -1 keeps what is there */
    int launcher_fd;        /* the launcher's end of `sync_fd` */
    int sync_fd;            /* to the launcher; closed by execve, which is how it learns of that */
    int root_fd;            /* the rootfs; AT_FDCWD, which is "/", as long as there is none */
    int null_fd;            /* the host's /dev/null, verified */
    int empty_fd;           /* an empty read-only directory to mask others with, or -1 */
    int proc_fd;            /* a procfs that nobody else can reach, or -1 */
    int label_fd;           /* where this process changes its own AppArmor profile, or -1 */
    int netlink_fd;         /* -1 as long as no step needed it */
    bool is_created;        /* it waits for `start`, or has: nobody hears of a failure */
    bool is_tied;           /* to the launcher, by die-with-parent */
    uint64_t value;         /* for the record of the step */
    char listen_pid[32];    /* an entry of the environment, if there is such a step */
    char command[PATH_MAX]; /* what find-command found, "" if there was no such step */
};

/* A step's function returns 0 or -errno. */
typedef int step_function(struct child *child, const struct step *step);

_Noreturn void run_child(struct child *child);

static inline const char *step_path(const struct child *child, const struct step *step)
{
    return plan_string(child->plan, step->path);
}

static inline const char *step_target(const struct child *child, const struct step *step)
{
    return plan_string(child->plan, step->target);
}

static inline const void *step_data(const struct child *child, const struct step *step)
{
    return plan_data(child->plan, step);
}

/* target.c */
int open_target(const struct child *child, const char *path, uint64_t flags);
int make_target(const struct child *child, const char *path, mode_t mode);
int open_parent(const struct child *child, const char *path, const char **name);
int open_own_proc(struct child *child, const char *path, uint64_t flags);

/* step_copy_up.c */
int copy_tree(int from_fd, int to_fd, int depth);

/* step_mount.c */
int set_attributes(int mount_fd, uint64_t set, uint64_t clear, unsigned flags);

/* step_terminal.c */
int send_descriptor(int socket_fd, int fd, const char *text);

/* netlink.c; for the parent as well */
int netlink_open(void);
int netlink_transact(int fd, const void *messages, uint32_t size);
int netlink_link_state(int fd, const void *message, uint32_t size);

/* step_settings.c; for the parent as well */
int set_cpu_affinity(const void *cpus, size_t size);

/* step_execute.c */
void append_number(char *end, unsigned number);

/* step_identity.c; the first two for the parent as well */
int join_namespace(int fd, const char *path, int type, uint64_t *inode);
int write_file(const char *path, const void *data, size_t size);
int tie_to_parent(const struct child *child);

step_function step_await_hooks, step_run_hook;
step_function step_wait, step_die_with_parent, step_new_session, step_join_cgroup,
    step_join_namespace, step_unshare, step_write_time_offsets, step_become_root,
    step_enter_pid_namespace, step_join_keyring;
step_function step_set_link_up, step_add_address, step_add_route;
step_function step_set_propagation, step_attach_rootfs, step_bind_rootfs, step_open_rootfs,
    step_pivot_root, step_move_root, step_change_root;
step_function step_make_directory, step_mount, step_mount_cgroups, step_bind,
    step_set_mount_attributes, step_reconfigure, step_mask, step_make_readonly;
step_function step_make_node, step_make_link, step_open_terminal;
step_function step_set_hostname, step_set_domainname, step_set_sysctl, step_set_rlimit,
    step_set_oom_score, step_set_umask, step_set_personality, step_set_scheduler,
    step_set_io_priority, step_set_memory_policy, step_set_security_label, step_set_cpu_affinity,
    step_change_directory;
step_function step_set_no_new_privileges, step_drop_bounding, step_set_user, step_set_capabilities,
    step_install_seccomp;
step_function step_find_command, step_set_listen_pid, step_await_start, step_hold, step_let_go,
    step_start_init, step_close_descriptors, step_execute;

#endif
