/* memory_watch.c: did memory run out in a scope of systemd's?
 *
 * Its cgroup is removed by systemd as soon as it is empty, which may be before the monitor, which
 * reads memory.events at the end, gets its turn.  So it is read whenever it changes.
 * Kernel: memory.events is ready for POLLPRI once it has changed since it was last read.
 */
#define _GNU_SOURCE
#include "parent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int events_fd = -1;
static bool was_seen;

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

/* Read it, which is also what arms poll again; what was seen once is true for good. */
void memory_ready(void)
{
    char text[512];
    ssize_t length = events_fd < 0 ? 0 : pread(events_fd, text, sizeof text - 1, 0);
    if (events_fd < 0)
        return;
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, "oom_kill ");
    was_seen = was_seen || (line && strtoul(line + sizeof "oom_kill " - 1, NULL, 10) > 0);
    if (length <= 0 || was_seen)
        forget();
}

void start_memory_watch(const struct plan *plan)
{
    char path[PATH_MAX];
    for (uint32_t i = 0; has_scope(plan) && events_fd < 0 && i < plan->cgroups.count; i++) {
        const char *directory = plan_list(plan, plan->cgroups, i);
        if ((size_t)snprintf(path, sizeof path, "%s/memory.events", directory) < sizeof path)
            events_fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    memory_ready();
}

void memory_watch(struct pollfd *watched)
{
    watched->fd = events_fd;
    watched->events = POLLPRI;
}

bool memory_ran_out(void)
{
    return was_seen;
}
