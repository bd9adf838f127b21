/* native.c: how does Python reach the system calls it has no function for? */
#define _GNU_SOURCE
#include "native.h"

#include <errno.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

static int result(long value)
{
    return value < 0 ? -errno : (int)value;
}

int native_openat2(int dir_fd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return result(syscall(SYS_openat2, dir_fd, path, &how, sizeof how));
}

int native_open_tree(int dir_fd, const char *path, unsigned flags)
{
    return result(syscall(SYS_open_tree, dir_fd, path, flags));
}

int native_move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return result(syscall(SYS_move_mount, from_fd, from, to_fd, to, flags));
}

int native_fsopen(const char *type, unsigned flags)
{
    return result(syscall(SYS_fsopen, type, flags));
}

int native_fsconfig(int fs_fd, unsigned command, const char *key, const char *value, int aux)
{
    return result(syscall(SYS_fsconfig, fs_fd, command, key, value, aux));
}

int native_fsmount(int fs_fd, unsigned flags, unsigned attributes)
{
    return result(syscall(SYS_fsmount, fs_fd, flags, attributes));
}

int native_mount_setattr(int dir_fd, const char *path, unsigned flags, uint64_t set, uint64_t clear,
                         uint64_t propagation, int userns_fd)
{
    struct mount_attr attributes = {
        .attr_set = set,
        .attr_clr = clear,
        .propagation = propagation,
        .userns_fd = (unsigned)(userns_fd < 0 ? 0 : userns_fd),
    };
    return result(syscall(SYS_mount_setattr, dir_fd, path, flags, &attributes, sizeof attributes));
}

int native_mount(const char *source, const char *target, const char *type, unsigned long flags,
                 const char *data)
{
    return result(syscall(SYS_mount, source, target, type, flags, data));
}

int native_umount2(const char *target, int flags)
{
    return result(syscall(SYS_umount2, target, flags));
}

int native_setns(int fd, int type)
{
    return result(syscall(SYS_setns, fd, type));
}

int native_unshare(int flags)
{
    return result(syscall(SYS_unshare, flags));
}

int native_pivot_root(const char *new_root, const char *put_old)
{
    return result(syscall(SYS_pivot_root, new_root, put_old));
}

int native_close_range(unsigned first, unsigned last, unsigned flags)
{
    return result(syscall(SYS_close_range, first, last, flags));
}

int native_mknodat(int dir_fd, const char *path, unsigned mode, uint64_t device)
{
    /* Kernel: mknodat takes a 32-bit device number in its own encoding; that of the C library is
     * the same as long as major and minor fit, which makedev(3) of Python has seen to. */
    return result(syscall(SYS_mknodat, dir_fd, path, mode, (unsigned)device));
}

int native_pidfd_open(int pid, unsigned flags)
{
    return result(syscall(SYS_pidfd_open, pid, flags));
}

int native_pidfd_send_signal(int pidfd, int signal)
{
    return result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

long long native_statfs_type(int fd)
{
    struct statfs status;
    return fstatfs(fd, &status) < 0 ? -errno : (long long)status.f_type;
}

int native_syncfs(int fd)
{
    return result(syscall(SYS_syncfs, fd));
}

int native_bpf(int command, void *attributes, unsigned size)
{
    return result(syscall(SYS_bpf, command, attributes, size));
}

int native_seccomp_flags(unsigned flags)
{
    enum { SET_MODE_FILTER = 1 };
    return result(syscall(SYS_seccomp, SET_MODE_FILTER, flags, NULL));
}

int native_inotify_init1(int flags)
{
    return result(inotify_init1(flags));
}

int native_inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    return result(inotify_add_watch(fd, path, mask));
}
