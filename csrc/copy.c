/* copy.c: how do bytes get between a container and whoever is attached to it, without loss?
 *
 * One buffer a stream.  A stream is read only while its buffer is empty, so a client that does not
 * read stops the container's writes and nothing else (back-pressure); without a client, output is
 * dropped.  The client sends one packet of input and the next when it is told that there is room:
 * what else it has to say never queues behind input that the container does not read.  When the
 * client says that nobody reads a stream any more, its pipe closes, and the container's next write
 * fails as in any pipeline.  All descriptors are non-blocking; poll decides.
 */
#define _GNU_SOURCE
#include "parent.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { HANGUP_RETRY_MS = 100 };

struct stream {
    int fd;
    size_t length; /* of what waits in `packet`, the type included */
    size_t done;   /* input: how much of it is written */
    char packet[PACKET_BYTES];
};

static struct {
    struct launch *launch;
    struct stream outputs[2];
    struct stream input;
    bool input_ends;  /* close it once it is empty */
    bool owes_room;   /* to be told to the client once the input is empty */
    bool is_hung_up;  /* nobody has the terminal open; somebody may open it again */
    int64_t retry_ms; /* when to look */
    bool has_ended;   /* the container: read what is there and no more */
} copy;

void start_copy(struct launch *launch)
{
    bool has_terminal = launch->master_fd >= 0;
    if (has_terminal)
        fcntl(launch->master_fd, F_SETFL, O_NONBLOCK | O_RDWR);
    copy.launch = launch;
    copy.outputs[0].fd = has_terminal ? launch->master_fd : launch->stdout_fd;
    copy.outputs[1].fd = launch->stderr_fd;
    copy.input.fd = has_terminal ? launch->master_fd : launch->stdin_fd;
}

static void end_input(void)
{
    if (copy.input.fd >= 0 && copy.input.fd != copy.launch->master_fd)
        close(copy.input.fd);
    copy.input.fd = -1;
    copy.input.length = 0;
}

/* The client is gone: what it has not read is dropped, and the container's input ends.  Of an exec
 * nothing is left to be written down: the process stays, as its container's. */
static void detach(void)
{
    if (copy.launch->plan->options & LAUNCH_FOLLOW)
        _exit(0);
    client_lost(copy.launch);
    copy.outputs[0].length = copy.outputs[1].length = 0;
    copy.input_ends = true;
    if (copy.input.length == 0)
        end_input();
}

static void send_output(struct stream *stream)
{
    int result = client_send(copy.launch, stream->packet, stream->length);
    if (result != -EAGAIN)
        stream->length = 0;
    if (result == -EPIPE)
        detach();
}

/* Kernel: a terminal that nobody holds open reads EIO, until somebody opens it again. */
static void read_output(struct stream *stream)
{
    ssize_t length = read(stream->fd, stream->packet + 1, sizeof stream->packet - 1);
    if (length > 0) {
        log_output(stream == &copy.outputs[1], stream->packet + 1, (size_t)length);
        stream->packet[0] = stream == &copy.outputs[0] ? PACKET_STDOUT : PACKET_STDERR;
        stream->length = (size_t)length + 1;
        send_output(stream);
        return;
    }
    if (length < 0 && (errno == EAGAIN || errno == EINTR) && !copy.has_ended)
        return;
    if (length < 0 && errno == EIO && !copy.has_ended) {
        copy.is_hung_up = true;
        copy.retry_ms = now_ms() + HANGUP_RETRY_MS;
        return;
    }
    if (stream->fd != copy.launch->master_fd)
        close(stream->fd);
    stream->fd = -1;
}

/* A packet of input was written, or dropped because nobody can get it: say that there is room. */
static void tell_room(void)
{
    static const char packet = PACKET_ROOM;
    int result = client_send(copy.launch, &packet, sizeof packet);
    if (result != -EAGAIN)
        copy.owes_room = false;
    if (result == -EPIPE)
        detach();
}

static void write_input(void)
{
    struct stream *input = &copy.input;
    ssize_t length = write(input->fd, input->packet + input->done, input->length - input->done);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (length < 0) {
        end_input();
        return;
    }
    input->done += (size_t)length;
    if (input->done == input->length)
        input->length = 0;
    if (input->length == 0 && copy.input_ends)
        end_input();
}

static void resize(const struct resize_packet *packet)
{
    struct winsize size = {.ws_row = packet->rows, .ws_col = packet->columns};
    if (copy.launch->master_fd >= 0)
        ioctl(copy.launch->master_fd, TIOCSWINSZ, &size);
}

/* What reads this output has ended: so does the pipe, or the terminal as a whole (a hang-up: the
 * container reads its end and may get SIGHUP).  What is in there is lost, as in a pipe. */
static void close_output(char type)
{
    struct stream *stream = &copy.outputs[type == PACKET_STDERR];
    int fd = stream->fd;
    stream->length = 0;
    stream->fd = -1;
    if (fd < 0)
        return;
    if (fd == copy.launch->master_fd) {
        copy.launch->master_fd = -1;
        copy.input.fd = -1;
        copy.input.length = 0;
        copy.is_hung_up = false;
    }
    close(fd);
}

/* The packet lies in the input's own buffer, which was empty. */
static void take_input(size_t length)
{
    struct stream *input = &copy.input;
    copy.owes_room = true;
    if (input->fd < 0 || length < 2)
        return;
    input->length = length;
    input->done = 1;
    write_input();
}

static void handle_packet(const char *packet, size_t length)
{
    struct signal_packet signal_packet;
    struct resize_packet resize_packet;

    switch (packet[0]) {
    case PACKET_STDIN_END:
        copy.input_ends = true;
        if (copy.input.length == 0)
            end_input();
        break;
    case PACKET_SIGNAL:
        if (length < sizeof signal_packet)
            break;
        memcpy(&signal_packet, packet, sizeof signal_packet);
        syscall(SYS_pidfd_send_signal, copy.launch->pidfd, signal_packet.number, NULL, 0);
        break;
    case PACKET_RESIZE:
        if (length < sizeof resize_packet)
            break;
        memcpy(&resize_packet, packet, sizeof resize_packet);
        resize(&resize_packet);
        break;
    case PACKET_CLOSE:
        if (length >= sizeof(struct close_packet))
            close_output(packet[1]);
        break;
    default:
        break;
    }
}

/* Into the input's buffer while that is empty; what comes meanwhile is short, and no input. */
static void read_client(void)
{
    char control[sizeof(struct signal_packet)];
    bool is_full = copy.input.length > 0;
    char *packet = is_full ? control : copy.input.packet;
    size_t size = is_full ? sizeof control : sizeof copy.input.packet;
    ssize_t length = recv(copy.launch->client_fd, packet, size, MSG_DONTWAIT);
    if (length > 0 && packet[0] == PACKET_STDIN && !is_full)
        take_input((size_t)length);
    else if (length > 0)
        handle_packet(packet, (size_t)length);
    else if (length == 0 || (errno != EAGAIN && errno != EINTR))
        detach();
}

/* When the terminal is to be looked at again; -1 for never. */
int64_t copy_next_ms(void)
{
    return copy.is_hung_up ? copy.retry_ms : -1;
}

/* What to wait for: room in one direction, or something to read in the other. */
void copy_watch(struct pollfd watched[WATCHES])
{
    bool tells_room = copy.owes_room && copy.input.length == 0;
    bool waits = tells_room || copy.outputs[0].length > 0 || copy.outputs[1].length > 0;

    watched[AT_CLIENT].fd = copy.launch->client_fd;
    watched[AT_CLIENT].events = waits ? POLLIN | POLLOUT : POLLIN;
    for (int i = 0; i < 2; i++)
        if (copy.outputs[i].length == 0 && !copy.is_hung_up)
            watched[AT_STDOUT + i].fd = copy.outputs[i].fd;
    if (copy.input.length > 0) {
        watched[AT_INPUT].fd = copy.input.fd;
        watched[AT_INPUT].events = POLLOUT;
    }
    if (!copy.has_ended)
        watched[AT_PROCESS].fd = copy.launch->pidfd;
}

/* `ready` is what poll said of `watched`. */
void copy_ready(const struct pollfd watched[WATCHES], int ready)
{
    if (copy.is_hung_up && now_ms() >= copy.retry_ms)
        copy.is_hung_up = false;
    if (ready <= 0)
        return;
    for (int i = 0; i < 2; i++)
        if (watched[AT_STDOUT + i].revents && copy.outputs[i].fd >= 0)
            read_output(&copy.outputs[i]);
    if (watched[AT_INPUT].revents && copy.input.length > 0)
        write_input();
    if (watched[AT_CLIENT].revents & POLLOUT)
        for (int i = 0; i < 2; i++)
            if (copy.outputs[i].length > 0)
                send_output(&copy.outputs[i]);
    if (watched[AT_CLIENT].revents & ~POLLOUT && copy.launch->client_fd >= 0)
        read_client();
    if (copy.owes_room && copy.input.length == 0)
        tell_room();
}

static bool has_output(const struct stream *stream)
{
    return stream->fd >= 0 || stream->length > 0;
}

/* The container has ended: what it wrote before is in its pipes, and goes out now. */
void copy_rest(void)
{
    copy.has_ended = true;
    copy.is_hung_up = false;
    end_input();
    while (has_output(&copy.outputs[0]) || has_output(&copy.outputs[1])) {
        for (int i = 0; i < 2; i++)
            while (copy.outputs[i].fd >= 0 && copy.outputs[i].length == 0)
                read_output(&copy.outputs[i]);
        if (copy.outputs[0].length > 0 || copy.outputs[1].length > 0)
            loop_once();
    }
}
