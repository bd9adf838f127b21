/* step_privileges.c: which privileges does the container keep?
 *
 * The order is the plan's: the bounding set while CAP_SETPCAP is held, the user, then capabilities.
 * Without no_new_privs the seccomp filter needs CAP_SYS_ADMIN and comes before them.
 */
#define _GNU_SOURCE
#include "child.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>

int step_set_no_new_privileges(struct child *child, const struct step *step)
{
    (void)child, (void)step;
    return sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0);
}

/* Kernel: the bounding set can only shrink; EINVAL says that the kernel knows no more of them. */
int step_drop_bounding(struct child *child, const struct step *step)
{
    (void)child;
    for (unsigned long capability = 0; capability < 64; capability++) {
        if (step->a >> capability & 1)
            continue;
        int result = sys_prctl(PR_CAPBSET_DROP, capability, 0, 0);
        if (result == -EINVAL)
            return 0;
        if (result < 0)
            return result;
    }
    return 0;
}

/* The container's user must be able to open /dev/stdout again.  The null device is everybody's, and
 * a filesystem that can't is no reason to fail. */
static void give_stdio(uid_t user)
{
    struct stat status;
    for (int fd = 0; fd < 3; fd++) {
        if (sys_fstat(fd, &status) < 0 || status.st_uid == user)
            continue;
        if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3))
            continue;
        syscall(SYS_fchown, fd, user, (gid_t)-1);
    }
}

/* Groups exactly as given: the caller's never stay (CVE-2022-2989, CVE-2022-36109).  Capabilities
 * are kept across the change for set-capabilities to choose from.
 *
 * Security: with fs.suid_dumpable=1, the change makes the process dumpable; what is of the same
 * user in the container could trace it then. */
int step_set_user(struct child *child, const struct step *step)
{
    size_t groups = step->data_size / sizeof(uint32_t);
    uid_t user = (uid_t)step->a;
    gid_t group = (gid_t)step->b;

    give_stdio(user);
    int result = sys_prctl(PR_SET_KEEPCAPS, 1, 0, 0);
    if (result == 0)
        result = sys_result(syscall(SYS_setgroups, groups, step_data(child, step)));
    if (result == 0)
        result = sys_result(syscall(SYS_setresgid, group, group, group));
    if (result == 0)
        result = sys_result(syscall(SYS_setresuid, user, user, user));
    if (result == 0)
        result = sys_prctl(PR_SET_DUMPABLE, 0, 0, 0);
    return result == 0 && child->is_tied ? tie_to_parent(child) : result;
}

static int set_ambient(uint64_t ambient)
{
    int result = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0);
    for (unsigned long capability = 0; result == 0 && capability < 64; capability++)
        if (ambient >> capability & 1)
            result = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0);
    return result;
}

int step_set_capabilities(struct child *child, const struct step *step)
{
    uint64_t sets[4]; /* effective, permitted, inheritable, ambient */
    if (step->data_size != sizeof sets)
        return -EINVAL;
    memcpy(sets, step_data(child, step), sizeof sets);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(sets[0] >> 32 * half);
        data[half].permitted = (uint32_t)(sets[1] >> 32 * half);
        data[half].inheritable = (uint32_t)(sets[2] >> 32 * half);
    }
    int result = sys_result(syscall(SYS_capset, &header, data));
    if (result == 0)
        result = sys_prctl(PR_SET_KEEPCAPS, 0, 0, 0);
    if (result == 0)
        result = set_ambient(sets[3]);
    return result == 0 && child->is_tied ? tie_to_parent(child) : result;
}

/* A filter that notifies gives a descriptor to be asked by.  It leaves at once and by one system
 * call: whatever the filter holds up waits for who gets it.  The launcher is still there. */
int step_install_seccomp(struct child *child, const struct step *step)
{
    struct sock_fprog program = {
        .len = (unsigned short)(step->data_size / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)step_data(child, step),
    };
    int result =
        sys_result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)step->a, &program));
    if (result < 0 || !(step->a & SECCOMP_FILTER_FLAG_NEW_LISTENER))
        return result;
    return send_descriptor(child->sync_fd, result, "L");
}
