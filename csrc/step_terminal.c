/* step_terminal.c: how does the container get a terminal of its own? */
#define _GNU_SOURCE
#include "child.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

enum { FIRST_PTS_MAJOR = 136, LAST_PTS_MAJOR = 143 };

/* Open the master in the container's own devpts, and nothing else that calls itself ptmx. */
static int open_master(const struct child *child)
{
    struct statfs status;
    int fd = sys_openat2(child->root_fd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY,
                         RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (fd < 0)
        return fd;
    int unlocked = 0;
    int result = sys_result(syscall(SYS_fstatfs, fd, &status));
    if (result == 0 && status.f_type != DEVPTS_SUPER_MAGIC)
        result = -ENODEV;
    if (result == 0)
        result = sys_result(syscall(SYS_ioctl, fd, TIOCSPTLCK, &unlocked));
    if (result == 0)
        return fd;
    sys_close(fd);
    return result;
}

/* Security: by TIOCGPTPEER and not by the name /dev/pts/N, which may be replaced (CVE-2025-52565).
 */
static int open_peer(int master_fd, const struct step *step)
{
    struct stat status;
    int fd = sys_result(syscall(SYS_ioctl, master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (fd < 0)
        return fd;
    int result = sys_fstat(fd, &status);
    if (result == 0 &&
        (major(status.st_rdev) < FIRST_PTS_MAJOR || major(status.st_rdev) > LAST_PTS_MAJOR))
        result = -ENODEV;
    if (result == 0)
        result = sys_result(syscall(SYS_fchown, fd, (uid_t)step->b, (gid_t)-1));
    if (result == 0)
        return fd;
    sys_close(fd);
    return result;
}

/* Hand the master to the launcher or to the console socket; one byte has to go with it. */
int send_descriptor(int socket_fd, int fd, const char *text)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec body = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr message = {
        .msg_iov = &body,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    int result = sys_result(syscall(SYS_sendmsg, socket_fd, &message, MSG_NOSIGNAL));
    return result < 0 ? result : 0;
}

static int bind_console(const struct child *child, int peer_fd)
{
    int target_fd = make_target(child, "/dev/console", S_IFREG | 0620);
    if (target_fd < 0)
        return target_fd;
    int tree_fd = sys_open_tree(peer_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
    int result = tree_fd < 0 ? tree_fd : sys_move_mount(tree_fd, target_fd);
    sys_close(target_fd);
    if (tree_fd >= 0)
        sys_close(tree_fd);
    return result;
}

/* Make the peer the controlling terminal and 0, 1 and 2. */
static int take_terminal(int peer_fd)
{
    int result = sys_result(syscall(SYS_ioctl, peer_fd, TIOCSCTTY, 0));
    for (int fd = 0; result >= 0 && fd < 3; fd++)
        result = sys_result(syscall(SYS_dup3, peer_fd, fd, 0));
    return result < 0 ? result : 0;
}

/* After devpts is mounted and before pivot-root; after new-session, for TIOCSCTTY.  Without
 * CREATE_FILE, /dev/console stays what it is: the terminal of the container's first process. */
int step_open_terminal(struct child *child, const struct step *step)
{
    int master_fd = open_master(child);
    if (master_fd < 0)
        return master_fd;
    int peer_fd = open_peer(master_fd, step);
    int result = peer_fd < 0 ? peer_fd : 0;
    if (result == 0 && step->flags & STEP_FLAG_CREATE_FILE)
        result = bind_console(child, peer_fd);
    struct winsize size = {.ws_row = (uint16_t)(step->a >> 16), .ws_col = (uint16_t)step->a};
    if (result == 0 && step->a)
        result = sys_result(syscall(SYS_ioctl, master_fd, TIOCSWINSZ, &size));
    if (result == 0)
        result = take_terminal(peer_fd);
    if (result == 0)
        result = send_descriptor(step->fd >= 0 ? step->fd : child->sync_fd, master_fd, "/dev/ptmx");
    sys_close(master_fd);
    if (peer_fd >= 0)
        sys_close(peer_fd);
    if (step->fd >= 0)
        sys_close(step->fd);
    return result;
}
