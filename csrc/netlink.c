/* netlink.c: how are ready-made rtnetlink messages sent, and their answers read?
 *
 * The messages are templates that Python patched; each asks for an acknowledgement, or for one
 * link.  For both worlds: nothing here but system calls.
 */
#define _GNU_SOURCE
#include "child.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

enum { ANSWER_BYTES = 4096 };

int netlink_open(void)
{
    return sys_result(syscall(SYS_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
}

static uint32_t count_acknowledged(const void *messages, uint32_t size)
{
    const struct nlmsghdr *header = messages;
    uint32_t count = 0, left = size;
    while (left >= sizeof *header && header->nlmsg_len >= sizeof *header &&
           header->nlmsg_len <= left) {
        count += (header->nlmsg_flags & NLM_F_ACK) != 0;
        uint32_t aligned = NLMSG_ALIGN(header->nlmsg_len);
        if (aligned >= left)
            break;
        left -= aligned;
        header = (const void *)((const char *)header + aligned);
    }
    return count;
}

/* Send and wait until each message is acknowledged; the first error ends it. */
int netlink_transact(int fd, const void *messages, uint32_t size)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
    const struct nlmsghdr *header = (const void *)answer;
    uint32_t wanted = count_acknowledged(messages, size);

    long sent = syscall(SYS_sendto, fd, messages, (size_t)size, 0, NULL, 0);
    if (sent < 0)
        return -errno;
    while (wanted > 0) {
        long length = syscall(SYS_recvfrom, fd, answer, sizeof answer, 0, NULL, NULL);
        if (length < 0)
            return -errno;
        if ((size_t)length < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
            return -EBADMSG;
        if (header->nlmsg_type != NLMSG_ERROR)
            continue;
        const struct nlmsgerr *error = NLMSG_DATA(header);
        if (error->error != 0)
            return error->error;
        wanted--;
    }
    return 0;
}

/* Return the state of a link as the answer tells it, 0 (IF_OPER_UNKNOWN) if it does not. */
static int find_state(const struct nlmsghdr *header, size_t length)
{
    size_t offset = NLMSG_SPACE(sizeof(struct ifinfomsg));
    while (offset + sizeof(struct rtattr) < length) {
        const struct rtattr *attribute = (const void *)((const char *)header + offset);
        if (attribute->rta_type == IFLA_OPERSTATE)
            return *(const uint8_t *)(attribute + 1);
        if (attribute->rta_len < sizeof *attribute)
            break;
        offset += RTA_ALIGN(attribute->rta_len);
    }
    return 0;
}

/* Ask for one link and return its state, IF_OPER_*, or -errno. */
int netlink_link_state(int fd, const void *message, uint32_t size)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER_BYTES];
    const struct nlmsghdr *header = (const void *)answer;

    if (syscall(SYS_sendto, fd, message, (size_t)size, 0, NULL, 0) < 0)
        return -errno;
    long length = syscall(SYS_recvfrom, fd, answer, sizeof answer, 0, NULL, NULL);
    if (length < 0)
        return -errno;
    if ((size_t)length < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        return -EBADMSG;
    if (header->nlmsg_type == NLMSG_ERROR)
        return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
    return find_state(header, (size_t)length);
}
