/* step_hook.c: how does a hook run in the container's own namespaces?
 *
 * createContainer hooks before the pivot, startContainer hooks just before the command: programs
 * that get the container's state on stdin.  Both outputs go to memory: nobody has to read them
 * while the hook runs, and what it leaves running can write there for ever.
 */
#define _GNU_SOURCE
#include "child.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum {
    MAX_WORDS = 1024,   /* arguments and environment together; plan_hooks.py refuses more */
    PIPE_BYTES = 4096,  /* what every new pipe takes at once */
    EXIT_NO_HOOK = 127, /* `hook_errno` tells why */
    SIGNAL_SET_BYTES = 8,
};

/* The strings of a step's data, in their order. */
struct hook {
    char *words[MAX_WORDS + 2]; /* arguments, NULL, environment, NULL */
    char **environment;
    const char *directory; /* "" stays where the process is */
    const char *state[2];  /* the text before the pid, and behind it */
};

static const char *next_string(const char *text)
{
    return text + strlen(text) + 1;
}

static int read_hook(const struct child *child, const struct step *step, struct hook *hook)
{
    uint32_t arguments = step->b & 0xffff, variables = step->b >> 16 & 0xffff;
    const char *text = step_data(child, step);
    char **word = hook->words;

    if (arguments > MAX_WORDS || variables > MAX_WORDS - arguments)
        return -E2BIG;
    for (uint32_t i = 0; i < arguments; i++, text = next_string(text))
        *word++ = (char *)(uintptr_t)text;
    *word++ = NULL;
    hook->environment = word;
    for (uint32_t i = 0; i < variables; i++, text = next_string(text))
        *word++ = (char *)(uintptr_t)text;
    *word = NULL;
    hook->directory = text;
    hook->state[0] = next_string(hook->directory);
    hook->state[1] = next_string(hook->state[0]);
    return 0;
}

/* The pid as this process sees itself.  Spec: runtime.md "State", hooks in the container's
 * namespaces get the one from there. */
static size_t own_pid(char text[16])
{
    long pid = syscall(SYS_getpid);
    size_t length = 0, first = 0;
    do
        text[length++] = (char)('0' + pid % 10);
    while ((pid /= 10) > 0);
    for (size_t last = length - 1; first < last; first++, last--) {
        char digit = text[first];
        text[first] = text[last];
        text[last] = digit;
    }
    return length;
}

static int new_memory(void)
{
    return sys_result(syscall(SYS_memfd_create, "pyrunc-hook", 1 /* MFD_CLOEXEC */));
}

/* Return what the hook reads as its stdin: a pipe that is full already, or memory. */
static int open_state(const struct hook *hook)
{
    char pid[16];
    size_t sizes[] = {strlen(hook->state[0]), own_pid(pid), strlen(hook->state[1])};
    const char *parts[] = {hook->state[0], pid, hook->state[1]};
    bool is_small = sizes[0] + sizes[1] + sizes[2] <= PIPE_BYTES;
    int ends[2], result = 0;

    if (is_small)
        result = sys_result(syscall(SYS_pipe2, ends, O_CLOEXEC));
    else
        result = ends[0] = ends[1] = new_memory();
    if (result < 0)
        return result;
    for (int i = 0; i < 3 && result >= 0; i++)
        result = sys_write_once(ends[1], parts[i], sizes[i]);
    if (is_small)
        sys_close(ends[1]);
    else
        syscall(SYS_lseek, ends[0], 0, SEEK_SET);
    if (result >= 0)
        return ends[0];
    sys_close(ends[0]);
    return result;
}

/* A session of its own: a hook that takes too long is killed with all that it started.  Every other
 * descriptor of this process is close-on-exec: what the command is to keep is passed on later. */
static _Noreturn void execute_hook(const struct child *child, const struct step *step,
                                   const struct hook *hook, const int stdio[3])
{
    int result = sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    syscall(SYS_setsid);
    for (int fd = 0; fd < 3 && result >= 0; fd++)
        result = sys_result(syscall(SYS_dup3, stdio[fd], fd, 0));
    if (*hook->directory) /* before the pivot: the container's umask is not set yet */
        syscall(SYS_umask, 022);
    if (result >= 0 && *hook->directory)
        result = sys_result(syscall(SYS_chdir, hook->directory));
    if (result >= 0)
        result =
            sys_result(syscall(SYS_execve, step_path(child, step), hook->words, hook->environment));
    child->progress->hook_errno = -result;
    _exit(EXIT_NO_HOOK);
}

/* Wait for its end, at most `seconds` unless that is 0; 1 if it took longer. */
static int await_hook(int pidfd, uint64_t seconds)
{
    struct pollfd hook = {.fd = pidfd, .events = POLLIN};
    struct timespec left = {.tv_sec = (time_t)seconds};
    int result;
    do /* Kernel: ppoll itself leaves in `left` what is left (ppoll(2), "C library differences") */
        result = sys_result(
            syscall(SYS_ppoll, &hook, 1, seconds ? &left : NULL, NULL, SIGNAL_SET_BYTES));
    while (result == -EINTR);
    return result < 0 ? result : result == 0;
}

static int run_program(struct child *child, const struct step *step, const int stdio[3],
                       const struct hook *hook)
{
    struct hook_report *report = &child->progress->hook;
    int pidfd = -1;

    child->progress->hook_errno = 0;
    /* Not clone3: filters of the container's may know only the old one. */
    long pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
    if (pid == 0)
        execute_hook(child, step, hook, stdio);
    if (pid < 0)
        return -errno;
    int late = await_hook(pidfd, step->a);
    if (late != 0)
        syscall(SYS_kill, -pid, SIGKILL);
    if (late != 0)
        syscall(SYS_kill, pid, SIGKILL);
    syscall(SYS_wait4, pid, &report->status, 0, NULL);
    sys_close(pidfd);
    if (late != 0)
        return late < 0 ? late : -ETIME;
    if (child->progress->hook_errno != 0)
        return -child->progress->hook_errno;
    return report->status == 0 ? 0 : -ECANCELED;
}

/* Who started the container is told why it does not run; behind `start` there is only the FIFO. */
static void tell(struct child *child, const struct step *step, const int stdio[3], int error)
{
    struct hook_report *report = &child->progress->hook;
    report->type = PACKET_HOOK_FAILED;
    report->error = error;
    report->number = (uint32_t)(step->b >> 32);
    for (int i = 0; i < 2; i++) {
        struct hook_output *output = &report->output[i];
        long size = syscall(SYS_pread64, stdio[1 + i], output->text, sizeof output->text, 0);
        output->size = size < 0 ? 0 : (uint32_t)size;
    }
    if (step->fd >= 0)
        sys_write_once(step->fd, report, sizeof *report);
}

int step_run_hook(struct child *child, const struct step *step)
{
    struct hook hook;
    int result = read_hook(child, step, &hook);
    if (result < 0)
        return result;
    int stdio[3] = {open_state(&hook), new_memory(), new_memory()};
    for (int fd = 0; fd < 3 && result == 0; fd++)
        result = stdio[fd] < 0 ? stdio[fd] : 0;
    if (result == 0)
        result = run_program(child, step, stdio, &hook);
    if (result < 0)
        tell(child, step, stdio, -result);
    for (int fd = 0; fd < 3; fd++)
        if (stdio[fd] >= 0)
            sys_close(stdio[fd]);
    return result;
}
