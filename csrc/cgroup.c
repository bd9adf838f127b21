/* cgroup.c: what do the container's cgroups tell at its end, and how do they go away? */
#define _GNU_SOURCE
#include "parent.h"
#include "small_file.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REMOVE_TRIES = 200, RETRY_NS = 5000000, DIRENT_BYTES = 2048, MAX_DEPTH = 16 };

struct directory_entry { /* linux_dirent64 of getdents64(2) */
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

/* memory.events on v2, memory.oom_control on v1: both have a line "oom_kill N". */
bool was_oom_killed(const struct plan *plan)
{
    char text[1024];
    for (uint32_t i = 0; i < plan->cgroups.count; i++) {
        const char *directory = plan_list(plan, plan->cgroups, i);
        if (!*read_small(directory, "memory.events", text, sizeof text))
            read_small(directory, "memory.oom_control", text, sizeof text);
        const char *line = strstr(text, "oom_kill ");
        if (line && strtoul(line + sizeof "oom_kill " - 1, NULL, 10) > 0)
            return true;
    }
    return false;
}

/* Kill what is left in the cgroup: processes that outlived PID 1 because they share the host's PID
 * namespace. */
static void kill_members(const char *path)
{
    char text[4096], file[PATH_MAX];
    if ((size_t)snprintf(file, sizeof file, "%s/cgroup.kill", path) < sizeof file &&
        write_file(file, STRING_AND_LENGTH("1")) == 0)
        return;
    const char *number = read_small(path, "cgroup.procs", text, sizeof text);
    while (*number) {
        char *end;
        long pid = strtol(number, &end, 10);
        if (end == number)
            break;
        if (pid > 1)
            kill((pid_t)pid, SIGKILL);
        number = end + (*end == '\n');
    }
}

static void remove_below(int fd, char *path, size_t length, int depth);

/* Remove a cgroup with all that the container made below it. */
static int remove_one(char *path, size_t length, int depth)
{
    if (rmdir(path) == 0 || errno == ENOENT)
        return 0;
    kill_members(path);
    int fd = depth < MAX_DEPTH ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        remove_below(fd, path, length, depth);
        close(fd);
    }
    return rmdir(path) == 0 || errno == ENOENT ? 0 : -errno;
}

static void remove_below(int fd, char *path, size_t length, int depth)
{
    enum { DIRECTORY_TYPE = 4 /* DT_DIR */ };
    _Alignas(8) char buffer[DIRENT_BYTES];
    long size;
    while ((size = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        for (long position = 0; position < size;) {
            const struct directory_entry *entry = (const void *)(buffer + position);
            size_t name_length = strlen(entry->name);
            position += entry->length;
            if (entry->type != DIRECTORY_TYPE || entry->name[0] == '.' ||
                length + name_length + 2 > PATH_MAX)
                continue;
            path[length] = '/';
            memcpy(path + length + 1, entry->name, name_length + 1);
            remove_one(path, length + 1 + name_length, depth + 1);
            path[length] = '\0';
        }
    }
}

/* Did this launch make the cgroup?  One that was in use before belongs to somebody else, whose
 * processes are not ours to kill. */
static bool is_ours(const struct launch *launch, const char *path)
{
    const struct plan *plan = launch->plan;
    if (!launch->progress)
        return true;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct step *step = &plan->steps[i];
        const struct step_record *record = &launch->progress->records[i];
        if (step->kind == STEP_MAKE_CGROUP && strcmp(plan_string(plan, step->path), path) == 0)
            return record->end_ns != 0 && record->error == 0;
    }
    return true;
}

/* Last one first.  Kernel: a cgroup stays busy for a moment after its last process was reaped. */
void remove_cgroups(const struct launch *launch)
{
    const struct plan *plan = launch->plan;
    const struct timespec pause = {.tv_nsec = RETRY_NS};
    char path[PATH_MAX];

    for (uint32_t i = plan->cgroups.count; i-- > 0;) {
        const char *name = plan_list(plan, plan->cgroups, i);
        size_t length = strlen(name);
        if (length >= sizeof path || !is_ours(launch, name))
            continue;
        memcpy(path, name, length + 1);
        for (int tries = 0; remove_one(path, length, 0) == -EBUSY && tries < REMOVE_TRIES; tries++)
            nanosleep(&pause, NULL);
    }
}
