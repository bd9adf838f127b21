/* native.h: the system calls that Python 3.11 has no function for.
 *
 * Each returns what the kernel returns, or -errno.  What stands between the marks is also what
 * native_build.py gives to cffi; pyrunc/kernel/syscalls.py is its only caller.
 */
#ifndef PYRUNC_NATIVE_H
#define PYRUNC_NATIVE_H

#include <stddef.h>
#include <stdint.h>

/* cffi: begin */
int native_openat2(int dir_fd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int native_open_tree(int dir_fd, const char *path, unsigned flags);
int native_move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int native_fsopen(const char *type, unsigned flags);
int native_fsconfig(int fs_fd, unsigned command, const char *key, const char *value, int aux);
int native_fsmount(int fs_fd, unsigned flags, unsigned attributes);
int native_mount_setattr(int dir_fd, const char *path, unsigned flags, uint64_t set, uint64_t clear,
                         uint64_t propagation, int userns_fd);
int native_mount(const char *source, const char *target, const char *type, unsigned long flags,
                 const char *data);
int native_umount2(const char *target, int flags);
int native_setns(int fd, int type);
int native_unshare(int flags);
int native_pivot_root(const char *new_root, const char *put_old);
int native_close_range(unsigned first, unsigned last, unsigned flags);
int native_mknodat(int dir_fd, const char *path, unsigned mode, uint64_t device);
int native_pidfd_open(int pid, unsigned flags);
int native_pidfd_send_signal(int pidfd, int signal);
long long native_statfs_type(int fd);
int native_syncfs(int fd);
int native_bpf(int command, void *attributes, unsigned size);
int native_seccomp_flags(unsigned flags);
int native_inotify_init1(int flags);
int native_inotify_add_watch(int fd, const char *path, uint32_t mask);
/* cffi: end */

#endif
