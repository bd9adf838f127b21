/* clients.c: who is attached, and what does the monitor owe each of them?
 *
 * The first place is for whoever started the container and stayed; the others come and go by the
 * socket in the run directory.  Output goes to all: a stream is read on when everybody has what was
 * read of it before, so that one buffer serves them all.  A client that takes nothing for as long
 * as the plan has patience is not waited for any longer: what it misses is counted, and told when
 * it reads again.  Only the one that started the container is waited for as long as it is alone, as
 * in any pipeline.
 */
#define _GNU_SOURCE
#include "parent.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { STARTER = 0 };

struct client {
    int fd;           /* -1 for a free place */
    uint8_t owed;     /* OWED_* */
    bool is_lagging;  /* it is not waited for */
    bool has_input;   /* a packet of it waits until the input's buffer is empty */
    int64_t stuck_ms; /* since when it takes nothing, -1 if it does */
    uint64_t missed;  /* bytes of output, while it lags */
};

static struct {
    struct launch *launch;
    struct exit_packet end;
    struct client all[CLIENTS];
} clients;

/* The socket to attach by.  Kernel: its address holds 107 bytes, and the run directory's path may
 * be longer: by way of its descriptor.  Without it the container runs, and nobody can attach. */
void open_attach_socket(struct launch *launch)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (launch->attach_fd >= 0 || launch->plan->run_dir == 0 || launch->plan->mode != MODE_MONITOR)
        return;
    int directory_fd =
        open(plan_string(launch->plan, launch->plan->run_dir), O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/attach", directory_fd);
    int result = bind(fd, (struct sockaddr *)&address, sizeof address);
    if (result < 0 && errno == EADDRINUSE && unlink(address.sun_path) == 0)
        result = bind(fd, (struct sockaddr *)&address, sizeof address);
    bool is_open = result == 0 && listen(fd, CLIENTS) == 0;
    if (directory_fd >= 0)
        close(directory_fd);
    if (!is_open && fd >= 0)
        close(fd);
    launch->attach_fd = is_open ? fd : -1;
}

void start_clients(struct launch *launch)
{
    clients.launch = launch;
    for (int i = 0; i < CLIENTS; i++)
        clients.all[i] = (struct client){.fd = -1, .stuck_ms = -1};
    clients.all[STARTER].fd = launch->client_fd;
    launch->client_fd = -1;
}

static bool has_others(int index)
{
    for (int i = 0; i < CLIENTS; i++)
        if (i != index && clients.all[i].fd >= 0)
            return true;
    return false;
}

bool has_clients(void)
{
    return has_others(-1);
}

/* Whoever started the container is there and sees to what is left of it at the end. */
bool has_starter(void)
{
    return clients.all[STARTER].fd >= 0;
}

static void drop(int index)
{
    struct client *client = &clients.all[index];
    if (client->fd < 0)
        return;
    close(client->fd);
    *client = (struct client){.fd = -1, .stuck_ms = -1};
    copy_client_gone(index, index == STARTER);
}

/* Send one packet; false if the client does not take it now, or is gone. */
static bool send_to(int index, const void *packet, size_t size)
{
    struct client *client = &clients.all[index];
    if (send(client->fd, packet, size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) {
        client->stuck_ms = -1;
        return true;
    }
    if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
        drop(index);
    else if (client->stuck_ms < 0)
        client->stuck_ms = now_ms();
    return false;
}

static bool tell_missed(int index)
{
    struct missed_packet packet = {.type = PACKET_MISSED, .bytes = clients.all[index].missed};
    if (!send_to(index, &packet, sizeof packet))
        return false;
    clients.all[index].is_lagging = false;
    clients.all[index].missed = 0;
    return true;
}

/* Pay what is owed, as much as the client takes. */
static void pay(int index)
{
    static const char room = PACKET_ROOM;
    struct client *client = &clients.all[index];
    if (client->is_lagging && !tell_missed(index))
        return;
    for (int i = 0; i < 2; i++)
        if (client->owed & (OWED_STDOUT << i)) {
            size_t length;
            const char *packet = output_packet(i, &length);
            if (!send_to(index, packet, length))
                return;
            client->owed &= (uint8_t)~(OWED_STDOUT << i);
        }
    if (client->owed & OWED_ROOM && send_to(index, &room, sizeof room))
        client->owed &= (uint8_t)~OWED_ROOM;
    if (client->owed == OWED_END && send_to(index, &clients.end, sizeof clients.end))
        client->owed = 0;
}

/* A packet of output is there for everybody. */
void owe_output(int stream)
{
    size_t length;
    output_packet(stream, &length);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &clients.all[i];
        if (client->fd < 0)
            continue;
        if (client->is_lagging) {
            client->missed += length - 1;
        } else {
            client->owed |= (uint8_t)(OWED_STDOUT << stream);
            pay(i);
        }
    }
}

/* A client's packet of input is gone, and another may come; nobody's for -1. */
void owe_room(int index)
{
    for (int i = 0; i < CLIENTS; i++)
        clients.all[i].has_input = false;
    if (index < 0 || clients.all[index].fd < 0)
        return;
    clients.all[index].owed |= OWED_ROOM;
    pay(index);
}

/* The end is for everybody; a client that has it is done. */
void owe_end(const struct exit_packet *packet)
{
    clients.end = *packet;
    for (int i = 0; i < CLIENTS; i++)
        if (clients.all[i].fd >= 0) {
            clients.all[i].owed |= OWED_END;
            pay(i);
        }
}

/* Is anybody waited for who has not got all of this? */
bool is_owed(unsigned what)
{
    for (int i = 0; i < CLIENTS; i++)
        if (clients.all[i].fd >= 0 && clients.all[i].owed & what)
            return true;
    return false;
}

/* When this client's patience ends; -1 for one that takes what it gets, or that started the
 * container and is alone, or waits for nothing but the end. */
static int64_t given_up_ms(int index)
{
    const struct client *client = &clients.all[index];
    if (client->fd < 0 || client->stuck_ms < 0 || client->owed == 0)
        return -1;
    if (index == STARTER && (client->is_lagging || !has_others(STARTER)))
        return -1;
    return client->stuck_ms + clients.launch->plan->patience_ms;
}

int64_t clients_next_ms(void)
{
    int64_t next = -1;
    for (int i = 0; i < CLIENTS; i++)
        next = earlier(next, given_up_ms(i));
    return next;
}

/* Wait for this one no longer.  One that was owed the end by then finds it in exit.json. */
static void give_up(int index)
{
    struct client *client = &clients.all[index];
    if (client->owed & OWED_END && index != STARTER) {
        drop(index);
        return;
    }
    for (int i = 0; i < 2; i++)
        if (client->owed & (OWED_STDOUT << i)) {
            size_t length;
            output_packet(i, &length);
            client->missed += length - 1;
        }
    client->owed &= OWED_ROOM | OWED_END;
    client->is_lagging = true;
}

static bool is_ours(int fd)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

/* Somebody attaches, and hears first whom to send signals to.  Security: nobody else comes into the
 * run directory; should it be opened to others by mistake, this is not. */
static void admit(void)
{
    static const char full = PACKET_FULL;
    int fd = accept4(clients.launch->attach_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int index = STARTER + 1;
    if (fd < 0)
        return;
    while (index < CLIENTS && clients.all[index].fd >= 0)
        index++;
    if (index == CLIENTS)
        send(fd, &full, sizeof full, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (index == CLIENTS || !is_ours(fd)) {
        close(fd);
        return;
    }
    clients.all[index] = (struct client){.fd = fd, .stuck_ms = -1};
    send_started_to(clients.launch, fd);
    if (clients.end.type == PACKET_EXIT)
        clients.all[index].owed = OWED_END;
    if (clients.all[STARTER].stuck_ms >= 0)
        clients.all[STARTER].stuck_ms = now_ms();
}

void clients_watch(struct pollfd watched[WATCHES])
{
    watched[AT_ATTACH].fd = clients.launch->attach_fd;
    for (int i = 0; i < CLIENTS; i++) {
        const struct client *client = &clients.all[i];
        bool waits = client->owed != 0 || client->is_lagging;
        short events = (short)((waits ? POLLOUT : 0) | (client->has_input ? 0 : POLLIN));
        watched[AT_CLIENT + i] = (struct pollfd){.fd = events ? client->fd : -1, .events = events};
    }
}

/* Take one packet: into the input's buffer while that is empty; what else a client has to say is
 * short, and goes past input that nobody has room for, unless it comes behind it. */
static void read_client(int index)
{
    char control[sizeof(struct signal_packet)], *packet = control;
    size_t size = sizeof control;
    struct client *client = &clients.all[index];
    if (input_buffer()) {
        packet = input_buffer();
        size = PACKET_BYTES;
    } else if (recv(client->fd, control, 1, MSG_DONTWAIT | MSG_PEEK) == 1 &&
               control[0] == PACKET_STDIN) {
        client->has_input = true;
        return;
    }
    ssize_t length = recv(client->fd, packet, size, MSG_DONTWAIT);
    if (length > 0)
        handle_packet(index, packet, (size_t)length);
    else if (length == 0 || (errno != EAGAIN && errno != EINTR))
        drop(index);
}

void clients_ready(const struct pollfd watched[WATCHES], int ready)
{
    for (int i = 0; i < CLIENTS && ready > 0; i++) {
        const struct pollfd *one = &watched[AT_CLIENT + i];
        if (one->revents & POLLOUT && clients.all[i].fd == one->fd)
            pay(i);
        if (one->revents & ~POLLOUT && clients.all[i].fd == one->fd)
            read_client(i);
    }
    int64_t now = clients_next_ms() < 0 ? 0 : now_ms();
    for (int i = 0; i < CLIENTS; i++)
        if (given_up_ms(i) >= 0 && given_up_ms(i) <= now)
            give_up(i);
    if (ready > 0 && watched[AT_ATTACH].revents)
        admit();
}

/* May a client's word close the container's output?  Only as long as nobody else reads it. */
bool speaks_for_all(int index)
{
    return index == STARTER && !has_others(STARTER);
}
