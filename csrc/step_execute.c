/* step_execute.c: how does the process become the container's command? */
#define _GNU_SOURCE
#include "child.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

/* Return the value of PATH in the container's environment, or "". */
static const char *search_path(const struct child *child)
{
    for (char **variable = child->environment; *variable; variable++)
        if (strncmp(*variable, "PATH=", 5) == 0)
            return *variable + 5;
    return "";
}

/* Write the next candidate for `name` into `path`, and advance `search`; 0 at the end.  As
 * execvp(3): an empty entry is the working directory. */
static bool next_candidate(const char **search, const char *name, char path[PATH_MAX])
{
    while (*search && **search) {
        const char *entry = *search;
        size_t length = 0, name_size = strlen(name) + 1;
        while (entry[length] && entry[length] != ':')
            length++;
        *search = entry[length] ? entry + length + 1 : NULL;
        if (length + 1 + name_size > PATH_MAX)
            continue;
        memcpy(path, entry, length);
        path[length] = '/';
        memcpy(path + length + 1, name, name_size);
        if (length == 0)
            memcpy(path, name, name_size);
        return true;
    }
    return false;
}

/* May this process execute the file?  -EACCES for a directory, as execve says it.  Kernel: it also
 * looks at the way there, and at mounts that are noexec. */
static int check_executable(const char *path)
{
    struct stat status;
    int fd = sys_openat(AT_FDCWD, path, O_PATH, 0);
    if (fd < 0)
        return fd;
    int result = sys_fstat(fd, &status);
    if (result == 0 && !S_ISREG(status.st_mode))
        result = -EACCES;
    if (result == 0)
        result = sys_result(syscall(SYS_faccessat2, fd, "", X_OK, AT_EACCESS | AT_EMPTY_PATH));
    sys_close(fd);
    if (result == -EPERM || result == -ENOSYS) /* an older filter does not know the call */
        return status.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH) ? 0 : -EACCES;
    return result;
}

/* pyrunc-oci create has to name a missing command, long before it is executed; by whom it will be.
 */
int step_find_command(struct child *child, const struct step *step)
{
    const char *name = child->argv[0], *search = search_path(child);
    size_t size = strlen(name) + 1;
    int failure = -ENOENT;

    (void)step;
    if (strchr(name, '/')) {
        if (size > sizeof child->command)
            return -ENAMETOOLONG;
        memcpy(child->command, name, size);
        return check_executable(name);
    }
    while (*name && next_candidate(&search, name, child->command)) {
        int result = check_executable(child->command);
        if (result == 0)
            return 0;
        if (result == -EACCES)
            failure = result;
    }
    child->command[0] = '\0';
    return failure;
}

/* Close what only earlier steps needed: a created container may be looked at for long. */
static void close_unneeded(struct child *child)
{
    int *const unneeded[] = {&child->root_fd, &child->null_fd, &child->empty_fd, &child->proc_fd,
                             &child->netlink_fd};
    for (size_t i = 0; i < sizeof unneeded / sizeof *unneeded; i++) {
        if (*unneeded[i] >= 0)
            sys_close(*unneeded[i]);
        *unneeded[i] = -1;
    }
}

/* Write a number behind a prefix; the buffer is large enough for both. */
void append_number(char *end, unsigned number)
{
    char digits[12];
    size_t length = 0;
    do
        digits[length++] = (char)('0' + number % 10);
    while (number /= 10);
    while (length > 0)
        *end++ = digits[--length];
    *end = '\0';
}

/* Whose descriptors these are, for sd_listen_fds(3): the command's number in its own PID namespace,
 * which only this process knows. */
int step_set_listen_pid(struct child *child, const struct step *step)
{
    static const char name[] = "LISTEN_PID=";
    (void)step;
    memcpy(child->listen_pid, name, sizeof name);
    append_number(child->listen_pid + sizeof name - 1, (unsigned)syscall(SYS_getpid));
    for (char **variable = child->environment; *variable; variable++)
        if (strncmp(*variable, name, sizeof name - 1) == 0)
            *variable = child->listen_pid;
    return 0;
}

/* What the launcher had to undo is done: from here on its death is no reason to die. */
int step_let_go(struct child *child, const struct step *step)
{
    (void)step;
    child->is_tied = false;
    return sys_prctl(PR_SET_PDEATHSIG, 0, 0, 0);
}

static void end_at_once(int number)
{
    _exit(128 + number);
}

/* A created container ends by what ends any process.  Kernel: the first of a PID namespace gets no
 * signal without a handler (pid_namespaces(7)).  execve takes the handlers away again. */
static void heed_signals(void)
{
    static const int heeded[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    static const struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(int); /* never reached, but some machines want one */
        uint64_t mask;
    } action = {
        .handler = end_at_once, .flags = 0x04000000 /* SA_RESTORER */, .restorer = end_at_once};
    for (size_t i = 0; i < sizeof heeded / sizeof *heeded; i++)
        syscall(SYS_rt_sigaction, heeded[i], &action, NULL, sizeof action.mask);
}

/* Wait for a byte in the FIFO, whoever writes it. */
static int await_byte(int fifo_fd)
{
    struct pollfd fifo = {.fd = fifo_fd, .events = POLLIN};
    char byte;
    int result;
    do {
        result = sys_result(syscall(SYS_ppoll, &fifo, 1, NULL, NULL, 8));
        if (result > 0)
            result = sys_result(syscall(SYS_read, fifo_fd, &byte, 1));
    } while (result == -EINTR || result == -EAGAIN);
    return result < 0 ? result : result == 1 ? 0 : -EPIPE;
}

/* run --hold: say that all but the last steps is done, and wait to be let on, for somebody to look
 * around meanwhile.  The launcher stays, and its death is still this process's. */
int step_hold(struct child *child, const struct step *step)
{
    child->is_created = true;
    heed_signals();
    close_unneeded(child);
    int result = sys_write_once(child->sync_fd, "H", 1);
    return result < 0 ? result : await_byte(step->fd);
}

/* Say that all is ready, let go of the launcher, and wait for `start` to write a byte.
 *
 * The launcher answers before it leaves; if it died instead, so does this process. */
int step_await_start(struct child *child, const struct step *step)
{
    char byte = 'A';
    int result = sys_prctl(PR_SET_PDEATHSIG, 0, 0, 0);
    child->is_tied = false;
    child->is_created = true;
    heed_signals();
    close_unneeded(child);
    if (result == 0)
        result = sys_write_once(child->sync_fd, &byte, 1);
    if (result < 0)
        return result;
    if (syscall(SYS_read, child->sync_fd, &byte, 1) != 1)
        return -EPIPE;
    sys_close(child->sync_fd);
    return await_byte(step->fd);
}

/* The descriptors to keep are the plan's last ones; they become 3, 4 … and everything behind them
 * is closed by execve.
 *
 * Security: a descriptor of a directory outside the root is a way out (CVE-2024-21626). */
int step_close_descriptors(struct child *child, const struct step *step)
{
    enum { CLOSE_ON_EXEC = 4 /* CLOSE_RANGE_CLOEXEC */ };
    unsigned first = (unsigned)step->a, kept = first - 3;
    unsigned source = FD_FIRST + child->plan->descriptor_count - kept;

    for (unsigned i = 0; i < kept; i++) {
        int result = sys_result(syscall(SYS_dup3, source + i, 3 + i, 0));
        if (result < 0)
            return result;
    }
    int result = sys_result(syscall(SYS_close_range, first, ~0U, CLOSE_ON_EXEC));
    /* An older filter does not know the call.  All of ours are close-on-exec from the beginning. */
    return result == -EPERM || result == -ENOSYS ? 0 : result;
}

/* Nobody else can tell any more why a created container does not run: the words go where its own
 * would, and the code is a shell's. */
static int complain(const struct child *child, int error)
{
    const char *name = child->command[0] ? child->command : child->argv[0];
    const char *why = error == -ENOEXEC  ? ": exec format error\n"
                      : error == -EACCES ? ": permission denied\n"
                      : error == -ENOENT ? ": no such file or directory\n"
                                         : ": it can't be executed\n";
    if (!child->is_created)
        return error;
    child->progress->records[child->progress->current].error = -error;
    sys_write_once(STDERR_FILENO, "exec ", 5);
    sys_write_once(STDERR_FILENO, name, strlen(name));
    sys_write_once(STDERR_FILENO, why, strlen(why));
    _exit(error == -ENOENT ? 127 : 126);
}

/* Returns only if it can't.  Nothing but execve here: the filter may forbid everything else.  As
 * execvp(3), but a file without a magic number is no shell script. */
int step_execute(struct child *child, const struct step *step)
{
    const char *name = child->argv[0], *search = search_path(child);
    char path[PATH_MAX];
    int failure = -ENOENT;

    (void)step;
    if (child->command[0] || strchr(name, '/')) {
        const char *command = child->command[0] ? child->command : name;
        return complain(child,
                        sys_result(syscall(SYS_execve, command, child->argv, child->environment)));
    }
    while (*name && next_candidate(&search, name, path)) {
        int result = sys_result(syscall(SYS_execve, path, child->argv, child->environment));
        if (result == -EACCES)
            failure = result;
        else if (result != -ENOENT && result != -ENOTDIR)
            return complain(child, result);
    }
    return complain(child, failure);
}
