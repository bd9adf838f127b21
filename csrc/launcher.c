/* launcher.c: how is a container's first process born, and who waits for whom?
 *
 * Reading path 4/8 · before: pyrunc/runtime/plan.py · after: csrc/child.c
 *
 *     Python ──posix_spawn──▶ launcher: host steps ── clone3 ── parent steps ── waits ── monitor
 *                                                       │           ▲ sync_fd: EOF at execve
 *                                                       └─▶ child: its steps (child.c) ── execve
 *
 * The plan decides what is done; this file only walks through it.  The first step that fails ends
 * the launch: the child is killed and reaped and the cgroups are removed before the client hears of
 * it, so that what it sees next is a clean machine.
 */
#define _GNU_SOURCE
#include "parent.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { EXIT_FAILED = 125, TRACE_INTERVAL_MS = 20 };

extern char **environ;

static void say(const char *text)
{
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

/* Map the plan.  Security: a container may execute this program as /proc/self/exe; it finds no
 * plan, or one that it wrote itself, and gains nothing by it. */
static const struct plan *map_plan(void)
{
    struct stat status;
    if (fstat(FD_PLAN, &status) < 0 || !S_ISREG(status.st_mode) ||
        status.st_size < (off_t)sizeof(struct plan))
        return NULL;
    size_t size = (size_t)status.st_size;
    const struct plan *plan = mmap(NULL, size, PROT_READ, MAP_PRIVATE, FD_PLAN, 0);
    if (plan == MAP_FAILED || memcmp(plan->magic, PLAN_MAGIC, sizeof plan->magic) != 0 ||
        plan->size != size)
        return NULL;
    return plan;
}

/* Kernel: what is ignored stays so across execve; the C library hides two of the signals. */
static void default_signals(void)
{
    enum { SIGNALS = 64, SIGNAL_SET_BYTES = 8 };
    static const struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } action;
    for (int number = 1; number <= SIGNALS; number++)
        syscall(SYS_rt_sigaction, number, &action, NULL, SIGNAL_SET_BYTES);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &action.mask, NULL, SIGNAL_SET_BYTES);
}

/* Nothing of the caller's state is for the container: descriptors, signals, umask, directory. */
static void forget_caller(const struct plan *plan)
{
    syscall(SYS_close_range, FD_FIRST + plan->descriptor_count, ~0U, 0);
    for (int fd = FD_PLAN; fd < (int)(FD_FIRST + plan->descriptor_count); fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    default_signals();
    umask(0);
    if (chdir("/") < 0)
        _exit(EXIT_FAILED);
    if (plan->mode == MODE_MONITOR || plan->mode == MODE_RUN || plan->mode == MODE_SLEEP)
        setsid();
}

static void *map_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* Turn offsets into the array of pointers that execve wants. */
static char **fill_pointers(const struct plan *plan, struct string_list list, char **pointers)
{
    for (uint32_t i = 0; i < list.count; i++)
        *pointers++ = (char *)(uintptr_t)plan_list(plan, list, i);
    *pointers++ = NULL;
    return pointers;
}

/* Everything the child needs in memory is laid out before it is born. */
static int prepare(struct launch *launch)
{
    const struct plan *plan = launch->plan;
    size_t progress = sizeof *launch->progress + plan->step_count * sizeof(struct step_record);
    size_t pointers = (plan->argv.count + plan->environment.count + 2) * sizeof(char *);
    int sockets[2];

    progress = (progress + 15) & ~(size_t)15;
    launch->memory_size = progress + pointers;
    char *memory = map_memory(launch->memory_size);
    if (!memory)
        return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return -errno;
    launch->progress = (void *)memory;
    launch->sync_fd = sockets[0];
    launch->child = (struct child){
        .plan = plan,
        .progress = launch->progress,
        .argv = (void *)(memory + progress),
        .stdio = {-1, -1, -1},
        .launcher_fd = sockets[0],
        .sync_fd = sockets[1],
        .root_fd = AT_FDCWD,
        .null_fd = -1,
        .empty_fd = -1,
        .proc_fd = -1,
        .label_fd = -1,
        .netlink_fd = -1,
    };
    launch->child.environment = fill_pointers(plan, plan->argv, launch->child.argv);
    fill_pointers(plan, plan->environment, launch->child.environment);
    return open_container_stdio(launch);
}

/* Clone a process that is born in a cgroup of v2, or in the launcher's own for "".  Returns the
 * pid, 0 in the child, or -errno. */
static int clone_into(struct launch *launch, const struct step *step, struct clone_args arguments,
                      const char *cgroup)
{
    int cgroup_fd = *cgroup ? open(cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (*cgroup && cgroup_fd < 0)
        return -errno;
    if (cgroup_fd >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (unsigned)cgroup_fd;
    }
    int pid = step->data_size
                  ? clone_in_user_namespace(launch, plan_data(launch->plan, step), &arguments)
                  : sys_result(syscall(SYS_clone3, &arguments, sizeof arguments));
    if (cgroup_fd >= 0)
        sys_close(cgroup_fd);
    return pid;
}

/* The name is inherited by the child; the launcher then takes its own.
 *
 * Security: not dumpable from here on: what is in a shared PID namespace can't trace it or read its
 * descriptors (CVE-2016-9962); execve ends that.  Kernel: CLONE_INTO_CGROUP is for v2 alone; EBUSY
 * says that the cgroup hands controllers down and takes no process itself, EOPNOTSUPP that it is
 * among threaded ones (cgroups(7)): the second place is where the container's own processes are. */
static int clone_child(struct launch *launch, const struct step *step)
{
    struct clone_args arguments = {
        .flags = step->a | CLONE_PIDFD,
        .pidfd = (uintptr_t)&launch->pidfd,
        .exit_signal = SIGCHLD,
    };
    const char *second = plan_string(launch->plan, step->target);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NAME, "pyrunc:init");
    int pid = clone_into(launch, step, arguments, plan_string(launch->plan, step->path));
    if ((pid == -EBUSY || pid == -EOPNOTSUPP) && *second)
        pid = clone_into(launch, step, arguments, second);
    if (pid == 0)
        run_child(&launch->child);
    prctl(PR_SET_NAME, "pyrunc:monitor");
    if (pid > 0)
        launch->pid = pid;
    launch->value = (uint64_t)pid;
    return pid < 0 ? pid : 0;
}

/* From here on only SIGKILL ends the launcher: it has a child to see to.  Kernel: SIGXFSZ comes
 * when the log outgrows a limit of whoever called (setrlimit(2)). */
static void become_parent(struct launch *launch)
{
    static const int ignored[] = {
        SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGXFSZ,
    };
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    close(launch->child.sync_fd);
    close_container_ends(launch);
}

static int run_step(struct launch *launch, uint32_t index)
{
    const struct plan *plan = launch->plan;
    const struct step *step = &plan->steps[index];
    struct step_record *record = &launch->progress->records[index];
    int result = 0;

    if ((int32_t)index == plan->fault_step) {
        if (plan->fault_action == FAULT_KILL)
            raise(SIGKILL);
        result = -plan->fault_action;
    }
    launch->value = 0;
    record->index = (uint16_t)index;
    record->start_ns = clock_ns(CLOCK_MONOTONIC);
    if (result == 0)
        result = step->kind == STEP_CLONE ? clone_child(launch, step) : run_host_step(launch, step);
    record->error = result < 0 ? -result : 0;
    record->value = launch->value;
    record->end_ns = clock_ns(CLOCK_MONOTONIC);
    if (step->kind == STEP_CLONE && result == 0)
        become_parent(launch);
    return step->flags & STEP_FLAG_OPTIONAL ? 0 : result;
}

/* Leave nothing, then tell: the step's record is the last thing the client hears. */
static _Noreturn void give_up(struct launch *launch, uint32_t index)
{
    struct exit_status status;
    if (launch->pidfd >= 0) {
        syscall(SYS_pidfd_send_signal, launch->pidfd, SIGKILL, NULL, 0);
        reap(launch, &status);
    }
    remove_cgroups(launch);
    if (launch->plan->options & LAUNCH_TRACE)
        send_trace(launch);
    if (launch->plan->steps[index].kind == STEP_RUN_HOOK)
        send_hook_report(launch);
    send_step(launch, index);
    _exit(EXIT_FAILED);
}

/* The step the child was in.  Security: with --init, PID 1 shares this memory until it has let go
 * of it, and a command that may trace it could write there: the number is not to be believed. */
static uint32_t current_step(const struct launch *launch)
{
    uint32_t index = __atomic_load_n(&launch->progress->current, __ATOMIC_ACQUIRE);
    return index < launch->plan->step_count ? index : 0;
}

/* The child's step failed, or the child was killed in it, which only we can write down. */
static _Noreturn void blame_child(struct launch *launch)
{
    uint32_t index = current_step(launch);
    struct step_record *record = &launch->progress->records[index];
    record->index = (uint16_t)index;
    if (record->error == 0)
        record->error = ECHILD;
    give_up(launch, index);
}

static bool has_hung_up(const struct launch *launch)
{
    struct pollfd child = {.fd = launch->sync_fd};
    return launch->pidfd >= 0 && poll(&child, 1, 0) > 0 && child.revents & POLLHUP;
}

/* The host's, the clone and the parent's steps; the child's run at the same time as the last.  One
 * of ours that fails because the child is gone is not the one to name. */
static void run_steps(struct launch *launch)
{
    for (uint32_t i = 0; i < launch->plan->step_count; i++) {
        if (launch->plan->steps[i].stage == STAGE_CHILD || run_step(launch, i) == 0)
            continue;
        if (has_hung_up(launch))
            blame_child(launch);
        give_up(launch, i);
    }
}

/* Nobody is left who wants to hear of it.  The child may be frozen with its container, and die when
 * that is thawed: it is not waited for. */
static _Noreturn void abandon(const struct launch *launch)
{
    syscall(SYS_pidfd_send_signal, launch->pidfd, SIGKILL, NULL, 0);
    _exit(EXIT_FAILED);
}

/* The child has let another be born in its place, and ends; that one waits for us. */
static void adopt(struct launch *launch, pid_t pid, int pidfd)
{
    bool follows = launch->plan->options & LAUNCH_FOLLOW;
    struct pollfd ends[] = {
        {.fd = launch->pidfd, .events = POLLIN},
        {.fd = follows ? launch->client_fd : -1},
    };
    struct exit_status status;
    while (poll(ends, 2, -1) < 0)
        continue;
    if (!ends[0].revents)
        abandon(launch);
    reap(launch, &status);
    close(launch->pidfd);
    launch->pidfd = pidfd;
    launch->pid = pid;
    if (write(launch->sync_fd, "p", 1) != 1)
        return; /* it is gone, and the next we hear is that */
}

/* Read what the child sends: its terminal, the descriptor of its filter ('L'), or that it waits to
 * be started.  0 at its end. */
static int receive_from_child(struct launch *launch)
{
    char text[16] = "";
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec body = {.iov_base = text, .iov_len = sizeof text - 1};
    struct msghdr message = {
        .msg_iov = &body,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    ssize_t length = recvmsg(launch->sync_fd, &message, MSG_CMSG_CLOEXEC);
    if (length <= 0)
        return 0;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS)
        return text[0];
    int fd;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    if (text[0] == 'L')
        send_listener(launch, fd);
    else if (text[0] == 'P')
        adopt(launch, (pid_t)strtol(text + 1, NULL, 10), fd);
    else
        launch->master_fd = fd;
    return text[0];
}

/* The client of a detached exec records that it began, and leaves; the end, which we have recorded,
 * comes behind that. */
static void await_client_gone(const struct launch *launch)
{
    struct pollfd client = {.fd = launch->client_fd};
    while (launch->client_fd >= 0 && !(client.revents & (POLLHUP | POLLERR)))
        poll(&client, 1, -1);
}

/* It is there, as whoever looks around will see it, and as one that runs to all others. */
static void report_start(struct launch *launch)
{
    launch->started_ns = clock_ns(CLOCK_REALTIME);
    open_attach_socket(launch);
    write_state(launch);
    if (launch->plan->options & LAUNCH_TRACE)
        send_trace(launch);
    send_started(launch);
    if (launch->plan->options & LAUNCH_DETACHED) {
        if (launch->plan->bundle == 0)
            await_client_gone(launch);
        client_lost(launch);
    }
}

/* Wait until the child executes its command, waits to be started, or is gone. */
static int await_child(struct launch *launch)
{
    bool is_traced = launch->plan->options & LAUNCH_TRACE;
    bool follows = launch->plan->options & LAUNCH_FOLLOW;
    for (;;) {
        struct pollfd ends[] = {
            {.fd = launch->sync_fd, .events = POLLIN},
            {.fd = follows ? launch->client_fd : -1},
            {.fd = follows ? launch->pidfd : -1, .events = POLLIN},
        };
        int ready = poll(ends, 3, is_traced ? TRACE_INTERVAL_MS : -1);
        if (ready > 0 && ends[0].revents) {
            int said = receive_from_child(launch);
            if (said == 0 || said == 'A')
                return said;
            if (said == 'H') {
                launch->is_held = true;
                report_start(launch);
            }
        } else if (ready > 0 && ends[1].revents) {
            abandon(launch);
        } else if (ready > 0 && ends[2].revents) {
            blame_child(launch); /* it was killed, and what it gave birth to waits in vain */
        }
        if (is_traced)
            send_trace(launch);
    }
}

/* The child's end of the socket is closed: by execve, by a step that failed, or by a kill. */
static void check_child(struct launch *launch)
{
    uint32_t index = current_step(launch);
    struct step_record *record = &launch->progress->records[index];
    bool has_executed = launch->plan->steps[index].kind == STEP_EXECUTE && record->start_ns != 0 &&
                        record->error == 0;
    if (!has_executed && launch->is_held)
        monitor(launch); /* that it was there has been told: this is its end */
    if (!has_executed)
        blame_child(launch);
    launch->is_held = false;
    record->end_ns = clock_ns(CLOCK_MONOTONIC);
}

/* pyrunc-oci create: whoever called supervises the container from here.  One that nobody heard of
 * is not left: its directory may have been removed by now. */
static _Noreturn void leave_created(struct launch *launch)
{
    launch->started_ns = clock_ns(CLOCK_REALTIME);
    if (launch->plan->options & LAUNCH_TRACE)
        send_trace(launch);
    send_started(launch);
    if (launch->client_fd < 0)
        give_up(launch, current_step(launch));
    if (write(launch->sync_fd, "a", 1) != 1)
        _exit(EXIT_FAILED);
    _exit(0);
}

int main(void)
{
    static struct launch launch = {
        .client_fd = FD_CLIENT,
        .attach_fd = -1,
        .pidfd = -1,
        .stdin_fd = -1,
        .stdout_fd = -1,
        .stderr_fd = -1,
        .master_fd = -1,
    };
    launch.plan = map_plan();
    if (!launch.plan) {
        say("pyrunc-init: this program is started by pyrunc, with a plan\n");
        return EXIT_FAILED;
    }
    forget_caller(launch.plan);
    if (launch.plan->mode == MODE_SLEEP)
        sleep_and_go_on(&launch);
    if (prepare(&launch) < 0)
        return EXIT_FAILED;
    run_steps(&launch);
    if (await_child(&launch) == 'A')
        leave_created(&launch);
    check_child(&launch);
    report_start(&launch);
    bool follows = launch.plan->options & LAUNCH_FOLLOW;
    if (launch.plan->mode == MODE_DETACH || (follows && launch.client_fd < 0))
        _exit(0);
    monitor(&launch);
}
