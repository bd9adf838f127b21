/* step_dev.c: what lies in the container's /dev? */
#define _GNU_SOURCE
#include "child.h"

/* A device that an image or another step put there already is fine if it is the same one. */
static int check_node(int dir_fd, const char *name, const struct step *step)
{
    struct stat status;
    int fd = sys_openat(dir_fd, name, O_PATH | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    int result = sys_fstat(fd, &status);
    sys_close(fd);
    if (result < 0)
        return result;
    bool is_same = ((status.st_mode ^ step->a) & S_IFMT) == 0 && status.st_rdev == step->b;
    return is_same ? 0 : -EEXIST;
}

/* Security: by the descriptor of a directory inside the rootfs; an image's /dev may be a link to
 * the host's (CVE-2026-41579). */
int step_make_node(struct child *child, const struct step *step)
{
    const char *name;
    const uint32_t *owner = step_data(child, step);
    int dir_fd = open_parent(child, step_target(child, step), &name);
    if (dir_fd < 0)
        return dir_fd;
    int result = sys_result(syscall(SYS_mknodat, dir_fd, name, (mode_t)step->a, (unsigned)step->b));
    if (result == -EEXIST)
        result = check_node(dir_fd, name, step);
    else if (result == 0 && step->data_size >= 2 * sizeof *owner && (owner[0] || owner[1]))
        result = sys_result(
            syscall(SYS_fchownat, dir_fd, name, owner[0], owner[1], AT_SYMLINK_NOFOLLOW));
    sys_close(dir_fd);
    return result;
}

int step_make_link(struct child *child, const struct step *step)
{
    const char *name;
    int dir_fd = open_parent(child, step_target(child, step), &name);
    if (dir_fd < 0)
        return dir_fd;
    int result = sys_result(syscall(SYS_symlinkat, step_path(child, step), dir_fd, name));
    sys_close(dir_fd);
    return result == -EEXIST ? 0 : result;
}
