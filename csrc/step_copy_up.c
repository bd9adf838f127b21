/* step_copy_up.c: how does a fresh tmpfs begin with what the image has at its place?
 *
 * The mount option tmpcopyup.  Both trees are walked by descriptors of directories and no link is
 * followed: what the image holds decides names and content, never places.
 */
#define _GNU_SOURCE
#include "child.h"

#include <string.h>

enum { MAX_DEPTH = 64, ENTRY_BYTES = 1024, COPY_BYTES = 16384 };

struct entry { /* linux_dirent64 of getdents64(2) */
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

/* Owner first: a change of it clears the set-user-id bit.  Kernel: an id that a user namespace does
 * not map can't be given (EINVAL); the copy is then root's. */
static int copy_owner(int dir_fd, const char *name, const struct stat *status)
{
    int result = sys_result(syscall(SYS_fchownat, dir_fd, name, status->st_uid, status->st_gid,
                                    AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
    return result == -EINVAL ? 0 : result;
}

/* Last, since all else changes them. */
static int copy_times(int fd, const struct stat *status)
{
    const struct timespec times[] = {status->st_atim, status->st_mtim};
    return sys_result(syscall(SYS_utimensat, fd, NULL, times, 0));
}

static int copy_bytes(int from_fd, int to_fd)
{
    char buffer[COPY_BYTES];
    for (;;) {
        long length = syscall(SYS_read, from_fd, buffer, sizeof buffer);
        if (length <= 0)
            return length < 0 ? -errno : 0;
        int result = sys_write_once(to_fd, buffer, (size_t)length);
        if (result < 0)
            return result;
    }
}

static int copy_file(int from_fd, int to_dir, const char *name, const struct stat *status)
{
    int to_fd = sys_openat(to_dir, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0600);
    if (to_fd < 0)
        return to_fd;
    int result = copy_bytes(from_fd, to_fd);
    if (result == 0)
        result = copy_owner(to_fd, "", status);
    if (result == 0)
        result = sys_result(syscall(SYS_fchmod, to_fd, status->st_mode & 07777));
    if (result == 0)
        result = copy_times(to_fd, status);
    sys_close(to_fd);
    return result;
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *status)
{
    char link[PATH_MAX];
    long length = syscall(SYS_readlinkat, from_dir, name, link, sizeof link - 1);
    if (length < 0)
        return -errno;
    link[length] = '\0';
    int result = sys_result(syscall(SYS_symlinkat, link, to_dir, name));
    return result < 0 ? result : copy_owner(to_dir, name, status);
}

/* A device, a FIFO or a socket. */
static int copy_node(int to_dir, const char *name, const struct stat *status)
{
    int result =
        sys_result(syscall(SYS_mknodat, to_dir, name, status->st_mode, (unsigned)status->st_rdev));
    return result < 0 ? result : copy_owner(to_dir, name, status);
}

static int copy_directory(int from_fd, int to_dir, const char *name, int depth)
{
    int result = sys_mkdirat(to_dir, name, 0700);
    int to_fd = result < 0 ? result : sys_openat(to_dir, name, O_RDONLY | O_DIRECTORY, 0);
    if (to_fd < 0)
        return to_fd;
    result = copy_tree(from_fd, to_fd, depth);
    sys_close(to_fd);
    return result;
}

/* Open a file or directory for reading, if it is still the one that was looked at.  Security: a
 * container that shares the rootfs could have put a device there. */
static int reopen(int dir_fd, const char *name, const struct stat *seen)
{
    struct stat status;
    int fd = sys_openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    int result = sys_fstat(fd, &status);
    if (result == 0 && (status.st_ino != seen->st_ino || status.st_dev != seen->st_dev))
        result = -ESTALE;
    if (result == 0)
        return fd;
    sys_close(fd);
    return result;
}

static int copy_entry(int from_dir, int to_dir, const char *name, int depth)
{
    struct stat status;
    int path_fd = sys_openat(from_dir, name, O_PATH | O_NOFOLLOW, 0);
    int result = path_fd < 0 ? path_fd : sys_fstat(path_fd, &status);
    if (path_fd >= 0)
        sys_close(path_fd);
    if (result < 0)
        return result;
    if (S_ISLNK(status.st_mode))
        return copy_link(from_dir, to_dir, name, &status);
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return copy_node(to_dir, name, &status);
    int from_fd = reopen(from_dir, name, &status);
    if (from_fd < 0)
        return from_fd;
    result = S_ISREG(status.st_mode) ? copy_file(from_fd, to_dir, name, &status)
                                     : copy_directory(from_fd, to_dir, name, depth + 1);
    sys_close(from_fd);
    return result;
}

/* Give the directory `to_fd` the content, owner and mode of `from_fd`. */
int copy_tree(int from_fd, int to_fd, int depth)
{
    _Alignas(8) char buffer[ENTRY_BYTES];
    struct stat status;
    long size = 0;
    int result = depth < MAX_DEPTH ? sys_fstat(from_fd, &status) : -ELOOP;

    while (result == 0 && (size = syscall(SYS_getdents64, from_fd, buffer, sizeof buffer)) > 0) {
        for (long position = 0; result == 0 && position < size;) {
            const struct entry *entry = (const void *)(buffer + position);
            position += entry->length;
            if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
                result = copy_entry(from_fd, to_fd, entry->name, depth);
        }
    }
    if (result == 0 && size < 0)
        result = -errno;
    if (result == 0)
        result = copy_owner(to_fd, "", &status);
    if (result == 0)
        result = sys_result(syscall(SYS_fchmod, to_fd, status.st_mode & 07777));
    return result < 0 ? result : copy_times(to_fd, &status);
}
