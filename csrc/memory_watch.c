/* memory_watch.c: did memory run out in a scope of systemd's?
 *
 * Its cgroup is removed by systemd as soon as it is empty, which may be before the monitor, which
 * reads memory.events at the end, gets its turn.  So it is read whenever it changes.
 * Kernel: memory.events is ready for POLLPRI once it has changed since it was last read; changes
 * within 10 ms of another are told later, which may be too late.  A parent's file counts what
 * happens below it, and stays.
 */
#define _GNU_SOURCE
#include "parent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int events_fd = -1;
static bool was_seen;
static bool is_gone;       /* before it could be read for the last time */
static int parent_fd = -1; /* the same file of the slice */
static long parent_kills;  /* what it counted at the start, -1 if that is not known */

static bool has_scope(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kind == STEP_START_SCOPE)
            return true;
    return false;
}

static void forget(void)
{
    close(events_fd);
    events_fd = -1;
}

/* How many processes were killed because memory ran out; -1 if nobody can tell any more. */
static long count_kills(int fd)
{
    char text[512];
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    if (length <= 0)
        return -1;
    text[length] = '\0';
    const char *line = strstr(text, "oom_kill ");
    return line ? strtol(line + sizeof "oom_kill " - 1, NULL, 10) : 0;
}

/* Read it, which is also what arms poll again; what was seen once is true for good. */
void memory_ready(void)
{
    if (events_fd < 0)
        return;
    long kills = count_kills(events_fd);
    was_seen = was_seen || kills > 0;
    is_gone = kills < 0;
    if (is_gone || was_seen)
        forget();
}

static int open_events(const char *directory, size_t length)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%.*s/memory.events", (int)length, directory) >=
        sizeof path)
        return -1;
    return open(path, O_RDONLY | O_CLOEXEC);
}

void start_memory_watch(const struct plan *plan)
{
    for (uint32_t i = 0; has_scope(plan) && events_fd < 0 && i < plan->cgroups.count; i++) {
        const char *directory = plan_list(plan, plan->cgroups, i);
        const char *name = strrchr(directory, '/');
        events_fd = open_events(directory, strlen(directory));
        if (events_fd >= 0 && name)
            parent_fd = open_events(directory, (size_t)(name - directory));
    }
    parent_kills = parent_fd < 0 ? -1 : count_kills(parent_fd);
    memory_ready();
}

void memory_watch(struct pollfd *watched)
{
    watched->fd = events_fd;
    watched->events = POLLPRI;
}

/* Whoever was killed, and left no file, is taken for one that the slice has counted since. */
bool memory_ran_out(int signal_number)
{
    bool is_counted = is_gone && parent_kills >= 0 && count_kills(parent_fd) > parent_kills;
    return was_seen || (signal_number == SIGKILL && is_counted);
}
