/* hello.c: what does a container's first process see?
 *
 * The only program of the embedded image `hello`.  It greets, and prints what a beginner wants to
 * know about the place it runs in: namespaces, limits, privileges and address.  Static, so that the
 * image needs nothing else.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { LINE = 256 };

/* First line of a file without its newline; false if there is none. */
static bool read_line(const char *path, char *line)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool found = fgets(line, LINE, file) != NULL;
    fclose(file);
    line[found ? strcspn(line, "\n") : 0] = '\0';
    return found;
}

/* The value behind "NAME:" in /proc/self/status. */
static bool read_status(const char *name, char *value)
{
    char line[LINE];
    bool found = false;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        size_t length = strlen(name);
        if (strncmp(line, name, length) == 0 && line[length] == ':') {
            line[strcspn(line, "\n")] = '\0';
            snprintf(value, LINE, "%s", line + length + 1 + strspn(line + length + 1, "\t "));
            found = true;
        }
    }
    if (file)
        fclose(file);
    return found;
}

static void print_namespaces(void)
{
    static const char *const names[] = {"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"};
    printf("  namespaces  ");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[LINE];
        char target[LINE];
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        const char *inode = strchr(target, '[');
        printf(" %s %.*s", names[i], inode ? (int)strcspn(inode + 1, "]") : 1,
               inode ? inode + 1 : "?");
    }
    putchar('\n');
}

/* A limit lies in one file on cgroup v2 and in another on v1; huge numbers mean none. */
static bool read_limit(const char *v2, const char *v1, char *value)
{
    if (!read_line(v2, value) && !read_line(v1, value))
        return false;
    if (strncmp(value, "max", 3) == 0 || value[0] == '-' || strlen(value) > 18)
        snprintf(value, LINE, "unlimited");
    return true;
}

static void print_limits(void)
{
    char value[LINE];
    printf("  limits       memory ");
    if (!read_limit("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                    value))
        snprintf(value, sizeof value, "unknown");
    if (value[0] >= '0' && value[0] <= '9')
        printf("%llu MiB", strtoull(value, NULL, 10) >> 20);
    else
        printf("%s", value);
    if (read_limit("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max", value))
        printf(", processes %s", value);
    if (read_limit("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", value))
        printf(", processor time %s%s", value, value[0] == 'u' ? "" : " us a period");
    putchar('\n');
}

static void print_privileges(void)
{
    char value[LINE];
    printf("  user         %u:%u", (unsigned)getuid(), (unsigned)getgid());
    if (read_status("CapEff", value))
        printf(", %d capabilities", __builtin_popcountll(strtoull(value, NULL, 16)));
    if (read_status("Seccomp", value))
        printf(", %s", value[0] == '2' ? "seccomp filter" : "no seccomp filter");
    putchar('\n');
}

static void print_addresses(void)
{
    struct ifaddrs *list = NULL;
    int shown = 0;
    printf("  address     ");
    if (getifaddrs(&list) == 0) {
        for (const struct ifaddrs *one = list; one; one = one->ifa_next) {
            char text[INET_ADDRSTRLEN];
            if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET ||
                one->ifa_flags & IFF_LOOPBACK)
                continue;
            struct sockaddr_in address;
            memcpy(&address, one->ifa_addr, sizeof address);
            inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
            printf(" %s on %s", text, one->ifa_name);
            shown++;
        }
        freeifaddrs(list);
    }
    puts(shown ? "" : " only the loopback");
}

int main(void)
{
    struct utsname host = {0};
    uname(&host);
    puts("Hello from pyrunc!\n");
    puts("You typed `pyrunc run`, and this is the first process of a container.  It sees:");
    printf("  process      %d, on host '%s', kernel %s\n", (int)getpid(), host.nodename,
           host.release);
    print_namespaces();
    print_privileges();
    print_limits();
    print_addresses();
    puts("\nHow it came to be, one kernel step a line:   pyrunc run --rm --trace hello");
    puts("The same plan, with reasons, nothing run:    pyrunc explain hello");
    return 0;
}
