/* step_identity.c: to whom does the new process belong: parent, session, cgroups, namespaces? */
#define _GNU_SOURCE
#include "child.h"

#include <linux/keyctl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* Write all of `data` at once to an existing file of the host. */
int write_file(const char *path, const void *data, size_t size)
{
    int fd = sys_openat(AT_FDCWD, path, O_WRONLY | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    int result = sys_write_once(fd, data, size);
    sys_close(fd);
    return result;
}

/* Wait for the launcher's `release` with the same number: id maps are written, the veth is there.
 */
int step_wait(struct child *child, const struct step *step)
{
    unsigned char number = 0;
    long length = syscall(SYS_read, child->sync_fd, &number, sizeof number);
    if (length < 0)
        return -errno;
    if (length == 0)
        return -EPIPE;
    return number == step->a ? 0 : -EPROTO;
}

/* Tell the launcher that the hooks may see this process now, and wait until they have. */
int step_await_hooks(struct child *child, const struct step *step)
{
    char byte = 'H';
    (void)step;
    int result = sys_write_once(child->sync_fd, &byte, 1);
    if (result < 0)
        return result;
    long length = syscall(SYS_read, child->sync_fd, &byte, 1);
    return length < 0 ? -errno : length == 0 ? -EPIPE : 0;
}

/* Kernel: the setting is lost when the process changes its user (prctl(2)), so this comes again.
 * The parent may have died before it was made; getppid is 0 in a new PID namespace and tells
 * nothing, but the launcher's end of the socket does. */
int tie_to_parent(const struct child *child)
{
    int result = sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    struct pollfd launcher = {.fd = child->sync_fd};
    struct timespec at_once = {0};
    syscall(SYS_ppoll, &launcher, 1, &at_once, NULL, 8);
    return launcher.revents & POLLHUP ? -EPIPE : result;
}

int step_die_with_parent(struct child *child, const struct step *step)
{
    (void)step;
    child->is_tied = true;
    return tie_to_parent(child);
}

/* Security: a process of the caller's session could push characters into its terminal
 * (CVE-2017-5226). */
int step_new_session(struct child *child, const struct step *step)
{
    (void)child, (void)step;
    int session = sys_result(syscall(SYS_setsid));
    return session < 0 ? session : 0;
}

/* Kernel: "0" into `tasks` moves the calling thread and takes no lock; `cgroup.procs` waits for an
 * RCU grace period, 5 to 16 ms (cgroup_procs_write_start). */
int step_join_cgroup(struct child *child, const struct step *step)
{
    return write_file(step_path(child, step), "0", 1);
}

/* Join the namespace of a descriptor or, without one, of a file.
 *
 * Security: a process inside could trace this one from the moment it is there (CVE-2016-9962), but
 * not while it is not dumpable. */
int join_namespace(int fd, const char *path, int type, uint64_t *inode)
{
    int namespace_fd = fd >= 0 ? fd : sys_openat(AT_FDCWD, path, O_RDONLY, 0);
    if (namespace_fd < 0)
        return namespace_fd;
    struct stat status = {0};
    int result = sys_prctl(PR_SET_DUMPABLE, 0, 0, 0);
    if (result == 0)
        result = sys_fstat(namespace_fd, &status);
    if (result == 0)
        result = sys_result(syscall(SYS_setns, namespace_fd, type));
    *inode = status.st_ino;
    if (fd < 0)
        sys_close(namespace_fd);
    return result;
}

int step_join_namespace(struct child *child, const struct step *step)
{
    return join_namespace(step->fd, step_path(child, step), (int)step->a, &child->value);
}

/* Not in clone3.  Kernel: a cgroup namespace born there has its root at the parent's cgroup;
 * offsets of a time namespace can only be written before a process is in it (time_namespaces(7)).
 */
int step_unshare(struct child *child, const struct step *step)
{
    (void)child;
    return sys_result(syscall(SYS_unshare, (int)step->a));
}

/* The new time namespace waits for the next execve; until then its offsets are open. */
int step_write_time_offsets(struct child *child, const struct step *step)
{
    int fd = open_own_proc(child, "self/timens_offsets", O_WRONLY);
    if (fd < 0)
        return fd;
    int result = sys_write_once(fd, step_data(child, step), step->data_size);
    sys_close(fd);
    return result;
}

/* In a new user namespace every id is the overflow id until this.  Groups first: they need the
 * capability that setresuid might take.
 *
 * Security: with fs.suid_dumpable=1, a change of user makes the process dumpable again. */
int step_become_root(struct child *child, const struct step *step)
{
    (void)step;
    int result = sys_result(syscall(SYS_setgroups, 0, NULL));
    if (result < 0 && result != -EPERM)
        return result;
    result = sys_result(syscall(SYS_setresgid, 0, 0, 0));
    if (result == 0)
        result = sys_result(syscall(SYS_setresuid, 0, 0, 0));
    if (result == 0)
        result = sys_prctl(PR_SET_DUMPABLE, 0, 0, 0);
    return result == 0 && child->is_tied ? tie_to_parent(child) : result;
}

/* Keys of the caller's session are not for the container.  A host without keyrings, or with a full
 * quota, has nothing to share. */
int step_join_keyring(struct child *child, const struct step *step)
{
    char name[256] = "";
    if (step->data_size >= sizeof name)
        return -ENAMETOOLONG;
    memcpy(name, step_data(child, step), step->data_size);
    long serial = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name, 0, 0, 0);
    if (serial < 0)
        return errno == ENOSYS || errno == EDQUOT || errno == EPERM ? 0 : -errno;
    /* The possessor may do all; its user may search, so that key requests reach it. */
    int result = sys_result(syscall(SYS_keyctl, KEYCTL_SETPERM, serial, 0x3f080000, 0, 0));
    return result == -EPERM || result == -ENOSYS || result == -EACCES ? 0 : result;
}

/* Let a child of one's parent be born where setns said, and go on in its place: the launcher is
 * told, reaps this process, and answers.  Kernel: setns moves nobody but children into a PID
 * namespace (pid_namespaces(7)); PDEATHSIG is not inherited (prctl(2)).
 *
 * Security: from here on whoever has CAP_SYS_PTRACE in the container may trace the process.  It is
 * in there with everything else by now, and holds no descriptor of the host's. */
int step_enter_pid_namespace(struct child *child, const struct step *step)
{
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = CLONE_PARENT | CLONE_PIDFD,
        .pidfd = (uintptr_t)&pidfd,
    };
    char text[16] = "P", byte = 0;
    if (child->proc_fd >= 0)
        sys_close(child->proc_fd);
    child->proc_fd = -1;
    if (step->fd >= 0)
        sys_close(step->fd);
    int pid = sys_result(syscall(SYS_clone3, &arguments, sizeof arguments));
    if (pid < 0)
        return pid;
    if (pid > 0) {
        append_number(text + 1, (unsigned)pid);
        send_descriptor(child->sync_fd, pidfd, text);
        _exit(0);
    }
    if (syscall(SYS_read, child->sync_fd, &byte, 1) != 1)
        return -EPIPE;
    return child->is_tied ? tie_to_parent(child) : 0;
}
