/* step_init.c: --init: who reaps orphans and passes signals on, if the command won't?
 *
 * The process stays as PID 1; a child of it goes on with the plan.
 */
#define _GNU_SOURCE
#include "child.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

enum { SIGNAL_SET_BYTES = 8 };

static const uint64_t all_signals = ~0ULL, no_signals;

/* Reap whoever ended; true once the command did, with its status. */
static bool reap(long command, int *status)
{
    for (;;) {
        int one;
        long pid = syscall(SYS_wait4, -1, &one, WNOHANG, NULL);
        if (pid <= 0)
            return pid == -1 && errno == ECHILD;
        if (pid == command) {
            *status = one;
            return true;
        }
    }
}

static _Noreturn void serve(long command)
{
    int status = 0;

    syscall(SYS_close_range, 3, ~0U, 0);
    for (;;) {
        siginfo_t info;
        int number =
            sys_result(syscall(SYS_rt_sigtimedwait, &all_signals, &info, NULL, SIGNAL_SET_BYTES));
        if (number == SIGCHLD && reap(command, &status))
            break;
        if (number > 0 && number != SIGCHLD && number != SIGTTIN && number != SIGTTOU)
            syscall(SYS_kill, command, number);
    }
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

/* The command gets a process group of its own, in the foreground of the terminal if there is one:
 * Ctrl-C is for it and not for PID 1 twice. */
int step_start_init(struct child *child, const struct step *step)
{
    /* Security: the first process is as confined as the command, which may signal it, too. */
    if (step->data_size) {
        int result = sys_write_once(child->label_fd, step_data(child, step), step->data_size);
        if (result < 0)
            return result;
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all_signals, NULL, SIGNAL_SET_BYTES);
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid < 0)
        return -errno;
    if (pid > 0)
        serve(pid);
    int group = (int)syscall(SYS_getpid);
    int result = sys_result(syscall(SYS_setpgid, 0, 0));
    if (result == 0)
        syscall(SYS_ioctl, 0, TIOCSPGRP, &group);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, SIGNAL_SET_BYTES);
    return result;
}
