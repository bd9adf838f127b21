/* unpack_below.c: what the layers below have, where an entry means that.
 *
 * A tar that enters a symbolic link of the layers below, or links a file down there, means what it
 * does in its own order: a later entry may take away what the link led to.  Such a layer is read
 * once more, with a view of the layers below: a read-only mount of which nothing leads out.
 */
#define _GNU_SOURCE
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { XATTR_NAMES = 1 << 16, XATTR_VALUE = 1 << 16, COPY_BYTES = 1 << 30 };

static void check(struct unpacker *unpacker, long result)
{
    if (result < 0)
        fail(unpacker, FAIL_SYSTEM, errno);
}

/* Does an opaque directory, this one or one above it, keep the layers below from being seen? */
bool is_hidden(const struct directory *directory)
{
    for (; directory != NULL; directory = directory->parent)
        if (directory->flags & OPAQUE)
            return true;
    return false;
}

/* Open what the layers below have under a name; -1 with ENOENT: nothing that is seen. */
static int open_below(struct unpacker *unpacker, const struct directory *parent, struct text name,
                      uint64_t flags)
{
    static char path[NAME_LIMIT];
    struct open_how how = {
        .flags = flags | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    char *at = path + sizeof path - name.length - 1;
    errno = ENOENT;
    if (is_hidden(parent))
        return -1;
    memcpy(at, name.bytes, name.length);
    at[name.length] = '\0';
    if (parent->parent != NULL)
        *--at = '/';
    at = directory_path(unpacker, parent, path, at);
    int fd = (int)syscall(SYS_openat2, unpacker->view_fd, at, &how, sizeof how);
    if (fd < 0 && errno != ENOENT && errno != ENOTDIR && errno != ELOOP)
        fail(unpacker, errno == ENAMETOOLONG ? FAIL_LONG_NAME : FAIL_SYSTEM, errno);
    errno = ENOENT;
    return fd;
}

/* As readlinkat(2), of what the layers below have. */
ssize_t read_link_below(struct unpacker *unpacker, const struct directory *parent, struct text name,
                        char *target, size_t size)
{
    int fd = open_below(unpacker, parent, name, O_PATH);
    if (fd < 0)
        return -1;
    ssize_t length = readlinkat(fd, "", target, size);
    close(fd);
    errno = ENOENT; /* Kernel: so it is for a descriptor of something else */
    return length;
}

/* Do the layers below have a directory there? */
bool is_directory_below(struct unpacker *unpacker, const struct directory *parent, struct text name)
{
    int fd = open_below(unpacker, parent, name, O_PATH | O_DIRECTORY);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void copy_xattrs(struct unpacker *unpacker, int from, int to)
{
    static char names[XATTR_NAMES], value[XATTR_VALUE];
    ssize_t size = flistxattr(from, names, sizeof names);
    if (size < 0 && errno == EOPNOTSUPP)
        return;
    check(unpacker, size);
    for (char *name = names; name < names + size; name += strlen(name) + 1) {
        if (strncmp(name, "user.", 5) != 0 && strcmp(name, "security.capability") != 0)
            continue;
        ssize_t length = fgetxattr(from, name, value, sizeof value);
        check(unpacker, length);
        check(unpacker, fsetxattr(to, name, value, (size_t)length, 0));
    }
}

static void copy_content(struct unpacker *unpacker, int from, int fd, const char *name)
{
    ssize_t count;
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int to = openat(fd, name, flags, 0600);
    check(unpacker, to);
    do {
        count = sendfile(to, from, NULL, COPY_BYTES);
        check(unpacker, count);
    } while (count > 0);
    check(unpacker, close(to));
}

static void copy_link(struct unpacker *unpacker, int from, int fd, const char *name)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(from, "", target, sizeof target - 1);
    check(unpacker, length);
    target[length] = '\0';
    check(unpacker, symlinkat(target, fd, name));
}

/* Owner, mode, xattrs and times, in this order, as for an entry of the archive. */
static void copy_attributes(struct unpacker *unpacker, int from, int fd, const char *name)
{
    struct stat status;
    check(unpacker, fstat(from, &status));
    struct timespec times[2] = {status.st_mtim, status.st_mtim};
    check(unpacker, fchownat(fd, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW));
    /* What was just made is no link, and nobody else is here to change that. */
    if (!S_ISLNK(status.st_mode))
        check(unpacker, fchmodat(fd, name, status.st_mode & 07777, 0));
    if (S_ISREG(status.st_mode)) {
        int to = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        check(unpacker, to);
        copy_xattrs(unpacker, from, to);
        check(unpacker, close(to));
    }
    check(unpacker, utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW));
}

static struct mark **bucket_of(struct unpacker *unpacker, const struct directory *parent,
                               struct text name)
{
    return &unpacker->marks[hash_name(parent, name) & (MARK_BUCKETS - 1)];
}

/* Note what lies in the tree and is not the layer's own: a whiteout (0), or a copy from below. */
void mark_foreign(struct unpacker *unpacker, struct directory *parent, struct text name,
                  uint64_t inode)
{
    struct mark **bucket = bucket_of(unpacker, parent, name);
    struct mark *mark = keep(unpacker, sizeof *mark);
    *mark = (struct mark){
        .next = *bucket,
        .parent = parent,
        .name = keep_text(unpacker, name.bytes, name.length),
        .inode = inode,
    };
    *bucket = mark;
}

static bool is_still_there(struct unpacker *unpacker, const struct mark *mark)
{
    struct stat status;
    int fd = directory_fd(unpacker, mark->parent);
    if (fstatat(fd, mark->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (mark->inode == 0)
        return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
    return status.st_ino == mark->inode;
}

/* Is what lies there only a copy of a file below? */
bool is_copy(struct unpacker *unpacker, const struct directory *parent, struct text name)
{
    for (struct mark *mark = *bucket_of(unpacker, parent, name); mark != NULL; mark = mark->next)
        if (mark->parent == parent && mark->inode != 0 && strcmp(mark->name, name.bytes) == 0 &&
            is_still_there(unpacker, mark))
            return true;
    return false;
}

/* Take away what an opaque directory hides.
 * Kernel: overlayfs lists whiteouts of a directory that it does not merge. */
void drop_hidden(struct unpacker *unpacker)
{
    for (size_t i = 0; i < MARK_BUCKETS; i++)
        for (struct mark *mark = unpacker->marks[i]; mark != NULL; mark = mark->next)
            if (!(mark->parent->flags & GONE) && is_hidden(mark->parent) &&
                is_still_there(unpacker, mark))
                check(unpacker, unlinkat(directory_fd(unpacker, mark->parent), mark->name, 0));
}

/* A second name, which the caller removes: so that nothing else gets this inode's number. */
static void remember_copy(struct unpacker *unpacker, struct directory *parent, struct text name)
{
    char aside[32];
    struct stat status;
    int fd = directory_fd(unpacker, parent);
    check(unpacker, fstatat(fd, name.bytes, &status, AT_SYMLINK_NOFOLLOW));
    snprintf(aside, sizeof aside, "removed/%llu", (unsigned long long)unpacker->removed_count++);
    check(unpacker, linkat(fd, name.bytes, unpacker->holder_fd, aside, 0));
    mark_foreign(unpacker, parent, name, status.st_ino);
}

/* Bring a file from below into the tree, as the overlay does before it links one.  False: there is
 * none. */
bool copy_up(struct unpacker *unpacker, struct directory *parent, struct text name)
{
    struct stat status;
    int from = open_below(unpacker, parent, name, O_PATH);
    if (from < 0)
        return false;
    check(unpacker, fstat(from, &status));
    if (S_ISDIR(status.st_mode))
        fail(unpacker, FAIL_LINK_DIRECTORY, 0);
    if (S_ISREG(status.st_mode)) {
        close(from);
        from = open_below(unpacker, parent, name, O_RDONLY | O_NONBLOCK);
        check(unpacker, from);
    }
    int fd = directory_fd(unpacker, parent);
    if (S_ISREG(status.st_mode))
        copy_content(unpacker, from, fd, name.bytes);
    else if (S_ISLNK(status.st_mode))
        copy_link(unpacker, from, fd, name.bytes);
    else
        check(unpacker, mknodat(fd, name.bytes, status.st_mode, status.st_rdev));
    copy_attributes(unpacker, from, fd, name.bytes);
    close(from);
    remember_copy(unpacker, parent, name);
    return true;
}
