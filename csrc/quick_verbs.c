/* quick_verbs.c: start, kill, state and delete of a container about which nothing is odd.
 *
 * Each does what the function of its name does in pyrunc/runtime/lifecycle.py or cli/oci.py.
 */
#define _GNU_SOURCE
#include "quick.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIFO "exec.fifo"

enum { START_MS = 60000 };

/* Ask the kernel what the container is doing; nothing of it is stored. */
static enum status find_status(const struct container *container)
{
    if (!is_alive(container))
        return STOPPED;
    if (is_frozen(container))
        return PAUSED;
    bool waits = faccessat(container->directory_fd, FIFO, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    return waits ? CREATED : RUNNING;
}

static int open_fifo(const struct container *container)
{
    struct stat status;
    int flags = O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(container->directory_fd, FIFO, flags);
    if (fd < 0 || (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode)))
        return fd;
    close(fd);
    return -1;
}

/* A container that died at the FIFO is no reason to die as well. */
static bool write_byte(int fd)
{
    signal(SIGPIPE, SIG_IGN);
    bool is_written = write(fd, "", 1) == 1;
    signal(SIGPIPE, SIG_DFL);
    return is_written;
}

/* Let it go on, and wait until the other end is closed: by execve, or by the process's death.  Of
 * two at once, one gets through: the one that removes the FIFO. */
enum outcome start_container(const struct container *container)
{
    if (container->is_attended || find_status(container) != CREATED)
        return HAND_OVER;
    int fd = open_fifo(container);
    if (fd < 0)
        return HAND_OVER;
    if (unlinkat(container->directory_fd, FIFO, 0) < 0 || !write_byte(fd)) {
        close(fd);
        return HAND_OVER;
    }
    struct pollfd other_end = {.fd = fd};
    int events;
    do
        events = poll(&other_end, 1, START_MS);
    while (events < 0 && errno == EINTR);
    close(fd);
    return SERVED;
}

/* Where others would outlive it, killing the first process is not enough. */
enum outcome kill_container(const struct container *container, int number)
{
    if (number == SIGKILL && !container->has_pid_namespace)
        return HAND_OVER;
    if (!signal_process(container, number))
        return HAND_OVER;
    if (number == SIGKILL && is_frozen(container))
        thaw(container);
    return SERVED;
}

/* The tokens of state.json are JSON already.  What a pipe does not take at once is Python's. */
enum outcome show_state(const struct container *container)
{
    static const char *const words[] = {"stopped", "created", "running", "paused"};
    char text[PIPE_BUF];
    enum status status = find_status(container);
    const struct token *bundle = &container->bundle, *rootfs = &container->rootfs,
                       *created = &container->created, *annotations = &container->annotations;
    int length = snprintf(
        text, sizeof text,
        "{\n  \"ociVersion\": \"" OCI_VERSION "\",\n  \"id\": \"%s\",\n  \"pid\": %d,\n"
        "  \"status\": \"%s\",\n  \"bundle\": %.*s,\n  \"rootfs\": %.*s,\n  \"created\": %.*s,\n"
        "%s%.*s%s  \"owner\": \"\"\n}\n",
        container->id, status == STOPPED ? 0 : container->pid, words[status], (int)bundle->length,
        bundle->start, (int)rootfs->length, rootfs->start, (int)created->length, created->start,
        annotations->length ? "  \"annotations\": " : "", (int)annotations->length,
        annotations->start ? annotations->start : "", annotations->length ? ",\n" : "");
    if (length < 0 || (size_t)length >= sizeof text)
        return HAND_OVER;
    signal(SIGPIPE, SIG_DFL); /* a caller that closes our stdout ends us quietly */
    return write(STDOUT_FILENO, text, (size_t)length) == length ? SERVED : HAND_OVER;
}

/* Remove the files, state.json as the last: without it, nothing says what else is to be removed. */
static bool empty_directory(const struct container *container)
{
    int fd = dup(container->directory_fd);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    bool is_empty = directory != NULL;
    const struct dirent *entry;

    while (is_empty && (entry = readdir(directory))) {
        bool is_kept = strcmp(entry->d_name, "state.json") == 0 ||
                       strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!is_kept)
            is_empty = unlinkat(container->directory_fd, entry->d_name, 0) == 0 || errno == ENOENT;
    }
    if (directory)
        closedir(directory);
    return is_empty && (unlinkat(container->directory_fd, "state.json", 0) == 0 || errno == ENOENT);
}

/* Remove a container that has stopped or was never started; with `force` a running one.  A unit of
 * systemd's is Python's to stop: it speaks D-Bus. */
enum outcome delete_container(const struct container *container, bool force)
{
    if (container->is_attended || container->scope.start)
        return HAND_OVER;
    enum status status = find_status(container);
    if (status == PAUSED || (status == RUNNING && !force))
        return HAND_OVER;
    if (status != STOPPED && !end_process(container))
        return HAND_OVER;
    if (has_members(container) || !remove_cgroups(container) || !empty_directory(container))
        return HAND_OVER;
    bool is_gone = unlinkat(container->root_fd, container->id, AT_REMOVEDIR) == 0;
    return is_gone || errno == ENOENT ? SERVED : HAND_OVER;
}
