/* monitor.c: who is left when the command line has gone?
 *
 * Reading path 8/8 · before: pyrunc/network/attach.py
 *
 * The launcher, as the parent of the container: it copies its output, reaps it, writes down how it
 * ended, removes its cgroups, and then tells whoever is attached; if nobody is, it becomes the
 * clean-up command.  Kill it, and the container dies with it (PDEATHSIG).
 */
#define _GNU_SOURCE
#include "parent.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;

/* Wait for the container's first process to end.  Kernel: PID 1 of a PID namespace is reaped last;
 * all others in there are gone by then (pid_namespaces(7)). */
void reap(struct launch *launch, struct exit_status *status)
{
    siginfo_t info = {0};
    int result;
    do
        result = waitid(P_PID, (id_t)launch->pid, &info, WEXITED);
    while (result < 0 && errno == EINTR);
    bool was_killed = info.si_code != CLD_EXITED;
    launch->finished_ns = clock_ns(CLOCK_REALTIME);
    *status = (struct exit_status){
        .code = was_killed ? 128 + info.si_status : info.si_status,
        .signal = was_killed ? info.si_status : 0,
    };
}

static void close_descriptors(const struct launch *launch)
{
    for (uint32_t i = 0; i < launch->plan->descriptor_count; i++)
        close(FD_FIRST + (int)i);
}

/* Give back what only the launch needed.  Kernel: the last reference to an overlay that is not
 * volatile syncs it, which may take long; the rootfs descriptor keeps that for after exit.json. */
static void settle(struct launch *launch)
{
    close(FD_PLAN);
    close(launch->sync_fd);
    munmap(launch->progress, launch->memory_size);
    launch->progress = NULL;
    if (launch->plan->options & LAUNCH_VOLATILE || launch->plan->bundle == 0)
        close_descriptors(launch);
}

/* Become a command of the plan's, with one more word or NULL; returns if there is none, or it can't
 * be executed. */
void become(const struct plan *plan, struct string_list words, char *last)
{
    enum { MAX_WORDS = 32 };
    char *argv[MAX_WORDS + 2] = {NULL};

    if (words.count == 0 || words.count > MAX_WORDS)
        return;
    for (uint32_t i = 0; i < words.count; i++)
        argv[i] = (char *)(uintptr_t)plan_list(plan, words, i);
    argv[words.count] = last;
    null_stdio();
    umask(022);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    execve(argv[0], argv, environ);
}

/* Become the clean-up command, with the lock given up: it takes it again itself.  One without an
 * exit.json, an exec's, is told the code. */
static void clean_up(const struct plan *plan, const struct exit_status *status)
{
    char code[16];
    snprintf(code, sizeof code, "%d", status->code);
    become(plan, plan->cleanup_argv, plan->bundle == 0 ? code : NULL);
}

/* The rest of the output, which a client may take its time to read. */
static void finish_output(void)
{
    copy_rest();
    end_log();
}

/* Tell everybody who is attached; whoever started the container is waited for. */
static void tell_end(const struct launch *launch, const struct exit_status *status)
{
    struct exit_packet packet = {
        .type = PACKET_EXIT,
        .oom_killed = status->oom_killed,
        .code = status->code,
        .signal = status->signal,
        .started_ns = launch->started_ns,
        .finished_ns = launch->finished_ns,
    };
    owe_end(&packet);
    while (is_owed(OWED_END))
        loop_clients();
}

/* Without a client, the log is complete before anybody can read that the container has ended; with
 * one, that does not wait for its reading. */
_Noreturn void monitor(struct launch *launch)
{
    struct exit_status status;
    bool is_alone;

    settle(launch);
    start_log(launch->plan);
    start_copy(launch);
    start_clients(launch);
    start_health(launch);
    start_memory_watch(launch->plan);
    while (!loop_once())
        continue;
    end_health();
    reap(launch, &status);
    status.oom_killed = memory_ran_out(status.signal) || was_oom_killed(launch->plan);
    is_alone = !has_clients();
    if (is_alone)
        finish_output();
    write_exit(launch, &status);
    remove_cgroups(launch);
    if (!is_alone)
        finish_output();
    tell_end(launch, &status);
    if (!has_starter())
        clean_up(launch->plan, &status);
    _exit(0);
}
