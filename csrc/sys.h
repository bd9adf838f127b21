/* sys.h: the system calls as the kernel gives them: -errno for a failure, and no library state.
 *
 * For both worlds.  The child may use nothing else: it was born by a raw clone3, of which the C
 * library knows nothing.
 */
#ifndef PYRUNC_SYS_H
#define PYRUNC_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef FSMOUNT_CLOEXEC
#define FSMOUNT_CLOEXEC 1
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static inline int sys_result(long result)
{
    return result < 0 ? -errno : (int)result;
}

static inline int sys_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    return sys_result(syscall(SYS_openat, dir_fd, path, flags | O_CLOEXEC, mode));
}

static inline int sys_close(int fd)
{
    return sys_result(syscall(SYS_close, fd));
}

/* Kernel: with RESOLVE_IN_ROOT or RESOLVE_BENEATH, openat2 gives EAGAIN while anything on the
 * machine is renamed or mounted during a ".." (openat2(2)); it passes soon. */
static inline int sys_openat2(int dir_fd, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    int fd = -EAGAIN;
    for (int tries = 0; fd == -EAGAIN && tries < 128; tries++)
        fd = sys_result(syscall(SYS_openat2, dir_fd, path, &how, sizeof how));
    return fd;
}

static inline int sys_fsopen(const char *type)
{
    return sys_result(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
}

static inline int sys_fsconfig(int fs_fd, unsigned command, const char *key, const char *value)
{
    return sys_result(syscall(SYS_fsconfig, fs_fd, command, key, value, 0));
}

static inline int sys_fsmount(int fs_fd, uint64_t attributes)
{
    return sys_result(syscall(SYS_fsmount, fs_fd, FSMOUNT_CLOEXEC, (unsigned)attributes));
}

static inline int sys_open_tree(int dir_fd, const char *path, unsigned flags)
{
    return sys_result(syscall(SYS_open_tree, dir_fd, path, flags | OPEN_TREE_CLOEXEC));
}

/* Put the mount `fd` on what `target_fd` refers to: no path is walked. */
static inline int sys_move_mount(int fd, int target_fd)
{
    return sys_result(syscall(SYS_move_mount, fd, "", target_fd, "",
                              MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static inline int sys_mount_setattr(int fd, const char *path, unsigned flags,
                                    const struct mount_attr *attributes)
{
    return sys_result(syscall(SYS_mount_setattr, fd, path, flags, attributes, sizeof *attributes));
}

static inline int sys_prctl(int option, unsigned long a, unsigned long b, unsigned long c)
{
    return sys_result(syscall(SYS_prctl, option, a, b, c, 0));
}

static inline int sys_mkdirat(int dir_fd, const char *path, mode_t mode)
{
    return sys_result(syscall(SYS_mkdirat, dir_fd, path, mode));
}

static inline int sys_fstat(int fd, struct stat *status)
{
#ifdef SYS_newfstatat
    return sys_result(syscall(SYS_newfstatat, fd, "", status, AT_EMPTY_PATH));
#else
    return sys_result(syscall(SYS_fstatat, fd, "", status, AT_EMPTY_PATH));
#endif
}

/* All of `size` bytes in one write, as the files of /proc and of cgroups want it. */
static inline int sys_write_once(int fd, const void *data, size_t size)
{
    long written = syscall(SYS_write, fd, data, size);
    if (written < 0)
        return -errno;
    return (size_t)written == size ? 0 : -EIO;
}

#endif
