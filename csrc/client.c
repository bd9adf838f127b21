/* client.c: what does the launcher tell whoever started it? */
#define _GNU_SOURCE
#include "parent.h"

#include <string.h>
#include <sys/socket.h>

/* The client is gone: nobody hears of the container until it has ended. */
void client_lost(struct launch *launch)
{
    if (launch->client_fd >= 0)
        close(launch->client_fd);
    launch->client_fd = -1;
}

/* Packets of the launch wait for the client: it reads nothing else at this time. */
static void send_and_wait(struct launch *launch, const struct msghdr *message)
{
    if (launch->client_fd >= 0 && sendmsg(launch->client_fd, message, MSG_NOSIGNAL) < 0)
        client_lost(launch);
}

static void send_packet(struct launch *launch, void *packet, size_t size)
{
    struct iovec body = {.iov_base = packet, .iov_len = size};
    struct msghdr message = {.msg_iov = &body, .msg_iovlen = 1};
    send_and_wait(launch, &message);
}

void send_step(struct launch *launch, uint32_t index)
{
    struct step_packet packet = {
        .type = PACKET_STEP,
        .record = launch->progress->records[index],
    };
    send_packet(launch, &packet, sizeof packet);
}

/* Send the records that are complete, in the plan's order, up to one that ends the launch: that is
 * for the end. */
void send_trace(struct launch *launch)
{
    const struct plan *plan = launch->plan;
    for (; launch->traced < plan->step_count; launch->traced++) {
        const struct step_record *record = &launch->progress->records[launch->traced];
        if (__atomic_load_n(&record->end_ns, __ATOMIC_ACQUIRE) == 0)
            return;
        if (record->error != 0 && !(plan->steps[launch->traced].flags & STEP_FLAG_OPTIONAL))
            return;
        send_step(launch, launch->traced);
    }
}

static int send_with_descriptor(int socket_fd, void *packet, size_t size, int fd)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec body = {.iov_base = packet, .iov_len = size};
    struct msghdr message = {
        .msg_iov = &body,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* With a pidfd: signals from the client can neither reach another process nor queue behind input.
 */
int send_started_to(const struct launch *launch, int socket_fd)
{
    struct started_packet packet = {
        .type = launch->is_held ? PACKET_HELD : PACKET_STARTED,
        .pid = launch->pid,
        .start_time = launch->start_time,
        .started_ns = launch->started_ns,
    };
    return send_with_descriptor(socket_fd, &packet, sizeof packet, launch->pidfd);
}

void send_started(struct launch *launch)
{
    launch->start_time = process_start_time(launch->pid);
    if (launch->client_fd >= 0 && send_started_to(launch, launch->client_fd) < 0)
        client_lost(launch);
}

/* The child's filter asks somebody: the client finds out whom. */
void send_listener(struct launch *launch, int fd)
{
    struct listener_packet packet = {.type = PACKET_LISTENER, .pid = launch->pid};
    if (launch->client_fd >= 0 &&
        send_with_descriptor(launch->client_fd, &packet, sizeof packet, fd) < 0)
        client_lost(launch);
    close(fd);
}

/* Nothing for a step that failed before its hook did. */
void send_hook_report(struct launch *launch)
{
    if (launch->progress->hook.type == PACKET_HOOK_FAILED)
        send_packet(launch, &launch->progress->hook, sizeof launch->progress->hook);
}

/* Have the client do its part, and wait until it says so; one that is gone, or was refused, is the
 * end of the launch. */
static int ask_client(struct launch *launch, void *packet, size_t size)
{
    char answer = 0;
    send_packet(launch, packet, size);
    if (launch->client_fd < 0 || recv(launch->client_fd, &answer, 1, 0) != 1 || answer != PACKET_GO)
        return -ECANCELED;
    return 0;
}

/* Once the child has made all but its new root: have the client run the hooks that belong into the
 * caller's namespaces, and let the child go on when it says so.
 *
 * Not here: this process may have joined some of the container's, and its children do. */
int call_hooks(struct launch *launch, const struct step *step)
{
    struct hooks_packet packet = {
        .type = PACKET_HOOKS,
        .pid = launch->pid,
        .start_time = process_start_time(launch->pid),
    };
    char byte = 0;
    (void)step;
    if (read(launch->sync_fd, &byte, 1) != 1)
        return -ECHILD;
    int result = ask_client(launch, &packet, sizeof packet);
    if (result < 0)
        return result;
    byte = PACKET_GO;
    if (write(launch->sync_fd, &byte, 1) == 1 || errno == EPIPE || errno == ECONNRESET)
        return 0;
    return -errno;
}

/* Have the client ask systemd for the container's unit: it speaks D-Bus, and this program does not.
 * The child waits meanwhile. */
int start_scope(struct launch *launch, const struct step *step)
{
    struct scope_packet packet = {.type = PACKET_SCOPE, .pid = launch->pid};
    (void)step;
    return ask_client(launch, &packet, sizeof packet);
}
