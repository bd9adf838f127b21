/* health.c: when is a container asked whether it is well?
 *
 * The monitor has the clock, and no more: at each moment it starts the command that checks
 * (pyrunc/engine/health.py), which runs, judges and records, and ends.  Nothing here blocks but the
 * last wait for a command that was killed.  A container without checks has no moments.
 */
#define _GNU_SOURCE
#include "parent.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* What the command's exit code says of the container; any other is a check that failed itself. */
enum { SETTLED = 0, STILL_STARTING = 3 };

static struct {
    const struct plan *plan;
    pid_t pid; /* of a check that is under way, 0 for none */
    int pidfd;
    bool is_starting;
    int64_t started_ms; /* when the container was */
    int64_t due_ms;     /* -1 for never */
} health = {.pidfd = -1, .due_ms = -1};

/* From the end of one check to the next, for docker as well; more often while it starts. */
static void plan_next(void)
{
    const struct plan *plan = health.plan;
    int64_t now = now_ms();
    bool starts = health.is_starting && plan->health_start_interval_ms > 0 &&
                  now - health.started_ms < (int64_t)plan->health_start_period_ms;
    uint64_t wait = starts ? plan->health_start_interval_ms : plan->health_interval_ms;
    health.due_ms = now + (int64_t)wait;
}

/* Before the loop begins, once the container runs. */
void start_health(struct launch *launch)
{
    if (launch->plan->health_argv.count == 0)
        return;
    health.plan = launch->plan;
    health.is_starting = true;
    health.started_ms = now_ms();
    plan_next();
}

/* The next moment to be called at, in ms of CLOCK_MONOTONIC; -1 for never. */
int64_t health_next_ms(void)
{
    return health.pid > 0 ? -1 : health.due_ms;
}

static int reap_check(int flags)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)health.pid, &info, WEXITED | flags) < 0 || info.si_pid == 0)
        return -1;
    if (health.pidfd >= 0)
        close(health.pidfd);
    health.pidfd = -1;
    health.pid = 0;
    return info.si_code == CLD_EXITED ? info.si_status : -1;
}

static void kill_check(void)
{
    kill(health.pid, SIGKILL);
    reap_check(0);
}

/* That moment has come, or is near: look at the clock.  The check dies with its monitor. */
void health_tick(void)
{
    if (health.due_ms < 0 || health.pid > 0 || now_ms() < health.due_ms)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        become(health.plan, health.plan->health_argv, NULL);
        _exit(127);
    }
    if (pid < 0) {
        plan_next();
        return;
    }
    health.pid = pid;
    health.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (health.pidfd < 0) { /* no descriptor is left: its end would never be seen */
        kill_check();
        plan_next();
    }
}

/* Name descriptors to poll, at most HEALTH_WATCHES; those that are left alone are not polled. */
void health_watch(struct pollfd watched[HEALTH_WATCHES])
{
    watched[0].fd = health.pidfd;
}

/* One of them is ready, as poll(2) says it. */
void health_ready(const struct pollfd *watched)
{
    if (watched->fd != health.pidfd || health.pid == 0)
        return;
    int code = reap_check(WNOHANG);
    if (health.pid != 0)
        return;
    if (code == SETTLED || code == STILL_STARTING)
        health.is_starting = code == STILL_STARTING;
    plan_next();
}

/* The container has ended: nothing is due any more, whatever is under way. */
void end_health(void)
{
    health.due_ms = -1;
    if (health.pid > 0)
        kill_check();
}
