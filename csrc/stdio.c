/* stdio.c: what are 0, 1 and 2 of the container, and of the launcher itself? */
#define _GNU_SOURCE
#include "parent.h"

/* 0, 1 and 2 become /dev/null: a pipe of the caller must not stay open for our sake. */
void null_stdio(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    for (int target = 0; target < 3; target++)
        dup2(fd, target);
    if (fd > 2)
        close(fd);
}

static int make_pipe(int *ours, int *theirs, bool is_input)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    *theirs = ends[is_input ? 0 : 1];
    *ours = ends[is_input ? 1 : 0];
    return fcntl(*ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* Before the clone.  A terminal is opened by the child itself, inside the container. */
int open_container_stdio(struct launch *launch)
{
    uint32_t options = launch->plan->options;
    int *theirs = launch->child.stdio;

    if (launch->plan->mode != MODE_MONITOR)
        return 0;
    null_stdio();
    if (options & LAUNCH_TERMINAL)
        return 0;
    int result = make_pipe(&launch->stdout_fd, &theirs[1], false);
    if (result == 0)
        result = make_pipe(&launch->stderr_fd, &theirs[2], false);
    if (result == 0 && options & LAUNCH_INTERACTIVE)
        result = make_pipe(&launch->stdin_fd, &theirs[0], true);
    return result;
}

/* After the clone: only the container holds its ends, so that they end with it. */
void close_container_ends(struct launch *launch)
{
    for (int fd = 0; fd < 3; fd++)
        if (launch->child.stdio[fd] >= 0)
            close(launch->child.stdio[fd]);
    if (launch->plan->mode == MODE_RUN)
        null_stdio();
}
