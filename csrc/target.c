/* target.c: how does a path that the image controls become a file descriptor, safely?
 *
 * Security: every touch of the rootfs goes through here.  openat2 with RESOLVE_IN_ROOT ends every
 * link inside the rootfs, RESOLVE_NO_MAGICLINKS refuses those of /proc; what is done then is done
 * to the descriptor, never to the path again (CVE-2019-16884, CVE-2021-30465, CVE-2024-45310).
 */
#define _GNU_SOURCE
#include "child.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

enum { MAX_LINKS = 16 };

/* Open by O_PATH; `flags` adds O_DIRECTORY or O_NOFOLLOW. */
int open_target(const struct child *child, const char *path, uint64_t flags)
{
    return sys_openat2(child->root_fd, *path ? path : "/", O_PATH | flags,
                       RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* Open `path`; make it in `parent_fd` as `name` if it is missing.  -EAGAIN: it is a link to
 * nothing.
 */
static int make_component(const struct child *child, int parent_fd, const char *path,
                          const char *name, mode_t mode)
{
    uint64_t flags = S_ISDIR(mode) ? O_DIRECTORY : 0;
    int fd = open_target(child, path, flags);
    if (fd != -ENOENT)
        return fd;
    int result = S_ISDIR(mode) ? sys_mkdirat(parent_fd, name, mode & 07777)
                               : sys_openat(parent_fd, name,
                                            O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, mode & 07777);
    if (result >= 0 && !S_ISDIR(mode))
        sys_close(result);
    if (result < 0 && result != -EEXIST)
        return result;
    fd = open_target(child, path, flags);
    return fd == -ENOENT ? -EAGAIN : fd;
}

/* Replace the component `name` of `path` by what the link says; `rest` is what stands behind it. */
static int follow_link(int parent_fd, char *path, char *name, const char *rest)
{
    char link[PATH_MAX], tail[PATH_MAX];
    long length = syscall(SYS_readlinkat, parent_fd, name, link, sizeof link);
    if (length < 0)
        return -errno;
    char *start = link[0] == '/' ? path : name;
    size_t rest_size = strlen(rest) + 1;
    if ((size_t)(start - path) + (size_t)length + 1 + rest_size > PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(tail, rest, rest_size);
    memcpy(start, link, (size_t)length);
    start[length] = '/';
    memcpy(start + length + 1, tail, rest_size);
    return -EAGAIN;
}

/* Walk `path` once and make what is missing; -EAGAIN when a link changed the path. */
static int make_components(const struct child *child, char *path, mode_t mode)
{
    int parent_fd = open_target(child, "/", O_DIRECTORY);
    char *name = path;

    while (parent_fd >= 0) {
        while (*name == '/')
            name++;
        if (!*name)
            break;
        char *end = name;
        while (*end && *end != '/')
            end++;
        char *rest = end;
        while (*rest == '/')
            rest++;
        char separator = *end;
        *end = '\0';
        int fd = make_component(child, parent_fd, path, name, *rest ? S_IFDIR | 0755 : mode);
        if (fd == -EAGAIN)
            fd = follow_link(parent_fd, path, name, rest);
        else
            *end = separator;
        sys_close(parent_fd);
        parent_fd = fd;
        name = end;
    }
    return parent_fd;
}

/* Open what may be missing: a directory or, with S_IFREG, an empty file; parents get 0755.  A link
 * to nothing is followed inside the rootfs, and what it leads to is made: /etc/resolv.conf of many
 * an image. */
int make_target(const struct child *child, const char *path, mode_t mode)
{
    char buffer[PATH_MAX];
    int fd = open_target(child, path, S_ISDIR(mode) ? O_DIRECTORY : 0);
    if (fd != -ENOENT)
        return fd;
    size_t size = strlen(path) + 1;
    if (size > sizeof buffer)
        return -ENAMETOOLONG;
    memcpy(buffer, path, size);
    fd = -EAGAIN;
    for (int links = 0; fd == -EAGAIN && links < MAX_LINKS; links++)
        fd = make_components(child, buffer, mode);
    return fd == -EAGAIN ? -ELOOP : fd;
}

/* Open the directory that holds the last component, which may be missing, and point at that. */
int open_parent(const struct child *child, const char *path, const char **name)
{
    char buffer[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof buffer)
        return -ENAMETOOLONG;
    while (length > 0 && path[length - 1] != '/')
        length--;
    *name = path + length;
    if (!**name || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0)
        return -EINVAL;
    memcpy(buffer, path, length);
    buffer[length] = '\0';
    return make_target(child, buffer, S_IFDIR | 0755);
}

/* Open a file of a procfs that was never attached anywhere.
 *
 * Security: the container's own /proc may be covered by what a volume put there (CVE-2025-52881,
 * CVE-2019-16884); nothing can lie over this one, and no link of it is followed but `self`. */
int open_own_proc(struct child *child, const char *path, uint64_t flags)
{
    if (child->proc_fd < 0) {
        int fs_fd = sys_fsopen("proc");
        if (fs_fd < 0)
            return fs_fd;
        int result = sys_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL);
        if (result == 0)
            result = sys_fsmount(fs_fd, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        sys_close(fs_fd);
        if (result < 0)
            return result;
        child->proc_fd = result;
    }
    int fd = sys_openat2(child->proc_fd, path, flags,
                         RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);
    if (fd < 0)
        return fd;
    struct statfs status;
    int result = sys_result(syscall(SYS_fstatfs, fd, &status));
    if (result == 0 && status.f_type != PROC_SUPER_MAGIC)
        result = -EXDEV;
    if (result < 0) {
        sys_close(fd);
        return result;
    }
    return fd;
}
