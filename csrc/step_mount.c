/* step_mount.c: how do filesystems, binds and masks get into the rootfs?
 *
 * Each mount is made detached, gets its attributes, and is then put on the descriptor of its
 * target: at no moment is it there without them, and no path is walked twice.
 */
#define _GNU_SOURCE
#include "child.h"

#include <string.h>

enum { DIRECTORY_MODE = S_IFDIR | 0755, FILE_MODE = S_IFREG | 0644 };

static const uint64_t hardened = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/* Kernel: the bits of access time are one field: setting any of them means clearing all
 * (mount_setattr(2)). */
int set_attributes(int mount_fd, uint64_t set, uint64_t clear, unsigned flags)
{
    struct mount_attr attributes = {.attr_set = set, .attr_clr = clear};
    if ((set | clear) & MOUNT_ATTR__ATIME)
        attributes.attr_clr |= MOUNT_ATTR__ATIME;
    return sys_mount_setattr(mount_fd, "", AT_EMPTY_PATH | flags, &attributes);
}

static int attach_and_close(int mount_fd, int target_fd)
{
    int result = mount_fd < 0 ? mount_fd : target_fd < 0 ? target_fd : 0;
    if (result == 0)
        result = sys_move_mount(mount_fd, target_fd);
    if (mount_fd >= 0)
        sys_close(mount_fd);
    if (target_fd >= 0)
        sys_close(target_fd);
    return result;
}

int step_make_directory(struct child *child, const struct step *step)
{
    int fd = make_target(child, step_target(child, step), S_IFDIR | (mode_t)step->a);
    if (fd < 0)
        return fd;
    sys_close(fd);
    return 0;
}

static int configure_one(int fs_fd, const char *option)
{
    char key[64];
    const char *value = strchr(option, '=');
    size_t length = value ? (size_t)(value - option) : strlen(option);
    if (length >= sizeof key)
        return -EINVAL;
    memcpy(key, option, length);
    key[length] = '\0';
    return value ? sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, key, value + 1)
                 : sys_fsconfig(fs_fd, FSCONFIG_SET_FLAG, key, NULL);
}

/* `options` are "key=value" and "key" strings, one behind the other.  Without a source of its own a
 * filesystem shows its type there, as mount(8) has it. */
static int configure(int fs_fd, const char *type, const char *options, uint32_t size)
{
    const char *end = options + size;
    bool has_source = false;
    int result = 0;

    for (const char *option = options; result == 0 && option < end; option += strlen(option) + 1) {
        has_source |= strncmp(option, "source=", 7) == 0;
        result = configure_one(fs_fd, option);
    }
    return result < 0 || has_source ? result
                                    : sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", type);
}

/* Return a detached mount of a new filesystem, its name shown as its source. */
static int make_filesystem(const char *type, const char *options, uint32_t size,
                           uint64_t attributes)
{
    int fs_fd = sys_fsopen(type);
    if (fs_fd < 0)
        return fs_fd;
    int result = configure(fs_fd, type, options, size);
    if (result == 0)
        result = sys_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL);
    if (result == 0)
        result = sys_fsmount(fs_fd, attributes);
    sys_close(fs_fd);
    return result;
}

/* Fill the new mount with what lies at its place, and only then make it read-only. */
static int copy_up(int mount_fd, int target_fd, const struct step *step)
{
    int from_fd = sys_openat(target_fd, ".", O_RDONLY | O_DIRECTORY, 0);
    int to_fd = from_fd < 0 ? from_fd : sys_openat(mount_fd, ".", O_RDONLY | O_DIRECTORY, 0);
    int result = to_fd < 0 ? to_fd : copy_tree(from_fd, to_fd, 0);
    if (to_fd >= 0)
        sys_close(to_fd);
    if (from_fd >= 0)
        sys_close(from_fd);
    return result < 0 ? result : set_attributes(mount_fd, step->a & MOUNT_ATTR_RDONLY, 0, 0);
}

/* Security: the mount point of proc or sysfs may not be a link: another container that shares a
 * volume could turn it while they start (CVE-2019-19921, CVE-2023-27561). */
int step_mount(struct child *child, const struct step *step)
{
    const char *target = step_target(child, step);
    bool has_content = step->flags & STEP_FLAG_COPY_UP;
    int mount_fd = make_filesystem(step_path(child, step), step_data(child, step), step->data_size,
                                   has_content ? step->a & ~(uint64_t)MOUNT_ATTR_RDONLY : step->a);
    if (mount_fd < 0)
        return mount_fd;
    uint64_t no_follow = step->flags & STEP_FLAG_NO_FOLLOW ? O_NOFOLLOW | O_DIRECTORY : 0;
    int target_fd = open_target(child, target, no_follow);
    if (target_fd == -ENOENT && step->flags & STEP_FLAG_CREATE_DIRECTORY)
        target_fd = make_target(child, target, DIRECTORY_MODE);
    int result = has_content && target_fd >= 0 ? copy_up(mount_fd, target_fd, step) : 0;
    if (result == 0)
        return attach_and_close(mount_fd, target_fd);
    sys_close(mount_fd);
    sys_close(target_fd);
    return result;
}

/* The mount option remount: other options for the filesystem that is mounted there. */
int step_reconfigure(struct child *child, const struct step *step)
{
    const char *option = step_data(child, step), *end = option + step->data_size;
    int target_fd = open_target(child, step_target(child, step), 0);
    if (target_fd < 0)
        return target_fd;
    int fs_fd = sys_result(syscall(SYS_fspick, target_fd, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC));
    sys_close(target_fd);
    if (fs_fd < 0)
        return fs_fd;
    int result = 0;
    for (; result == 0 && option < end; option += strlen(option) + 1)
        result = configure_one(fs_fd, option);
    if (result == 0)
        result = sys_fsconfig(fs_fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL);
    sys_close(fs_fd);
    return result;
}

/* One entry of the view: a bind of the container's directory of a hierarchy, or a link. */
static int add_cgroup(int view_fd, const char *name, const char *source, uint64_t attributes)
{
    if (*source != '/')
        return sys_result(syscall(SYS_symlinkat, source, view_fd, name));
    int result = sys_mkdirat(view_fd, name, 0755);
    if (result < 0)
        return result;
    int tree_fd = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE);
    if (tree_fd < 0)
        return tree_fd;
    result = set_attributes(tree_fd, attributes, 0, 0);
    if (result < 0) {
        sys_close(tree_fd);
        return result;
    }
    return attach_and_close(tree_fd, sys_openat(view_fd, name, O_PATH | O_DIRECTORY, 0));
}

/* v1: a tmpfs with one directory a hierarchy.
 *
 * Security: everything read-only: release_agent and the limits are files (CVE-2022-0492,
 * CVE-2023-25809).  Kernel: nothing can be mounted on a detached mount before 6.15, so it is
 * attached first and becomes read-only last. */
int step_mount_cgroups(struct child *child, const struct step *step)
{
    static const char options[] = "mode=755\0size=65536";
    const char *entry = step_data(child, step), *end = entry + step->data_size;
    int view_fd = make_filesystem("tmpfs", options, sizeof options, step->a & hardened);
    if (view_fd < 0)
        return view_fd;
    int target_fd = make_target(child, step_target(child, step), DIRECTORY_MODE);
    int result = target_fd < 0 ? target_fd : sys_move_mount(view_fd, target_fd);
    while (result == 0 && entry < end) {
        const char *source = entry + strlen(entry) + 1;
        result = add_cgroup(view_fd, entry, source, step->a);
        entry = source + strlen(source) + 1;
    }
    if (result == 0)
        result = set_attributes(view_fd, step->a, 0, 0);
    sys_close(view_fd);
    if (target_fd >= 0)
        sys_close(target_fd);
    return result;
}

/* Security: the source is the caller's, but a link of /proc in it would name a file of this process
 * (GHSA-c3xm-pvg7-gh7r). */
static int clone_source(struct child *child, const struct step *step)
{
    unsigned flags =
        AT_EMPTY_PATH | OPEN_TREE_CLONE | (step->flags & STEP_FLAG_RECURSIVE ? AT_RECURSIVE : 0);
    if (step->fd >= 0)
        return sys_open_tree(step->fd, "", flags);
    int source_fd = sys_openat2(AT_FDCWD, step_path(child, step), O_PATH, RESOLVE_NO_MAGICLINKS);
    if (source_fd < 0)
        return source_fd;
    int tree_fd = sys_open_tree(source_fd, "", flags);
    sys_close(source_fd);
    return tree_fd;
}

/* Open the target; one that is missing becomes what the flags allow and the source is. */
static int open_bind_target(struct child *child, const struct step *step, int tree_fd)
{
    const char *target = step_target(child, step);
    struct stat source;
    int result = sys_fstat(tree_fd, &source);
    if (result < 0)
        return result;
    unsigned wanted = S_ISDIR(source.st_mode) ? STEP_FLAG_CREATE_DIRECTORY : STEP_FLAG_CREATE_FILE;
    if (step->flags & wanted)
        return make_target(child, target, S_ISDIR(source.st_mode) ? DIRECTORY_MODE : FILE_MODE);
    return open_target(child, target, step->flags & STEP_FLAG_NO_FOLLOW ? O_NOFOLLOW : 0);
}

int step_bind(struct child *child, const struct step *step)
{
    bool is_ready = step->flags & STEP_FLAG_DETACHED;
    int tree_fd = is_ready ? step->fd : clone_source(child, step);
    if (tree_fd < 0)
        return tree_fd;
    int result = step->b ? set_attributes(tree_fd, step->b, 0, AT_RECURSIVE) : 0;
    if (result == 0 && step->a)
        result = set_attributes(tree_fd, step->a, 0, 0);
    if (result < 0) {
        sys_close(tree_fd);
        return result;
    }
    return attach_and_close(tree_fd, open_bind_target(child, step, tree_fd));
}

int step_set_mount_attributes(struct child *child, const struct step *step)
{
    int fd = open_target(child, step_target(child, step), 0);
    if (fd < 0)
        return fd;
    unsigned flags = step->flags & STEP_FLAG_RECURSIVE ? AT_RECURSIVE : 0;
    int result = set_attributes(fd, step->a, step->b, flags);
    sys_close(fd);
    return result;
}

/* Kernel: before 6.15 only a mount of this namespace can be cloned; the first masked directory gets
 * the mount itself, and the others copies of it. */
static int mask_directory(struct child *child, int target_fd)
{
    if (child->empty_fd >= 0) {
        int tree_fd = sys_open_tree(child->empty_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
        return attach_and_close(tree_fd, target_fd);
    }
    static const char options[] = "ro\0size=0\0nr_inodes=1\0mode=555";
    int mount_fd = make_filesystem("tmpfs", options, sizeof options, MOUNT_ATTR_RDONLY | hardened);
    int result = mount_fd < 0 ? mount_fd : sys_move_mount(mount_fd, target_fd);
    sys_close(target_fd);
    child->empty_fd = mount_fd;
    return result;
}

/* Security: read-only, because root in the container owns the host's /dev/null as well, and could
 * change its mode for everybody.  Not nodev: what is hidden shall read as empty. */
static int mask_file(const struct child *child, int target_fd)
{
    const uint64_t attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    int tree_fd = sys_open_tree(child->null_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
    int result = tree_fd < 0 ? tree_fd : set_attributes(tree_fd, attributes, 0, 0);
    if (result < 0 && tree_fd >= 0) {
        sys_close(tree_fd);
        tree_fd = result;
    }
    return attach_and_close(tree_fd, target_fd);
}

/* Before pivot-root: the host's /dev/null is of no use after it. */
int step_mask(struct child *child, const struct step *step)
{
    int target_fd = open_target(child, step_target(child, step), 0);
    if (target_fd < 0)
        return target_fd == -ENOENT || target_fd == -ENOTDIR ? 0 : target_fd;
    struct stat status;
    int result = sys_fstat(target_fd, &status);
    if (result < 0) {
        sys_close(target_fd);
        return result;
    }
    if (S_ISDIR(status.st_mode))
        return mask_directory(child, target_fd);
    return mask_file(child, target_fd);
}

int step_make_readonly(struct child *child, const struct step *step)
{
    int target_fd = open_target(child, step_target(child, step), 0);
    if (target_fd < 0)
        return target_fd == -ENOENT || target_fd == -ENOTDIR ? 0 : target_fd;
    int tree_fd = sys_open_tree(target_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | AT_RECURSIVE);
    int result =
        tree_fd < 0 ? tree_fd : set_attributes(tree_fd, MOUNT_ATTR_RDONLY, 0, AT_RECURSIVE);
    if (result < 0) {
        sys_close(target_fd);
        if (tree_fd >= 0)
            sys_close(tree_fd);
        return result;
    }
    return attach_and_close(tree_fd, target_fd);
}
