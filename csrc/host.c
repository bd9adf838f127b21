/* host.c: what does the launcher do on the host, before the container's first process and beside
 * it?
 */
#define _GNU_SOURCE
#include "parent.h"
#include "small_file.h"

#include <linux/bpf.h>
#include <linux/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { DELEGATE_BYTES = 2048, MAX_MESSAGE_BYTES = 4096, PROC_PATH_BYTES = 64 };

static const char delegated[] = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";

static bool is_removed_at_end(const struct plan *plan, const char *path)
{
    for (uint32_t i = 0; i < plan->cgroups.count; i++)
        if (strcmp(plan_list(plan, plan->cgroups, i), path) == 0)
            return true;
    return false;
}

/* Make the directory and those above it.  A cgroup of the container's own that is there already was
 * left by a crash: it goes if it is empty, and EBUSY says that processes are still in it.  Unless
 * it was systemd that made it. */
static int make_cgroup(struct launch *launch, const struct step *step)
{
    enum { KEEP = 1 };
    const char *path = plan_string(launch->plan, step->path);
    char parent[PATH_MAX];
    size_t size = strlen(path) + 1;

    if (mkdir(path, 0755) == 0)
        return 0;
    if (errno == EEXIST && (step->a == KEEP || !is_removed_at_end(launch->plan, path)))
        return 0;
    if (errno == EEXIST)
        return rmdir(path) < 0 || mkdir(path, 0755) < 0 ? -errno : 0;
    if (errno != ENOENT || size > sizeof parent)
        return -errno;
    memcpy(parent, path, size);
    for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(parent, 0755) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(path, 0755) < 0 ? -errno : 0;
}

/* Before any process is in the cgroup: a limit that comes later is one that was not there. */
static int write_cgroup(struct launch *launch, const struct step *step)
{
    return write_file(plan_string(launch->plan, step->path), plan_data(launch->plan, step),
                      step->data_size);
}

static int load_device_program(const void *instructions, uint32_t size)
{
    union bpf_attr attributes = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insns = (uintptr_t)instructions,
        .insn_cnt = size / (uint32_t)sizeof(struct bpf_insn),
        .license = (uintptr_t)"GPL",
    };
    memcpy(attributes.prog_name, "pyrunc_devices", 15);
    return sys_result(syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes));
}

/* v2 has no files for devices: a program answers for each access. */
static int attach_device_program(struct launch *launch, const struct step *step)
{
    const char *path = plan_string(launch->plan, step->path);
    int cgroup_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup_fd < 0)
        return -errno;
    int program_fd = load_device_program(plan_data(launch->plan, step), step->data_size);
    int result = program_fd < 0 ? program_fd : 0;
    if (result == 0) {
        union bpf_attr attributes = {
            .target_fd = (uint32_t)cgroup_fd,
            .attach_bpf_fd = (uint32_t)program_fd,
            .attach_type = BPF_CGROUP_DEVICE,
            .attach_flags = BPF_F_ALLOW_MULTI,
        };
        result = sys_result(syscall(SYS_bpf, BPF_PROG_ATTACH, &attributes, sizeof attributes));
        close(program_fd);
    }
    close(cgroup_fd);
    return result;
}

/* The container's user may make groups below and move processes there, not change the limits: only
 * what the kernel lists as safe to give away, and what is there (cgroups(7), "Cgroup delegation").
 */
static int give_cgroup(struct launch *launch, const struct step *step)
{
    char names[DELEGATE_BYTES];
    const char *path = plan_string(launch->plan, step->path);
    int directory_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0)
        return -errno;
    if (!*read_small("/sys/kernel/cgroup", "delegate", names, sizeof names))
        memcpy(names, delegated, sizeof delegated);
    int result = fchownat(directory_fd, "", (uid_t)step->a, (gid_t)-1, AT_EMPTY_PATH);
    for (char *rest, *name = strtok_r(names, "\n", &rest); result == 0 && name;
         name = strtok_r(NULL, "\n", &rest)) {
        result = fchownat(directory_fd, name, (uid_t)step->a, (gid_t)-1, AT_SYMLINK_NOFOLLOW);
        if (result < 0 && errno == ENOENT)
            result = 0;
    }
    result = result < 0 ? -errno : 0;
    close(directory_fd);
    return result;
}

static int join_monitor_cgroup(struct launch *launch, const struct step *step)
{
    return write_file(plan_string(launch->plan, step->path), STRING_AND_LENGTH("0"));
}

/* The launcher's own, which the child is born with. */
static int set_own_cpu_affinity(struct launch *launch, const struct step *step)
{
    return set_cpu_affinity(plan_data(launch->plan, step), step->data_size);
}

static int join_host_namespace(struct launch *launch, const struct step *step)
{
    return join_namespace(step->fd, plan_string(launch->plan, step->path), (int)step->a,
                          &launch->value);
}

/* The maps are written from outside: the child has no right to more than one line of its own. */
static int write_id_map(struct launch *launch, const struct step *step)
{
    char path[PROC_PATH_BYTES];
    const char *name = plan_string(launch->plan, step->path);
    int length = snprintf(path, sizeof path, "/proc/%d/%s", launch->pid, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return -ENAMETOOLONG;
    return write_file(path, plan_data(launch->plan, step), step->data_size);
}

/* Send a message with a number that was not known before: at `offset`, four bytes. */
static int send_patched(struct launch *launch, const struct step *step, uint32_t number)
{
    _Alignas(8) char message[MAX_MESSAGE_BYTES];
    if (step->data_size > sizeof message || step->a + sizeof number > step->data_size)
        return -EINVAL;
    memcpy(message, plan_data(launch->plan, step), step->data_size);
    memcpy(message + step->a, &number, sizeof number);
    int fd = netlink_open();
    if (fd < 0)
        return fd;
    int result = netlink_transact(fd, message, step->data_size);
    close(fd);
    return result;
}

/* An interface of the host goes into the child's network namespace, or into that of a path. */
static int move_link(struct launch *launch, const struct step *step)
{
    const char *path = plan_string(launch->plan, step->path);
    if (!*path)
        return send_patched(launch, step, (uint32_t)launch->pid);
    int namespace_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace_fd < 0)
        return -errno;
    int result = send_patched(launch, step, (uint32_t)namespace_fd);
    close(namespace_fd);
    return result;
}

/* The template's message makes the pair with its peer in the child's namespace; only the pid is not
 * known before now. */
static int create_veth(struct launch *launch, const struct step *step)
{
    return send_patched(launch, step, (uint32_t)launch->pid);
}

/* Wait until the kernel sends through a link.
 *
 * Kernel: a bridge passes nothing through a port when its other end comes up, but when the work of
 * linkwatch has run for the port, and then for the bridge.  What a container sends before that is
 * lost, and its TCP tries again after a second.  From 6.8 on, to ask for a link runs that work. */
static int await_link(struct launch *launch, const struct step *step)
{
    static const struct timespec pause = {.tv_nsec = 200 * 1000};
    uint64_t deadline_ns = clock_ns(CLOCK_MONOTONIC) + step->a * 1000 * 1000;
    struct pollfd child = {.fd = launch->sync_fd};
    int fd = netlink_open();
    if (fd < 0)
        return fd;
    int state = netlink_link_state(fd, plan_data(launch->plan, step), step->data_size);
    while (state >= 0 && state != IF_OPER_UP) {
        if (clock_ns(CLOCK_MONOTONIC) > deadline_ns)
            state = -ETIME;
        else if (ppoll(&child, 1, &pause, NULL) > 0)
            break; /* the child is gone */
        else
            state = netlink_link_state(fd, plan_data(launch->plan, step), step->data_size);
    }
    close(fd);
    return state < 0 ? state : 0;
}

/* A child that is gone, with or without having read all, is no failure of this step: its own record
 * tells why. */
static int release(struct launch *launch, const struct step *step)
{
    unsigned char number = (unsigned char)step->a;
    if (write(launch->sync_fd, &number, 1) == 1 || errno == EPIPE || errno == ECONNRESET)
        return 0;
    return -errno;
}

int run_host_step(struct launch *launch, const struct step *step)
{
    typedef int host_function(struct launch *, const struct step *);
    static host_function *const functions[STEP_KINDS] = {
        [STEP_MAKE_CGROUP] = make_cgroup,
        [STEP_WRITE_CGROUP] = write_cgroup,
        [STEP_ATTACH_DEVICE_PROGRAM] = attach_device_program,
        [STEP_GIVE_CGROUP] = give_cgroup,
        [STEP_JOIN_MONITOR_CGROUP] = join_monitor_cgroup,
        [STEP_JOIN_NAMESPACE] = join_host_namespace,
        [STEP_SET_CPU_AFFINITY] = set_own_cpu_affinity,
        [STEP_MAP_MOUNT] = map_mount,
        [STEP_WRITE_ID_MAP] = write_id_map,
        [STEP_START_SCOPE] = start_scope,
        [STEP_CREATE_VETH] = create_veth,
        [STEP_MOVE_LINK] = move_link,
        [STEP_AWAIT_LINK] = await_link,
        [STEP_RELEASE] = release,
        [STEP_CALL_HOOKS] = call_hooks,
    };
    return functions[step->kind] ? functions[step->kind](launch, step) : -ENOSYS;
}
