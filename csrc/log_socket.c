/* log_socket.c: how does what a container prints get to the machine's own log?
 *
 * To systemd-journald by its native protocol, or to a syslog by one of its formats, each entry a
 * message.  A receiver that does not read holds the container up for WAIT_SECONDS; from then on,
 * what it has no room for is lost until it reads again.  With a limit on what may wait, that lies
 * in the socket's buffer and the container never waits.  The connection is made anew when it
 * breaks.
 *
 * Source: systemd.io, "Native Journal Protocol"; RFC 3164; RFC 5424.
 */
#define _GNU_SOURCE
#include "log.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD_BYTES = 512, PARTS = 4, REST_BYTES = 20480, WAIT_SECONDS = 5, RETRY_NS = 1000000000 };

static struct {
    const struct log_sink *sink; /* NULL: nothing is to be sent */
    int fd;
    bool is_stalled;       /* the last message found no room */
    uint64_t next_attempt; /* CLOCK_MONOTONIC; to connect, after one that failed */
    size_t rest_length;    /* of a message of which a stream took a part only */
    char rest[REST_BYTES];
} out = {.fd = -1};

static void disconnect(void)
{
    if (out.fd >= 0)
        close(out.fd);
    out.fd = -1;
    out.rest_length = 0;
}

/* Kernel: the time limit of sending holds for connect(2), too (socket(7)). */
static void set_up(int fd)
{
    const struct timeval patience = {.tv_sec = WAIT_SECONDS};
    int size = (int)out.sink->buffer_bytes;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (size && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static bool reconnect(void)
{
    const struct log_sink *sink = out.sink;
    const struct sockaddr *address = (const void *)sink->address;

    if (clock_ns(CLOCK_MONOTONIC) < out.next_attempt)
        return false;
    int type = (sink->is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC;
    int fd = socket(address->sa_family, type, 0);
    if (fd < 0)
        return false;
    set_up(fd);
    if (connect(fd, address, sink->address_size) < 0) {
        close(fd);
        out.next_attempt = clock_ns(CLOCK_MONOTONIC) + RETRY_NS;
        return false;
    }
    out.fd = fd;
    return true;
}

/* False when the connection is broken. */
static bool send_rest(int flags)
{
    ssize_t sent = send(out.fd, out.rest, out.rest_length, flags);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    out.rest_length -= (size_t)sent;
    memmove(out.rest, out.rest + sent, out.rest_length);
    return true;
}

static void keep_rest(const struct iovec *parts, uint16_t count, size_t sent)
{
    for (size_t i = 0; i < count; i++) {
        size_t skipped = sent < parts[i].iov_len ? sent : parts[i].iov_len;
        size_t left = parts[i].iov_len - skipped;
        sent -= skipped;
        if (left > REST_BYTES - out.rest_length)
            left = REST_BYTES - out.rest_length;
        memcpy(out.rest + out.rest_length, (const char *)parts[i].iov_base + skipped, left);
        out.rest_length += left;
    }
}

/* False when the connection is broken: the message may be sent again by another one. */
static bool send_once(struct iovec *parts, uint16_t count)
{
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    bool waits = out.sink->buffer_bytes == 0 && !out.is_stalled;
    int flags = MSG_NOSIGNAL | (waits ? 0 : MSG_DONTWAIT);
    size_t size = 0;

    for (size_t i = 0; i < count; i++)
        size += parts[i].iov_len;
    if (out.rest_length > 0 && !send_rest(flags))
        return false;
    out.is_stalled = out.rest_length > 0;
    if (out.is_stalled)
        return true;
    ssize_t sent = sendmsg(out.fd, &message, flags);
    if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != EMSGSIZE && errno != ENOBUFS)
        return false;
    out.is_stalled = sent < 0 || (size_t)sent < size;
    if (sent > 0 && out.is_stalled)
        keep_rest(parts, count, (size_t)sent);
    return true;
}

static void send_parts(struct iovec *parts, uint16_t count)
{
    if (out.fd < 0 && !reconnect())
        return;
    if (send_once(parts, count))
        return;
    disconnect();
    if (reconnect() && !send_once(parts, count))
        disconnect();
}

/* Each field is a line "NAME=value", or the name alone, the value's size in eight bytes and the
 * value: the message may hold line ends. */
static void send_to_journal(const struct log_entry *entry)
{
    const struct log_sink *sink = out.sink;
    char head[64], tail[64];
    int head_size = snprintf(head, sizeof head, "PRIORITY=%d\nMESSAGE\n", entry->stream ? 3 : 6);
    uint64_t size = htole64(entry->length);
    memcpy(head + head_size, &size, sizeof size);
    int tail_size = snprintf(tail, sizeof tail, "\n%s",
                             entry->is_whole ? "" : "CONTAINER_PARTIAL_MESSAGE=true\n");
    struct iovec parts[PARTS] = {
        {(char *)(uintptr_t)sink->text, sink->text_size},
        {head, (size_t)head_size + sizeof size},
        {(char *)(uintptr_t)entry->text, entry->length},
        {tail, (size_t)tail_size},
    };
    send_parts(parts, PARTS);
}

/* The time as a format has it; the second half of RFC 3339's is the distance to UTC. */
static void put_stamp(char *stamp, size_t size)
{
    struct timespec now;
    struct tm parts = {0};
    char zone[8] = "Z", fraction[24] = "", date[40];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    if (out.sink->format == SYSLOG_UNIX || out.sink->format == SYSLOG_RFC3164) {
        strftime(stamp, size, "%b %e %H:%M:%S", &parts);
        return;
    }
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    if (parts.tm_gmtoff && strftime(zone, sizeof zone, "%z", &parts) == 5) {
        memmove(zone + 4, zone + 3, 3);
        zone[3] = ':';
    }
    if (out.sink->format == SYSLOG_RFC5424_MICRO)
        snprintf(fraction, sizeof fraction, ".%06ld", now.tv_nsec / 1000);
    snprintf(stamp, size, "%s%s%s", date, fraction, zone);
}

static int put_head(char *head, size_t size, int priority)
{
    const struct log_sink *sink = out.sink;
    char stamp[96];
    put_stamp(stamp, sizeof stamp);
    switch ((enum syslog_format)sink->format) {
    case SYSLOG_UNIX:
        return snprintf(head, size, "<%d>%s %s[%d]: ", priority, stamp, sink->text, getpid());
    case SYSLOG_RFC3164:
        return snprintf(head, size, "<%d>%s %s %s[%d]: ", priority, stamp, sink->hostname,
                        sink->text, getpid());
    case SYSLOG_RFC5424:
    case SYSLOG_RFC5424_MICRO:
        break;
    }
    return snprintf(head, size, "<%d>1 %s %s %s %d %s - ", priority, stamp, sink->hostname,
                    sink->text, getpid(), sink->text);
}

static void send_to_syslog(const struct log_entry *entry)
{
    char head[HEAD_BYTES];
    int priority = (int)out.sink->facility << 3 | (entry->stream ? 3 : 6);
    int size = put_head(head, sizeof head, priority);
    struct iovec parts[] = {
        {head, size < HEAD_BYTES ? (size_t)size : HEAD_BYTES - 1},
        {(char *)(uintptr_t)entry->text, entry->length},
        {"\n", 1},
    };
    if (entry->length > 0)
        send_parts(parts, 3);
}

void open_log_socket(const struct plan *plan)
{
    if (plan->log_sink == 0)
        return;
    out.sink = (const void *)((const char *)plan + plan->log_sink);
    reconnect();
}

void send_entry(const struct log_entry *entry)
{
    if (!out.sink)
        return;
    if (out.sink->kind == LOG_SINK_JOURNAL)
        send_to_journal(entry);
    else
        send_to_syslog(entry);
}
