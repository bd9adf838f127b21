/* step_settings.c: which properties of the process and its namespaces are set from within? */
#define _GNU_SOURCE
#include "child.h"

#include <string.h>
#include <sys/resource.h>

int step_set_hostname(struct child *child, const struct step *step)
{
    return sys_result(syscall(SYS_sethostname, step_data(child, step), (size_t)step->data_size));
}

int step_set_domainname(struct child *child, const struct step *step)
{
    return sys_result(syscall(SYS_setdomainname, step_data(child, step), (size_t)step->data_size));
}

/* Security: through a procfs that nothing can lie over (CVE-2025-52881). */
int step_set_sysctl(struct child *child, const struct step *step)
{
    char path[256] = "sys/";
    const char *name = step_path(child, step);
    size_t size = strlen(name) + 1;
    if (size > sizeof path - 4)
        return -ENAMETOOLONG;
    memcpy(path + 4, name, size);
    int fd = open_own_proc(child, path, O_WRONLY);
    if (fd < 0)
        return fd;
    int result = sys_write_once(fd, step_data(child, step), step->data_size);
    sys_close(fd);
    return result;
}

/* Kernel: raising a hard limit needs CAP_SYS_RESOURCE, which even root may lack (EPERM). */
int step_set_rlimit(struct child *child, const struct step *step)
{
    struct {
        uint64_t soft, hard;
    } limit;
    if (step->data_size != sizeof limit)
        return -EINVAL;
    memcpy(&limit, step_data(child, step), sizeof limit);
    return sys_result(syscall(SYS_prlimit64, 0, (int)step->a, &limit, NULL));
}

int step_set_oom_score(struct child *child, const struct step *step)
{
    int fd = open_own_proc(child, "self/oom_score_adj", O_WRONLY);
    if (fd < 0)
        return fd;
    int result = sys_write_once(fd, step_data(child, step), step->data_size);
    sys_close(fd);
    return result;
}

/* After the last file was made: until here it is 0, so that modes are what the plan says. */
int step_set_umask(struct child *child, const struct step *step)
{
    (void)child;
    syscall(SYS_umask, (mode_t)step->a);
    return 0;
}

int step_set_personality(struct child *child, const struct step *step)
{
    (void)child;
    int previous = sys_result(syscall(SYS_personality, (unsigned long)step->a));
    return previous < 0 ? previous : 0;
}

int step_set_scheduler(struct child *child, const struct step *step)
{
    return sys_result(syscall(SYS_sched_setattr, 0, step_data(child, step), 0));
}

int step_set_io_priority(struct child *child, const struct step *step)
{
    enum { IOPRIO_WHO_PROCESS = 1 };
    (void)child;
    return sys_result(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, (int)step->a));
}

/* Which memory nodes the pages of the command come from; execve keeps it. */
int step_set_memory_policy(struct child *child, const struct step *step)
{
    unsigned long bits = 8UL * step->data_size;
    const void *nodes = bits ? step_data(child, step) : NULL;
    /* Kernel: the last bit of maxnode is not looked at (set_mempolicy(2), BUGS). */
    return sys_result(syscall(SYS_set_mempolicy, (int)step->a, nodes, bits ? bits + 1 : 0));
}

/* The label that execve gives the command: AppArmor's profile or SELinux' context.
 *
 * Security: written through a procfs that nothing can lie over; a volume over /proc/self/attr made
 * the label vanish (CVE-2019-16884, CVE-2025-52881).
 *
 * With --init the process that is here never executes anything: start-init changes what it is
 * itself, when it can open no such file any more. */
int step_set_security_label(struct child *child, const struct step *step)
{
    int fd = open_own_proc(child, step_path(child, step), O_WRONLY);
    if (fd < 0)
        return fd;
    if (step->a) {
        child->label_fd = open_own_proc(child, "self/attr/apparmor/current", O_WRONLY);
        if (child->label_fd < 0)
            return child->label_fd;
    }
    int result = sys_write_once(fd, step_data(child, step), step->data_size);
    sys_close(fd);
    return result;
}

/* Kernel: numbers of processors that are not there are ignored; EINVAL if none of them is. */
int set_cpu_affinity(const void *cpus, size_t size)
{
    return sys_result(syscall(SYS_sched_setaffinity, 0, size, cpus));
}

/* After the cgroups are joined: a cpuset confines what is asked for here. */
int step_set_cpu_affinity(struct child *child, const struct step *step)
{
    return set_cpu_affinity(step_data(child, step), step->data_size);
}

/* Security: a working directory outside the root shows as "(unreachable)" or not at all
 * (CVE-2024-21626). */
int step_change_directory(struct child *child, const struct step *step)
{
    const char *target = step_target(child, step);
    char path[PATH_MAX];
    int fd = step->flags & STEP_FLAG_CREATE_DIRECTORY ? make_target(child, target, S_IFDIR | 0755)
                                                      : open_target(child, target, O_DIRECTORY);
    if (fd < 0)
        return fd;
    int result = sys_result(syscall(SYS_fchdir, fd));
    sys_close(fd);
    if (result < 0)
        return result;
    long length = syscall(SYS_getcwd, path, sizeof path);
    if (length < 0)
        return -errno;
    return path[0] == '/' ? 0 : -ENOENT;
}
