/* quick_process.c: is the container's first process still that process, and how does it end? */
#define _GNU_SOURCE
#include "quick.h"
#include "small_file.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROC_PATH_BYTES = 32, STAT_BYTES = 1024, POLL_MS = 20, END_MS = 10000 };

/* Field 22 of /proc/PID/stat tells a pid from a later one of the same number.  The command's name
 * may hold spaces and brackets: count behind the last bracket.  Source: proc_pid_stat(5). */
static bool has_identity(const char *stat, uint64_t start_time)
{
    const char *field = strrchr(stat, ')');
    if (!field || !field[1] || strchr("ZXx", field[2]))
        return false;
    for (int number = 2; field && number < 22; number++)
        field = strchr(field + 1, ' ');
    return field && strtoull(field + 1, NULL, 10) == start_time;
}

/* Kernel: the first process of a pid namespace stays, neither zombie nor dead, until all others are
 * reaped; by then it has no namespaces any more (do_exit, zap_pid_ns_processes). */
bool is_alive(const struct container *container)
{
    char directory[PROC_PATH_BYTES], stat[STAT_BYTES], link[PROC_PATH_BYTES + 8], name[64];
    snprintf(directory, sizeof directory, "/proc/%d", container->pid);
    snprintf(link, sizeof link, "%s/ns/mnt", directory);
    if (readlink(link, name, sizeof name) < 0 && errno == ENOENT)
        return false;
    return has_identity(read_small(directory, "stat", stat, sizeof stat), container->start_time);
}

/* Security: a pid is looked at while a pidfd holds it; no other process can get the signal. */
static int open_process(const struct container *container)
{
    int pidfd = (int)syscall(SYS_pidfd_open, container->pid, 0);
    if (pidfd < 0 || is_alive(container))
        return pidfd;
    close(pidfd);
    return -1;
}

bool signal_process(const struct container *container, int number)
{
    int pidfd = open_process(container);
    if (pidfd < 0)
        return false;
    long result = syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
    close(pidfd);
    return result == 0;
}

/* Kill it and wait until it is dead, reaped or not; true if it is.  The descriptor is readable once
 * it is a zombie; now and then its namespaces are looked at, which go earlier. */
bool end_process(const struct container *container)
{
    int pidfd = open_process(container);
    if (pidfd < 0)
        return !is_alive(container);
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    bool is_dead = syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno == ESRCH;
    for (int waited_ms = 0; !is_dead && waited_ms < END_MS; waited_ms += POLL_MS)
        is_dead = poll(&end, 1, POLL_MS) > 0 || !is_alive(container);
    close(pidfd);
    return is_dead;
}
