/* calls.c: which calls that kernel exploits begin with does the container's filter let through?
 *
 * Prints "name: errno" a line, 0 for a call that went through.  Each is tried by the machine's own
 * entry and, on x86-64, by the 32-bit and the x32 entry, which a filter may forget.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void report(const char *name, long result)
{
    printf("%s: %d\n", name, result < 0 ? (int)-result : 0);
    fflush(stdout);
}

static long call(long number, long a, long b, long c, long d, long e)
{
    long result = syscall(number, a, b, c, d, e);
    return result < 0 ? -errno : result;
}

#ifdef __x86_64__
static long call_i386(int number, int a, int b, int c)
{
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}

/* In a child: a kernel without 32-bit calls kills who tries. */
static void report_i386(const char *name, int number, int a, int b, int c)
{
    pid_t child = fork();
    if (child == 0) {
        report(name, call_i386(number, a, b, c));
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        report(name, -EPERM);
}
#endif

int main(void)
{
    enum { NEWUSER = 0x10000000, NEWCGROUP = 0x02000000, NEWNS = 0x00020000, SIGCHLD_NUMBER = 17 };
    char image[] = "release_agent";

    report("unshare NEWUSER", call(SYS_unshare, NEWUSER, 0, 0, 0, 0));
    report("unshare NEWCGROUP", call(SYS_unshare, NEWCGROUP, 0, 0, 0, 0));
    report("unshare NEWNS", call(SYS_unshare, NEWNS, 0, 0, 0, 0));
#ifdef SYS_clone
    long child = call(SYS_clone, NEWUSER | SIGCHLD_NUMBER, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    report("clone NEWUSER", child);
#endif
    struct clone_args arguments = {.flags = NEWUSER, .exit_signal = SIGCHLD_NUMBER};
    child = call(SYS_clone3, (long)&arguments, sizeof arguments, 0, 0, 0);
    if (child == 0)
        _exit(0);
    report("clone3 NEWUSER", child);
    report("mount cgroup", call(SYS_mount, (long)image, (long)"/tmp", (long)"cgroup", 0, 0));
    report("fsopen", call(SYS_fsopen, (long)"tmpfs", 0, 0, 0, 0));
    report("socket AF_ALG", call(SYS_socket, 38, 5, 0, 0, 0));
    report("socket AF_VSOCK", call(SYS_socket, 40, 1, 0, 0, 0));
    report("socket AF_PACKET", call(SYS_socket, 17, 3, 0, 0, 0));
    report("socket raw", call(SYS_socket, 2, 3, 1, 0, 0));
    report("io_uring_setup", call(SYS_io_uring_setup, 1, (long)image, 0, 0, 0));
    report("userfaultfd", call(SYS_userfaultfd, 0, 0, 0, 0, 0));
    report("bpf", call(SYS_bpf, 5, (long)image, 0, 0, 0));
    report("perf_event_open", call(SYS_perf_event_open, (long)image, 0, -1, -1, 0));
    report("open_by_handle_at", call(SYS_open_by_handle_at, -100, (long)image, 0, 0, 0));
    report("add_key", call(SYS_add_key, (long)"user", (long)"x", (long)"x", 1, -3));
    report("keyctl", call(SYS_keyctl, 0, -3, 0, 0, 0));
    report("request_key", call(SYS_request_key, (long)"user", (long)"x", 0, -3, 0));
    report("init_module", call(SYS_init_module, (long)image, 0, (long)"", 0, 0));
    report("kexec_load", call(SYS_kexec_load, 0, 0, 0, 0, 0));
    report("setns", call(SYS_setns, 0, 0, 0, 0, 0));
    report("quotactl", call(SYS_quotactl, 0, 0, 0, 0, 0));
    report("syslog", call(SYS_syslog, 3, (long)image, 4, 0, 0));
#ifdef __x86_64__
    enum { I386_UNSHARE = 310, I386_SOCKETCALL = 102, I386_SOCKET = 359, I386_MOUNT = 21 };
    int *low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low != MAP_FAILED) {
        memcpy(low, (int[]){38, 5, 0}, 3 * sizeof *low);
        report_i386("i386 socketcall AF_ALG", I386_SOCKETCALL, 1, (int)(long)low, 0);
    }
    report_i386("i386 socket AF_ALG", I386_SOCKET, 38, 5, 0);
    report_i386("i386 unshare NEWUSER", I386_UNSHARE, NEWUSER, 0, 0);
    report_i386("i386 clone NEWUSER", 120, NEWUSER | SIGCHLD_NUMBER, 0, 0);
    report_i386("i386 mount", I386_MOUNT, 0, 0, 0);
    report("x32 unshare NEWUSER", call(0x40000000 | SYS_unshare, NEWUSER, 0, 0, 0, 0));
    report("x32 socket AF_ALG", call(0x40000000 | SYS_socket, 38, 5, 0, 0, 0));
#endif
    report("unknown call", call(999, 0, 0, 0, 0, 0));
    return 0;
}
