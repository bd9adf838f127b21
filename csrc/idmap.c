/* idmap.c: how does a mount show the files of one user as another's?
 *
 * Kernel: the ids of a mount are mapped by a user namespace, once, while the mount is attached
 * nowhere, and only by who may do anything on its filesystem: so the launcher does it on the host
 * and the child attaches what it is given (mount_setattr(2), MOUNT_ATTR_IDMAP).
 */
#define _GNU_SOURCE
#include "parent.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { PATH_BYTES = 64 };

/* A namespace lives as long as somebody is in it or has it open: this one only waits. */
static _Noreturn void hold_namespace(void)
{
    sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    for (;;)
        syscall(SYS_ppoll, NULL, 0, NULL, NULL, 8);
}

static int write_map(pid_t pid, const char *name, const char *map)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return write_file(path, map, strlen(map));
}

/* Return a new user namespace with these maps, as a descriptor. */
static int make_user_namespace(const char *uid_map, const char *gid_map)
{
    char path[PATH_BYTES];
    struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid < 0)
        return -errno;
    if (pid == 0)
        hold_namespace();
    int result = write_map((pid_t)pid, "uid_map", uid_map);
    if (result == 0)
        result = write_map((pid_t)pid, "gid_map", gid_map);
    if (result == 0) {
        snprintf(path, sizeof path, "/proc/%ld/ns/user", pid);
        result = sys_openat(AT_FDCWD, path, O_RDONLY, 0);
    }
    kill((pid_t)pid, SIGKILL);
    waitpid((pid_t)pid, NULL, 0);
    return result;
}

static int change(int tree_fd, uint64_t attributes, unsigned flags, int namespace_fd)
{
    struct mount_attr change = {.attr_set = attributes, .userns_fd = (unsigned)namespace_fd};
    if (attributes & MOUNT_ATTR__ATIME)
        change.attr_clr = MOUNT_ATTR__ATIME;
    if (attributes == 0)
        return 0;
    return sys_mount_setattr(tree_fd, "", AT_EMPTY_PATH | flags, &change);
}

/* Return the source as a detached mount with its attributes and ids.
 *
 * Security: a link of /proc in the source would name a file of this process. */
static int clone_mapped(const struct step *step, const char *source, int namespace_fd)
{
    unsigned recursive = step->flags & STEP_FLAG_RECURSIVE ? AT_RECURSIVE : 0;
    int source_fd = sys_openat2(AT_FDCWD, source, O_PATH, RESOLVE_NO_MAGICLINKS);
    if (source_fd < 0)
        return source_fd;
    int tree_fd = sys_open_tree(source_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | recursive);
    close(source_fd);
    if (tree_fd < 0)
        return tree_fd;
    int result = change(tree_fd, step->b, AT_RECURSIVE, namespace_fd);
    if (result == 0)
        result = change(tree_fd, step->a, 0, namespace_fd);
    if (result == 0)
        return tree_fd;
    close(tree_fd);
    return result;
}

/* The mount takes the place of the descriptor that the plan reserved for it. */
int map_mount(struct launch *launch, const struct step *step)
{
    const char *path = plan_string(launch->plan, step->target);
    const char *uid_map = plan_data(launch->plan, step);
    int namespace_fd = *path ? sys_openat(AT_FDCWD, path, O_RDONLY, 0)
                             : make_user_namespace(uid_map, uid_map + strlen(uid_map) + 1);
    if (namespace_fd < 0)
        return namespace_fd;
    int tree_fd = clone_mapped(step, plan_string(launch->plan, step->path), namespace_fd);
    close(namespace_fd);
    if (tree_fd < 0)
        return tree_fd;
    int result = dup3(tree_fd, step->fd, O_CLOEXEC) < 0 ? -errno : 0;
    close(tree_fd);
    return result;
}
