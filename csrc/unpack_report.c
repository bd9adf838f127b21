/* unpack_report.c: what the caller has to know, and to do.
 *
 * Packets, by their first byte:
 *   E <failure> <errno> <offset> <entry>     refused; nothing follows
 *   A <as E>                                 refused, unless the layers below change what it means
 *   D <path>                                 an implied directory: owner and mode are not known
 *                                            here
 *   V <path>                                 the same, with nothing of this layer in it
 *   P <path>                                 it was one when something was put into it
 *   H <link>\0<target>                       a hard link to a name that is not in this archive
 *   O with a descriptor                      an opaque directory (the mark needs CAP_SYS_ADMIN)
 *   F <entries> <bytes> <root explicit> <root opaque> <xattrs skipped> <ended> <ignored>
 */
#define _GNU_SOURCE
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PACKET_SIZE = 2 * NAME_LIMIT + 2, PATH_LIMIT = NAME_LIMIT - 1 };

void send_packet(const void *bytes, size_t size)
{
    while (send(REPORT, bytes, size, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

static void send_directory(struct unpacker *unpacker, struct directory *directory)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    char type = 'O';
    struct iovec content = {&type, 1};
    struct msghdr message = {
        .msg_iov = &content,
        .msg_iovlen = 1,
        .msg_control = control.space,
        .msg_controllen = sizeof control.space,
    };
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(directory_fd(unpacker, directory), ".", flags);
    if (fd < 0)
        fail(unpacker, FAIL_SYSTEM, errno);
    memset(&control, 0, sizeof control);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    while (sendmsg(REPORT, &message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            fail(unpacker, FAIL_SYSTEM, errno);
    close(fd);
}

static void report_path(struct unpacker *unpacker, struct directory *directory, char kind)
{
    static char packet[PATH_LIMIT + 1];
    char *end = packet + sizeof packet;
    char *at = directory_path(unpacker, directory, packet + 1, end);
    *--at = kind;
    send_packet(at, (size_t)(end - at));
}

static void report_link(struct unpacker *unpacker, struct pending_link *link)
{
    static char packet[PACKET_SIZE];
    size_t name = strlen(link->name), target = strlen(link->target);
    char *end = packet + sizeof packet;
    char *at = end - target;
    memcpy(at, link->target, target);
    *--at = '\0';
    at -= name;
    memcpy(at, link->name, name);
    if (link->parent->parent != NULL)
        *--at = '/';
    at = directory_path(unpacker, link->parent, packet + 1, at);
    *--at = 'H';
    send_packet(at, (size_t)(end - at));
}

/* Hidden from the layers below by an opaque directory above it? */
static bool is_covered(const struct directory *directory)
{
    return directory->parent != NULL && is_hidden(directory->parent);
}

/* Times last: everything that is made in a directory changes them. */
static void set_time(struct unpacker *unpacker, struct directory *directory)
{
    struct timespec time = {directory->mtime.seconds, directory->mtime.nanoseconds};
    struct timespec times[2] = {time, time};
    int fd = directory_fd(unpacker, directory);
    if (utimensat(fd, ".", times, AT_SYMLINK_NOFOLLOW) < 0)
        fail(unpacker, FAIL_SYSTEM, errno);
}

static void report_directory(struct unpacker *unpacker, struct directory *directory)
{
    set_time(unpacker, directory);
    if (directory->parent != NULL && (directory->flags & OPAQUE))
        send_directory(unpacker, directory);
    if ((directory->flags & IMPLIED) && !is_covered(directory))
        report_path(unpacker, directory, directory->flags & OWN ? 'D' : 'V');
    else if (directory->flags & PASSED)
        report_path(unpacker, directory, 'P');
}

/* What came only to be hidden, or to be looked through, goes with what is below it. */
static void drop_directories(struct unpacker *unpacker)
{
    for (struct directory *one = unpacker->root; one != NULL; one = one->after) {
        if (one->parent != NULL && (one->parent->flags & GONE))
            one->flags |= GONE;
        if (!(one->flags & (GONE | OWN)) && is_covered(one))
            clear_name(unpacker, one->parent, (struct text){one->name, one->length});
    }
}

void finish(struct unpacker *unpacker)
{
    char packet[256];
    unpacker->entry.name = (struct text){0};
    drop_directories(unpacker);
    drop_hidden(unpacker);
    for (struct directory *one = unpacker->root; one != NULL; one = one->after) {
        if (!(one->flags & GONE))
            report_directory(unpacker, one);
        else if (one->flags & PASSED)
            report_path(unpacker, one, 'P');
    }
    for (struct pending_link *link = unpacker->links; link != NULL; link = link->next)
        report_link(unpacker, link);
    int size = snprintf(packet, sizeof packet, "F%llu %llu %d %d %llu %d %llu",
                        (unsigned long long)unpacker->entry_count,
                        (unsigned long long)unpacker->content_bytes, unpacker->root_explicit,
                        (unpacker->root->flags & OPAQUE) != 0,
                        (unsigned long long)unpacker->xattrs_skipped, unpacker->ended,
                        (unsigned long long)unpacker->ignored_count);
    send_packet(packet, (size_t)size);
}
