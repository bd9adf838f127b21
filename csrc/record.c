/* record.c: what does the monitor write down about its container?
 *
 * state.json while it runs and exit.json at its end; each is complete or not there (rename).
 */
#define _GNU_SOURCE
#include "parent.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Return field 22 of /proc/PID/stat, which tells a pid from a later one of the same number; 0 if it
 * is gone.  The command's name may hold spaces and brackets: count behind the last bracket. */
uint64_t process_start_time(pid_t pid)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    const char *field = strrchr(text, ')');
    for (int number = 2; field && number < 22; number++)
        field = strchr(field + 1, ' ');
    uint64_t start = 0;
    if (field)
        for (field++; *field >= '0' && *field <= '9'; field++)
            start = start * 10 + (uint64_t)(*field - '0');
    return start;
}

/* Write `parts` as directory/name, by way of a temporary name. */
static int replace_file(const char *directory, const char *name, const struct iovec parts[2],
                        bool is_durable)
{
    char temporary[64];
    int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0)
        return -errno;
    snprintf(temporary, sizeof temporary, ".%s.new", name);
    int fd = openat(directory_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                    0600);
    size_t size = parts[0].iov_len + parts[1].iov_len;
    int result = fd < 0 ? -errno : 0;
    if (result == 0 && writev(fd, parts, 2) != (ssize_t)size)
        result = -EIO;
    if (result == 0 && is_durable && fsync(fd) < 0)
        result = -errno;
    if (fd >= 0)
        close(fd);
    if (result == 0 && renameat(directory_fd, temporary, directory_fd, name) < 0)
        result = -errno;
    close(directory_fd);
    return result;
}

int write_state(const struct launch *launch)
{
    const struct plan *plan = launch->plan;
    char text[256];
    if (plan->state_prefix_size == 0 || plan->run_dir == 0)
        return 0;
    pid_t self = getpid();
    int length = snprintf(
        text, sizeof text,
        ",\"pid\":%d,\"pid_start_time\":%" PRIu64
        ",\"monitor_pid\":%d,\"monitor_start_time\":%" PRIu64 ",\"started_ns\":%" PRIu64 "%s}\n",
        launch->pid, process_start_time(launch->pid), self, process_start_time(self),
        launch->started_ns, launch->is_held ? ",\"held\":true" : "");
    const struct iovec parts[2] = {
        {.iov_base = (char *)(uintptr_t)plan_string(plan, plan->state_prefix),
         .iov_len = plan->state_prefix_size},
        {.iov_base = text, .iov_len = (size_t)length},
    };
    return replace_file(plan_string(plan, plan->run_dir), "state.json", parts, false);
}

int write_exit(const struct launch *launch, const struct exit_status *status)
{
    const struct plan *plan = launch->plan;
    char text[256];
    if (plan->bundle == 0)
        return 0;
    int length =
        snprintf(text, sizeof text,
                 "{\"exit_code\":%d,\"signal\":%d,\"oom_killed\":%s,\"started_ns\":%" PRIu64
                 ",\"finished_ns\":%" PRIu64 "}\n",
                 status->code, status->signal, status->oom_killed ? "true" : "false",
                 launch->started_ns, launch->finished_ns);
    const struct iovec parts[2] = {{.iov_base = text, .iov_len = (size_t)length}, {0}};
    return replace_file(plan_string(plan, plan->bundle), "exit.json", parts,
                        !(plan->options & LAUNCH_VOLATILE));
}
