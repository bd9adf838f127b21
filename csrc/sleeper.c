/* sleeper.c: who waits for the moment at which a container is started again?
 *
 * This program, without a container: it holds the container's lock, so that everybody sees that
 * somebody owns it, and at the end it becomes the command that starts it.  Whoever removes the file
 * that the wait is about ends it.  Kill it, and the lock is free: the next command sees to the
 * rest.
 */
#define _GNU_SOURCE
#include "parent.h"

#include <stdio.h>
#include <sys/inotify.h>
#include <sys/prctl.h>

enum { DRAIN_BYTES = 4096, MAX_WAIT_MS = 60 * 1000 };

static const char marker[] = "restarting";

/* The move into the monitors' cgroup: of whatever session this was started in, nothing is left. */
static void run_host_steps(struct launch *launch)
{
    for (uint32_t i = 0; i < launch->plan->step_count; i++)
        run_host_step(launch, &launch->plan->steps[i]);
}

static bool is_wanted(int directory_fd)
{
    return faccessat(directory_fd, marker, F_OK, 0) == 0;
}

/* Until that moment; false as soon as the file is gone. */
static bool sleep_until(int directory_fd, int watch_fd, int64_t due_ms)
{
    char drained[DRAIN_BYTES];
    while (is_wanted(directory_fd)) {
        struct pollfd watched = {.fd = watch_fd, .events = POLLIN};
        int64_t left = due_ms - now_ms();
        if (left <= 0)
            return true;
        if (poll(&watched, 1, (int)(left < MAX_WAIT_MS ? left : MAX_WAIT_MS)) > 0 &&
            read(watch_fd, drained, sizeof drained) < 0)
            return false;
    }
    return false;
}

_Noreturn void sleep_and_go_on(struct launch *launch)
{
    const struct plan *plan = launch->plan;
    const char *run_dir = plan_string(plan, plan->run_dir);
    int64_t due_ms = now_ms() + (int64_t)plan->sleep_ms;

    prctl(PR_SET_NAME, "pyrunc:restart");
    null_stdio(); /* who reads what the command says waits for no sleeper */
    close(FD_CLIENT);
    run_host_steps(launch);
    int watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    int directory_fd = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (watch_fd < 0 || directory_fd < 0 ||
        inotify_add_watch(watch_fd, run_dir, IN_DELETE | IN_DELETE_SELF | IN_MOVED_FROM) < 0)
        _exit(1);
    if (!sleep_until(directory_fd, watch_fd, due_ms))
        _exit(0);
    fcntl(FD_LOCK, F_SETFD, 0);
    become(plan, plan->cleanup_argv, NULL);
    _exit(1);
}
