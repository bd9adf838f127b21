/* probe.c: what can a container's first process see and do?
 *
 * Run as the init of a container, of pyrunc or of a peer; prints one JSON object.  Static, no
 * arguments, needs nothing of the image.  What it reports is what tests compare: identity,
 * privileges, namespaces, mounts, descriptors, limits, environment, devices, masked paths, cgroups,
 * sysctls.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { TEXT = 4096, MANY = 256 };

static const char *separator = "";

static void print_string(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void name(const char *text)
{
    printf("%s", separator);
    print_string(text);
    putchar(':');
    separator = ",";
}

static void open_object(const char *key, char bracket)
{
    name(key);
    putchar(bracket);
    separator = "";
}

static void close_object(char bracket)
{
    putchar(bracket);
    separator = ",";
}

static void string(const char *key, const char *value)
{
    name(key);
    print_string(value);
}

static void number(const char *key, long long value)
{
    name(key);
    printf("%lld", value);
}

static void item(const char *value)
{
    printf("%s", separator);
    print_string(value);
    separator = ",";
}

static int by_name(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

/* Names in a directory, sorted, without dot and dot-dot; the caller frees nothing: it exits soon.
 */
static size_t list_directory(const char *path, char **names)
{
    size_t count = 0;
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory)) && count < MANY;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            names[count++] = strdup(entry->d_name);
    if (directory)
        closedir(directory);
    qsort(names, count, sizeof *names, by_name);
    return count;
}

/* The lines of a file as a JSON list; a file that can't be read gives its errno instead. */
static void lines(const char *key, const char *path)
{
    static char line[TEXT];
    FILE *file = fopen(path, "re");
    if (!file) {
        string(key, strerror(errno));
        return;
    }
    open_object(key, '[');
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        item(line);
    }
    fclose(file);
    close_object(']');
}

static void print_identity(void)
{
    gid_t groups[MANY];
    struct utsname host;
    char directory[TEXT] = "";
    int count = getgroups(MANY, groups);
    uname(&host);
    string("hostname", host.nodename);
    string("domainname", host.domainname);
    number("pid", getpid());
    number("ppid", getppid());
    number("uid", getuid());
    number("gid", getgid());
    open_object("groups", '[');
    for (int i = 0; i < count; i++) {
        printf("%s%u", separator, (unsigned)groups[i]);
        separator = ",";
    }
    close_object(']');
    string("cwd", getcwd(directory, sizeof directory) ? directory : strerror(errno));
    mode_t mask = umask(0);
    number("umask", mask);
    number("session", getsid(0));
    number("dumpable", prctl(PR_GET_DUMPABLE));
}

/* Fields of /proc/self/status about privileges, kept as the kernel prints them. */
static void print_privileges(void)
{
    static const char *const wanted[] = {"CapInh", "CapPrm",     "CapEff",  "CapBnd",
                                         "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"};
    char line[TEXT];
    FILE *file = fopen("/proc/self/status", "re");
    open_object("status", '{');
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *value = strchr(line, ':');
        if (!value)
            continue;
        *value++ = '\0';
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            if (strcmp(line, wanted[i]) == 0)
                string(wanted[i], value + strspn(value, "\t "));
    }
    close_object('}');
    if (file)
        fclose(file);
    lines("oom_score_adj", "/proc/self/oom_score_adj");
    lines("apparmor", "/proc/self/attr/current");
}

static void print_links(const char *key, const char *directory)
{
    char *names[MANY];
    size_t count = list_directory(directory, names);
    open_object(key, '{');
    for (size_t i = 0; i < count; i++) {
        char path[TEXT];
        char target[TEXT];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length < 0)
            continue; /* the descriptor of the listing itself */
        target[length] = '\0';
        string(names[i], target);
    }
    close_object('}');
}

static void print_limits(void)
{
    static const char *const names[] = {
        "cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
        "memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"};
    open_object("limits", '{');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct rlimit limit;
        if (getrlimit((int)i, &limit) != 0)
            continue;
        open_object(names[i], '[');
        printf("%lld,%lld", (long long)limit.rlim_cur, (long long)limit.rlim_max);
        close_object(']');
    }
    close_object('}');
}

static void print_environment(void)
{
    open_object("environment", '[');
    for (char **one = environ; *one; one++)
        item(*one);
    close_object(']');
}

/* Memory devices and terminals.  Opening others may do something: a watchdog starts to bark. */
static bool is_safe_to_open(dev_t device)
{
    return major(device) == 1 || major(device) == 5 ||
           (major(device) >= 136 && major(device) < 144);
}

/* Everything in /dev, and whether it opens. */
static void print_devices(void)
{
    char *names[MANY];
    size_t count = list_directory("/dev", names);
    open_object("devices", '{');
    for (size_t i = 0; i < count; i++) {
        char path[TEXT];
        char text[TEXT];
        struct stat status;
        snprintf(path, sizeof path, "/dev/%s", names[i]);
        if (lstat(path, &status) != 0)
            continue;
        if (S_ISLNK(status.st_mode)) {
            ssize_t length = readlink(path, text, sizeof text - 1);
            text[length > 0 ? length : 0] = '\0';
        } else if (S_ISDIR(status.st_mode)) {
            snprintf(text, sizeof text, "directory %04o", status.st_mode & 07777);
        } else if (is_safe_to_open(status.st_rdev)) {
            int fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
            snprintf(text, sizeof text, "%04o %u:%u %s", status.st_mode & 07777,
                     major(status.st_rdev), minor(status.st_rdev),
                     fd >= 0 ? "opens" : strerror(errno));
            if (fd >= 0)
                close(fd);
        } else {
            snprintf(text, sizeof text, "%04o %u:%u", status.st_mode & 07777, major(status.st_rdev),
                     minor(status.st_rdev));
        }
        string(names[i], text);
    }
    close_object('}');
}

/* Can a device be made and opened that nobody allowed?  The device rules are what stops it. */
static void print_forbidden_device(void)
{
    static const char path[] = "/probe-device";
    const char *result = "opens";
    if (mknod(path, S_IFBLK | 0600, (dev_t)0x700) != 0) { /* 7:0, a loop device */
        string("mknod 7:0", strerror(errno));
        return;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        result = strerror(errno);
    else
        close(fd);
    unlink(path);
    string("mknod 7:0", result);
}

/* Paths of /proc and /sys that say too much or do too much: what stands there instead? */
static void print_masked(void)
{
    static const char *const paths[] = {"/proc/acpi",
                                        "/proc/asound",
                                        "/proc/bus",
                                        "/proc/fs",
                                        "/proc/interrupts",
                                        "/proc/irq",
                                        "/proc/kcore",
                                        "/proc/keys",
                                        "/proc/latency_stats",
                                        "/proc/sched_debug",
                                        "/proc/scsi",
                                        "/proc/sys",
                                        "/proc/sysrq-trigger",
                                        "/proc/timer_list",
                                        "/proc/timer_stats",
                                        "/sys/firmware",
                                        "/sys/devices/virtual/powercap",
                                        "/sys/dev/block",
                                        "/sys/fs/selinux"};
    open_object("guarded", '{');
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct stat status;
        char byte;
        char *names[MANY];
        if (stat(paths[i], &status) != 0) {
            string(paths[i], strerror(errno));
        } else if (S_ISDIR(status.st_mode)) {
            bool writable = access(paths[i], W_OK) == 0;
            const char *fill = list_directory(paths[i], names) ? "filled" : "empty";
            string(paths[i], writable         ? fill
                             : fill[0] == 'f' ? "filled, read-only"
                                              : "empty, read-only");
        } else {
            int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
            ssize_t length = fd < 0 ? -1 : read(fd, &byte, 1);
            int writer = open(paths[i], O_WRONLY | O_CLOEXEC);
            string(paths[i], length > 0 ? "readable" : length == 0 ? "empty" : strerror(errno));
            if (writer >= 0)
                close(writer);
            if (fd >= 0)
                close(fd);
        }
    }
    close_object('}');
}

/* Calls that the default filter refuses, each harmless where it is allowed. */
static void print_calls(void)
{
    struct call {
        const char *name;
        long number;
        long first, second, third;
    };
    static const struct call calls[] = {
        {"keyctl", SYS_keyctl, 0, -3, 0},
        {"add_key", SYS_add_key, 0, 0, 0},
        {"bpf", SYS_bpf, 99, 0, 0},
        {"perf_event_open", SYS_perf_event_open, 0, 0, 0},
        {"mount", SYS_mount, 0, 0, 0},
        {"unshare user", SYS_unshare, CLONE_NEWUSER | 0x1, 0, 0},
        {"setns", SYS_setns, -1, 0, 0},
        {"kexec_load", SYS_kexec_load, 0, 99, 0},
        {"init_module", SYS_init_module, 0, 0, 0},
        {"open_by_handle_at", SYS_open_by_handle_at, -1, 0, 0},
        {"ptrace", SYS_ptrace, 9999, 0, 0},
        {"clock_settime", SYS_clock_settime, -99, 0, 0},
        {"swapon", SYS_swapon, 0, 0, 0},
        {"userfaultfd", SYS_userfaultfd, -1, 0, 0},
        {"io_uring_setup", SYS_io_uring_setup, 0, 0, 0},
        {"pivot_root", SYS_pivot_root, 0, 0, 0},
        {"chroot", SYS_chroot, 0, 0, 0},
        {"personality", SYS_personality, 0x1234567, 0, 0},
    };
    open_object("calls", '{');
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        errno = 0;
        long result = syscall(calls[i].number, calls[i].first, calls[i].second, calls[i].third, 0L);
        string(calls[i].name, result >= 0 ? "allowed" : strerror(errno));
    }
    close_object('}');
}

static void print_sysctls(void)
{
    static const char *const paths[] = {
        "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/net/ipv4/ping_group_range",
        "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/shmmax", "/proc/sys/kernel/hostname"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        lines(paths[i], paths[i]);
}

int main(void)
{
    putchar('{');
    print_identity();
    print_privileges();
    print_links("namespaces", "/proc/self/ns");
    print_links("descriptors", "/proc/self/fd");
    lines("mounts", "/proc/self/mountinfo");
    lines("cgroup", "/proc/self/cgroup");
    lines("routes", "/proc/net/route");
    lines("interfaces", "/proc/net/dev");
    lines("hosts", "/etc/hosts");
    lines("resolv.conf", "/etc/resolv.conf");
    lines("memory.max", "/sys/fs/cgroup/memory.max");
    lines("memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes");
    lines("pids.max", "/sys/fs/cgroup/pids.max");
    lines("pids/pids.max", "/sys/fs/cgroup/pids/pids.max");
    print_limits();
    print_environment();
    print_devices();
    print_forbidden_device();
    print_masked();
    print_sysctls();
    print_calls();
    puts("}");
    return 0;
}
