/* step_rootfs.c: how does a directory or a detached mount become "/"? */
#define _GNU_SOURCE
#include "child.h"

#include <string.h>
#include <sys/sysmacros.h>

enum { MS_REC_FLAG = 16384, MEMORY_MAJOR = 1, NULL_MINOR = 3 };

static bool is_null_device(const struct stat *status)
{
    return S_ISCHR(status->st_mode) && status->st_rdev == makedev(MEMORY_MAJOR, NULL_MINOR);
}

/* Security: masked files are covered by this one.  A /dev/null of the image may be a link to
 * anything (CVE-2025-31133), so it is the host's, opened before the rootfs is in sight. */
static int open_host_null(struct child *child)
{
    struct stat status;
    int fd = sys_openat(AT_FDCWD, "/dev/null", O_PATH | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    int result = sys_fstat(fd, &status);
    if (result < 0)
        return result;
    if (!is_null_device(&status))
        return -ENODEV;
    child->null_fd = fd;
    return 0;
}

/* Change the propagation of the mount that holds `fd`: where that is not its root, go up to it. */
static int set_propagation_of(int fd, uint64_t flags)
{
    struct mount_attr attributes = {.propagation = flags & ~(uint64_t)MS_REC_FLAG};
    unsigned recursive = flags & MS_REC_FLAG ? AT_RECURSIVE : 0;

    for (;;) {
        int result = sys_mount_setattr(fd, "", AT_EMPTY_PATH | recursive, &attributes);
        int parent_fd = result == -EINVAL ? sys_openat(fd, "..", O_PATH, 0) : -1;
        struct stat here, above;
        bool is_top = parent_fd < 0 || sys_fstat(fd, &here) < 0 ||
                      sys_fstat(parent_fd, &above) < 0 ||
                      (here.st_ino == above.st_ino && here.st_dev == above.st_dev);
        sys_close(fd);
        if (is_top) {
            if (parent_fd >= 0)
                sys_close(parent_fd);
            return result;
        }
        fd = parent_fd;
    }
}

/* First of all mount steps: what is mounted from here on must not appear on the host. */
int step_set_propagation(struct child *child, const struct step *step)
{
    const char *target = step_target(child, step);
    int fd = child->root_fd == AT_FDCWD ? sys_openat(AT_FDCWD, target, O_PATH, 0)
                                        : open_target(child, target, 0);
    return fd < 0 ? fd : set_propagation_of(fd, step->a);
}

/* pivot_root wants a mount of this namespace; a detached one is in none yet. */
int step_attach_rootfs(struct child *child, const struct step *step)
{
    int result = open_host_null(child);
    if (result < 0)
        return result;
    int target_fd = sys_openat(AT_FDCWD, step_target(child, step), O_PATH | O_DIRECTORY, 0);
    if (target_fd < 0)
        return target_fd;
    result = sys_move_mount(step->fd, target_fd);
    sys_close(target_fd);
    child->root_fd = step->fd;
    return result;
}

/* The directory, put on itself, so that it is a mount. */
int step_bind_rootfs(struct child *child, const struct step *step)
{
    int result = open_host_null(child);
    if (result < 0)
        return result;
    int source_fd = sys_openat(AT_FDCWD, step_path(child, step), O_PATH | O_DIRECTORY, 0);
    if (source_fd < 0)
        return source_fd;
    int tree_fd = sys_open_tree(source_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
    result = tree_fd < 0 ? tree_fd : sys_move_mount(tree_fd, source_fd);
    sys_close(source_fd);
    if (tree_fd >= 0)
        child->root_fd = tree_fd;
    return result;
}

/* The directory itself: in a mount namespace that others are in, nothing is mounted for it. */
int step_open_rootfs(struct child *child, const struct step *step)
{
    int fd = step->fd >= 0 ? step->fd
                           : sys_openat(AT_FDCWD, step_path(child, step), O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    child->root_fd = fd;
    return 0;
}

/* Security: 0, 1 or 2 may be the host's /dev/null, and root in here owns its inode as well: a chmod
 * of /proc/self/fd/0 would be for the whole host.  The container's own takes its place.  A root
 * without one keeps what it was given: who made its spec left it out. */
static void replace_null_stdio(const struct child *child)
{
    struct stat status;
    int own_fd = -1;

    for (int fd = 0; fd < 3; fd++) {
        if (sys_fstat(fd, &status) < 0 || !is_null_device(&status))
            continue;
        if (own_fd < 0)
            own_fd = sys_openat2(child->root_fd, "dev/null", O_RDWR | O_NOCTTY | O_NONBLOCK,
                                 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
        if (own_fd >= 0 && sys_fstat(own_fd, &status) == 0 && is_null_device(&status))
            syscall(SYS_dup3, own_fd, fd, 0);
    }
    if (own_fd >= 0)
        sys_close(own_fd);
}

/* From here on "/" is the root. */
static int enter_root(struct child *child)
{
    sys_close(child->root_fd);
    child->root_fd = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
    if (child->root_fd < 0)
        return child->root_fd;
    replace_null_stdio(child);
    return 0;
}

/* Kernel: pivot_root(".", ".") puts the old root on top of the new one, where umount2 finds it
 * (pivot_root(2), "pivot_root(".", ".")").  The old tree becomes a slave before: its unmounting
 * must not reach the host, whatever propagation the plan asked for. */
int step_pivot_root(struct child *child, const struct step *step)
{
    (void)step;
    struct mount_attr slave = {.propagation = 1 << 19 /* MS_SLAVE */};
    int old_fd = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
    if (old_fd < 0)
        return old_fd;
    int result = sys_result(syscall(SYS_fchdir, child->root_fd));
    if (result == 0)
        result = sys_result(syscall(SYS_pivot_root, ".", "."));
    if (result == 0)
        result = sys_mount_setattr(old_fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &slave);
    sys_close(old_fd);
    if (result == 0)
        result = sys_result(syscall(SYS_umount2, ".", MNT_DETACH));
    if (result == 0)
        result = sys_result(syscall(SYS_chdir, "/"));
    if (result < 0)
        return result;
    return enter_root(child);
}

/* Kernel: under a chroot the host's mounts stay in the namespace, and a procfs or sysfs among them
 * of which nothing is covered lets a new one be mounted inside.  One that is locked, because it
 * came from a more privileged namespace, is covered instead. */
static int hide_mount(const char *path)
{
    enum { NO_FOLLOW = 8 /* UMOUNT_NOFOLLOW */ };
    int result = sys_result(syscall(SYS_umount2, path, MNT_DETACH | NO_FOLLOW));
    if (result != -EINVAL && result != -EPERM)
        return result;
    return sys_result(syscall(SYS_mount, "tmpfs", path, "tmpfs", 0, NULL));
}

/* Kernel: nothing can be pivoted away from the initial ramdisk's root; it is covered by a mount
 * that is moved onto it, and chroot leads there (switch_root(8)). */
int step_move_root(struct child *child, const struct step *step)
{
    const char *path = step_data(child, step), *end = path + step->data_size;
    int result = 0;
    for (; result == 0 && path < end; path += strlen(path) + 1)
        result = hide_mount(path);
    int host_fd = result == 0 ? sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0) : result;
    if (host_fd < 0)
        return host_fd;
    result = sys_move_mount(child->root_fd, host_fd);
    sys_close(host_fd);
    return result < 0 ? result : step_change_root(child, step);
}

/* Kernel: pivot_root moves everybody whose root is the old one, so it is for a mount namespace of
 * one's own; where others are in it, only this process gets another root. */
int step_change_root(struct child *child, const struct step *step)
{
    (void)step;
    int result = sys_result(syscall(SYS_fchdir, child->root_fd));
    if (result == 0)
        result = sys_result(syscall(SYS_chroot, "."));
    if (result == 0)
        result = sys_result(syscall(SYS_chdir, "/"));
    return result < 0 ? result : enter_root(child);
}
