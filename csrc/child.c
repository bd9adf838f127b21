/* child.c: which steps turn a process into a container, and in which order?
 *
 * Reading path 5/8 · before: csrc/launcher.c · after: pyrunc/runtime/cgroup.py
 *
 * The order is the plan's; this is the table that says which function is which step.  The launcher
 * waits at the other end of `sync_fd`: execve closes it, and so does a failure, which stands in the
 * shared records by then.
 */
#define _GNU_SOURCE
#include "child.h"

#include <signal.h>
#include <time.h>

enum { EXIT_STEP_FAILED = 125 };

static step_function *const step_functions[STEP_KINDS] = {
    [STEP_JOIN_NAMESPACE] = step_join_namespace,
    [STEP_WAIT] = step_wait,
    [STEP_AWAIT_HOOKS] = step_await_hooks,
    [STEP_RUN_HOOK] = step_run_hook,
    [STEP_DIE_WITH_PARENT] = step_die_with_parent,
    [STEP_NEW_SESSION] = step_new_session,
    [STEP_JOIN_CGROUP] = step_join_cgroup,
    [STEP_UNSHARE] = step_unshare,
    [STEP_WRITE_TIME_OFFSETS] = step_write_time_offsets,
    [STEP_BECOME_ROOT] = step_become_root,
    [STEP_ENTER_PID_NAMESPACE] = step_enter_pid_namespace,
    [STEP_JOIN_KEYRING] = step_join_keyring,
    [STEP_SET_LINK_UP] = step_set_link_up,
    [STEP_ADD_ADDRESS] = step_add_address,
    [STEP_ADD_ROUTE] = step_add_route,
    [STEP_SET_PROPAGATION] = step_set_propagation,
    [STEP_ATTACH_ROOTFS] = step_attach_rootfs,
    [STEP_BIND_ROOTFS] = step_bind_rootfs,
    [STEP_OPEN_ROOTFS] = step_open_rootfs,
    [STEP_MAKE_DIRECTORY] = step_make_directory,
    [STEP_MOUNT] = step_mount,
    [STEP_MOUNT_CGROUPS] = step_mount_cgroups,
    [STEP_BIND] = step_bind,
    [STEP_SET_MOUNT_ATTRIBUTES] = step_set_mount_attributes,
    [STEP_RECONFIGURE] = step_reconfigure,
    [STEP_MAKE_NODE] = step_make_node,
    [STEP_MAKE_LINK] = step_make_link,
    [STEP_MASK] = step_mask,
    [STEP_MAKE_READONLY] = step_make_readonly,
    [STEP_OPEN_TERMINAL] = step_open_terminal,
    [STEP_PIVOT_ROOT] = step_pivot_root,
    [STEP_MOVE_ROOT] = step_move_root,
    [STEP_CHANGE_ROOT] = step_change_root,
    [STEP_SET_HOSTNAME] = step_set_hostname,
    [STEP_SET_DOMAINNAME] = step_set_domainname,
    [STEP_SET_SYSCTL] = step_set_sysctl,
    [STEP_SET_RLIMIT] = step_set_rlimit,
    [STEP_SET_OOM_SCORE] = step_set_oom_score,
    [STEP_SET_UMASK] = step_set_umask,
    [STEP_SET_PERSONALITY] = step_set_personality,
    [STEP_SET_SCHEDULER] = step_set_scheduler,
    [STEP_SET_IO_PRIORITY] = step_set_io_priority,
    [STEP_SET_MEMORY_POLICY] = step_set_memory_policy,
    [STEP_SET_SECURITY_LABEL] = step_set_security_label,
    [STEP_SET_CPU_AFFINITY] = step_set_cpu_affinity,
    [STEP_CHANGE_DIRECTORY] = step_change_directory,
    [STEP_FIND_COMMAND] = step_find_command,
    [STEP_SET_LISTEN_PID] = step_set_listen_pid,
    [STEP_AWAIT_START] = step_await_start,
    [STEP_HOLD] = step_hold,
    [STEP_LET_GO] = step_let_go,
    [STEP_SET_NO_NEW_PRIVILEGES] = step_set_no_new_privileges,
    [STEP_DROP_BOUNDING] = step_drop_bounding,
    [STEP_SET_USER] = step_set_user,
    [STEP_SET_CAPABILITIES] = step_set_capabilities,
    [STEP_INSTALL_SECCOMP] = step_install_seccomp,
    [STEP_START_INIT] = step_start_init,
    [STEP_CLOSE_DESCRIPTORS] = step_close_descriptors,
    [STEP_EXECUTE] = step_execute,
};

/* The vDSO answers, not the kernel: a seccomp filter has no say in it. */
static uint64_t now_ns(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Kernel: SIGKILL from inside a PID namespace does not reach its first process (pid_namespaces(7)),
 * so a fault ends it by exit: its parent sees a child that is gone without a word, as it would. */
static int fault(const struct plan *plan, uint32_t index)
{
    if ((int32_t)index != plan->fault_step)
        return 0;
    if (plan->fault_action == FAULT_KILL)
        _exit(128 + SIGKILL);
    return -plan->fault_action;
}

static int run_step(struct child *child, uint32_t index)
{
    const struct step *step = &child->plan->steps[index];
    struct step_record *record = &child->progress->records[index];

    child->progress->current = index;
    child->value = 0;
    record->index = (uint16_t)index;
    int result = fault(child->plan, index);
    record->start_ns = now_ns();
    if (result == 0)
        result = step_functions[step->kind] ? step_functions[step->kind](child, step) : -ENOSYS;
    record->error = result < 0 ? -result : 0;
    record->value = child->value;
    __atomic_store_n(&record->end_ns, now_ns(), __ATOMIC_RELEASE);
    return step->flags & STEP_FLAG_OPTIONAL ? 0 : result;
}

/* Let go of what is the launcher's, so that its death shows, and take our ends of the pipes. */
static void take_stdio(const struct child *child)
{
    sys_close(child->launcher_fd);
    for (int fd = FD_PLAN; fd <= FD_LOCK; fd++)
        sys_close(fd);
    for (int fd = 0; fd < 3; fd++)
        if (child->stdio[fd] >= 0)
            syscall(SYS_dup3, child->stdio[fd], fd, 0);
}

_Noreturn void run_child(struct child *child)
{
    take_stdio(child);
    for (uint32_t i = 0; i < child->plan->step_count; i++)
        if (child->plan->steps[i].stage == STAGE_CHILD && run_step(child, i) < 0)
            break;
    _exit(EXIT_STEP_FAILED);
}
