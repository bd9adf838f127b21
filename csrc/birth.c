/* birth.c: how is a process born into a user namespace that is there already?
 *
 * Kernel: a new namespace belongs to the user namespace of whoever makes it, and to join one is to
 * give up all rights outside.  The launcher needs those, so a stage in between joins, makes the
 * child as the launcher's (CLONE_PARENT), hands its pidfd over and ends.
 */
#define _GNU_SOURCE
#include "parent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { FDINFO_BYTES = 512 };

/* Kernel: to join the namespace one is in is EINVAL (setns(2)). */
static int join_user_namespace(int namespace_fd)
{
    struct stat wanted, own;
    if (fstat(namespace_fd, &wanted) < 0 || stat("/proc/self/ns/user", &own) < 0)
        return -errno;
    if (wanted.st_ino == own.st_ino && wanted.st_dev == own.st_dev)
        return 0;
    return sys_result(syscall(SYS_setns, namespace_fd, CLONE_NEWUSER));
}

static int send_pidfd(int socket_fd, int result, int pidfd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec body = {.iov_base = &result, .iov_len = sizeof result};
    struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1};
    if (pidfd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &pidfd, sizeof pidfd);
    }
    return sys_result(syscall(SYS_sendmsg, socket_fd, &message, MSG_NOSIGNAL));
}

/* In the stage: only system calls.  Security: not dumpable, so that what is in the namespace can't
 * trace it (CVE-2016-9962); the child inherits that. */
static _Noreturn void run_stage(struct launch *launch, int namespace_fd, int socket_fd,
                                uint64_t flags)
{
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = flags | CLONE_PARENT | CLONE_PIDFD,
        .pidfd = (uintptr_t)&pidfd,
    };
    int result = join_user_namespace(namespace_fd);
    sys_prctl(PR_SET_DUMPABLE, 0, 0, 0);
    if (result == 0)
        result = sys_result(syscall(SYS_clone3, &arguments, sizeof arguments));
    if (result == 0) {
        sys_close(socket_fd);
        sys_close(namespace_fd);
        run_child(&launch->child);
    }
    send_pidfd(socket_fd, result < 0 ? result : 0, pidfd);
    _exit(0);
}

static int receive_pidfd(int socket_fd, int *pidfd)
{
    int result = -EPIPE;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec body = {.iov_base = &result, .iov_len = sizeof result};
    struct msghdr message = {
        .msg_iov = &body,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    if (recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC) < (ssize_t)sizeof result)
        return -EPIPE;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (result == 0 && header && header->cmsg_type == SCM_RIGHTS)
        memcpy(pidfd, CMSG_DATA(header), sizeof *pidfd);
    return result;
}

/* The number that a pid namespace of the stage's own would give is not ours. */
static pid_t pid_of(int pidfd)
{
    char path[64], text[FDINFO_BYTES];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, "\nPid:");
    return line ? (pid_t)strtol(line + sizeof "\nPid:" - 1, NULL, 10) : -1;
}

/* As clone3 with these arguments, but into the user namespace of `path`; sets launch->pidfd.
 * Returns the pid or -errno. */
int clone_in_user_namespace(struct launch *launch, const char *path, struct clone_args *arguments)
{
    int sockets[2], status;
    uint64_t flags = arguments->flags & ~(uint64_t)(CLONE_PIDFD | CLONE_INTO_CGROUP);
    arguments->flags &= CLONE_INTO_CGROUP;
    arguments->pidfd = 0;
    int namespace_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace_fd < 0)
        return -errno;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
        close(namespace_fd);
        return -ENOMEM;
    }
    long stage = syscall(SYS_clone3, arguments, sizeof *arguments);
    int result = stage < 0 ? -errno : 0;
    if (stage == 0) {
        close(sockets[0]);
        run_stage(launch, namespace_fd, sockets[1], flags);
    }
    close(sockets[1]);
    if (result == 0)
        result = receive_pidfd(sockets[0], &launch->pidfd);
    close(sockets[0]);
    close(namespace_fd);
    if (stage > 0)
        waitpid((pid_t)stage, &status, 0);
    return result < 0 ? result : pid_of(launch->pidfd);
}
