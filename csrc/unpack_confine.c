/* unpack_confine.c: nothing of the host is in reach once the first byte is read (R2). */
#define _GNU_SOURCE
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    CAPABILITY_VERSION_3 = 0x20080522,
    LAST_POSSIBLE_CAPABILITY = 63,
    CLONE_TREE = 1,         /* OPEN_TREE_CLONE */
    FROM_EMPTY_PATH = 4,    /* MOVE_MOUNT_F_EMPTY_PATH */
    ATTRIBUTES = 2 | 4 | 8, /* MOUNT_ATTR_NOSUID, NODEV, NOEXEC */
    MEMORY_LIMIT = 1 << 29,
};

/* CHOWN DAC_OVERRIDE FOWNER FSETID MKNOD SETFCAP */
static const uint64_t KEPT = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 27 | 1ull << 31;

struct capability_header {
    uint32_t version;
    int pid;
};

struct capability_set {
    uint32_t effective, permitted, inheritable;
};

struct mount_attributes {
    uint64_t set, clear, propagation, userns_fd;
};

static void check(struct unpacker *unpacker, long result)
{
    if (result < 0)
        fail(unpacker, FAIL_CONFINE, errno);
}

/* Make the holder directory the only mount of a mount namespace of our own. */
static void enter_holder(struct unpacker *unpacker)
{
    /* Kernel: a copy of a shared mount, as systemd makes all, is shared; pivot_root refuses it. */
    struct mount_attributes attributes = {.set = ATTRIBUTES, .propagation = MS_PRIVATE};
    /* Kernel: the copy is made before unshare, a mount can be copied only where it is mounted. */
    long tree = syscall(SYS_open_tree, HOLDER, "", CLONE_TREE | AT_EMPTY_PATH | O_CLOEXEC);
    check(unpacker, tree);
    check(unpacker,
          syscall(SYS_mount_setattr, (int)tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes));
    check(unpacker, unshare(CLONE_NEWNS));
    check(unpacker, mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    check(unpacker, syscall(SYS_move_mount, (int)tree, "", AT_FDCWD, "/", FROM_EMPTY_PATH));
    check(unpacker, fchdir((int)tree));
    check(unpacker, syscall(SYS_pivot_root, ".", "."));
    check(unpacker, umount2(".", MNT_DETACH));
    check(unpacker, chdir("/"));
    /* The inherited descriptor belongs to the host's mount. */
    check(unpacker, dup3((int)tree, HOLDER, O_CLOEXEC));
    check(unpacker, close((int)tree));
}

static void drop_capabilities(struct unpacker *unpacker)
{
    struct capability_header header = {.version = CAPABILITY_VERSION_3};
    struct capability_set sets[2] = {
        {.effective = (uint32_t)KEPT, .permitted = (uint32_t)KEPT},
    };
    for (int capability = 0; capability <= LAST_POSSIBLE_CAPABILITY; capability++)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    check(unpacker, syscall(SYS_capset, &header, sets));
}

static void limit(struct unpacker *unpacker)
{
    struct rlimit memory = {MEMORY_LIMIT, MEMORY_LIMIT};
    struct rlimit file = {unpacker->limits.bytes, unpacker->limits.bytes};
    struct rlimit core = {0, 0};
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes, and uses little of them */
    check(unpacker, setrlimit(RLIMIT_AS, &memory));
#else
    (void)memory;
#endif
    check(unpacker, setrlimit(RLIMIT_FSIZE, &file));
    check(unpacker, setrlimit(RLIMIT_CORE, &core));
    signal(SIGXFSZ, SIG_IGN); /* EFBIG instead */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* the terminal means the command, which closes the pipe */
}

void confine(struct unpacker *unpacker)
{
    check(unpacker, syscall(SYS_close_range, FIRST_CLOSED, ~0U, 0));
    prctl(PR_SET_NAME, "pyrunc:unpack", 0, 0, 0);
    check(unpacker, prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    enter_holder(unpacker);
    drop_capabilities(unpacker);
    check(unpacker, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    limit(unpacker);
}
