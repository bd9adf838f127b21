/* copy.c: how do bytes get between a container and whoever is attached to it, without loss?
 *
 * One buffer a stream.  A stream is read only while its buffer is empty, and that is when all who
 * are attached have got it (clients.c): back-pressure.  Without a client, output goes to the log
 * alone.  A client sends one packet of input and the next when it is told that there is room.  When
 * the one that started the container says that nobody reads a stream any more, its pipe closes, and
 * the container's next write fails as in any pipeline.  All descriptors are non-blocking; poll
 * decides.
 */
#define _GNU_SOURCE
#include "parent.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

enum { HANGUP_RETRY_MS = 100, NOBODY = -1 };

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
    int sender;       /* whose input waits */
    bool input_ends;  /* close it once it is empty */
    bool is_hung_up;  /* nobody has the terminal open; somebody may open it again */
    int64_t retry_ms; /* when to look */
    bool has_ended;   /* the container: read what is there and no more */
} copy = {.sender = NOBODY};

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

/* The input's buffer is empty, one way or the other: the next packet may come. */
static void input_done(void)
{
    int sender = copy.sender;
    copy.input.length = 0;
    copy.sender = NOBODY;
    owe_room(sender);
}

static void end_input(void)
{
    if (copy.input.fd >= 0 && copy.input.fd != copy.launch->master_fd)
        close(copy.input.fd);
    copy.input.fd = -1;
    input_done();
}

/* A client has left.  The input ends with the one that started the container, if it was its own
 * (docker's StdinOnce); a terminal's never does.  Of an exec that only its client wants to hear of,
 * nothing is left to be done: the process stays, as its container's. */
void copy_client_gone(int index, bool has_started_it)
{
    uint32_t options = copy.launch->plan->options;
    if (has_started_it && options & LAUNCH_FOLLOW)
        _exit(0);
    if (copy.sender == index)
        copy.sender = NOBODY;
    if (!has_started_it || options & (LAUNCH_STDIN_STAYS | LAUNCH_TERMINAL | LAUNCH_UNFED))
        return;
    copy.input_ends = true;
    if (copy.input.length == 0)
        end_input();
}

const char *output_packet(int stream, size_t *length)
{
    *length = copy.outputs[stream].length;
    return copy.outputs[stream].packet;
}

/* A buffer that nobody waits for is empty. */
static void settle_outputs(void)
{
    for (int i = 0; i < 2; i++)
        if (copy.outputs[i].length > 0 && !is_owed(OWED_STDOUT << i))
            copy.outputs[i].length = 0;
}

/* Kernel: a terminal that nobody holds open reads EIO, until somebody opens it again. */
static void read_output(struct stream *stream)
{
    int number = stream == &copy.outputs[1];
    ssize_t length = read(stream->fd, stream->packet + 1, sizeof stream->packet - 1);
    if (length > 0) {
        log_output(number, stream->packet + 1, (size_t)length);
        stream->packet[0] = number ? PACKET_STDERR : PACKET_STDOUT;
        stream->length = (size_t)length + 1;
        owe_output(number);
        settle_outputs();
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
    if (input->done < input->length)
        return;
    if (copy.input_ends)
        end_input();
    else
        input_done();
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
        input_done();
        copy.is_hung_up = false;
    }
    close(fd);
}

/* Where a packet of input goes; NULL while one is there. */
char *input_buffer(void)
{
    return copy.input.length > 0 ? NULL : copy.input.packet;
}

/* The packet lies in the input's own buffer, which was empty. */
static void take_input(int index, size_t length)
{
    struct stream *input = &copy.input;
    copy.sender = index;
    if (input->fd < 0 || length < 2) {
        input_done();
        return;
    }
    input->length = length;
    input->done = 1;
    write_input();
}

/* One that is attached beside others says that its input has ended; it is everybody's. */
static void take_end(void)
{
    if (copy.launch->plan->options & (LAUNCH_STDIN_STAYS | LAUNCH_TERMINAL))
        return;
    copy.input_ends = true;
    if (copy.input.length == 0)
        end_input();
}

void handle_packet(int index, const char *packet, size_t length)
{
    struct signal_packet signal_packet;
    struct resize_packet resize_packet;

    if (packet[0] == PACKET_STDIN) {
        take_input(index, length);
    } else if (packet[0] == PACKET_STDIN_END) {
        take_end();
    } else if (packet[0] == PACKET_SIGNAL && length >= sizeof signal_packet) {
        memcpy(&signal_packet, packet, sizeof signal_packet);
        syscall(SYS_pidfd_send_signal, copy.launch->pidfd, signal_packet.number, NULL, 0);
    } else if (packet[0] == PACKET_RESIZE && length >= sizeof resize_packet) {
        memcpy(&resize_packet, packet, sizeof resize_packet);
        resize(&resize_packet);
    } else if (packet[0] == PACKET_CLOSE && length >= sizeof(struct close_packet)) {
        if (speaks_for_all(index))
            close_output(packet[1]);
    }
}

/* When the terminal is to be looked at again; -1 for never. */
int64_t copy_next_ms(void)
{
    return copy.is_hung_up ? copy.retry_ms : -1;
}

/* What to wait for: room in one direction, or something to read in the other. */
void copy_watch(struct pollfd watched[WATCHES])
{
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

/* `ready` is what poll said of `watched`; before the clients' turn. */
void copy_ready(const struct pollfd watched[WATCHES], int ready)
{
    settle_outputs();
    if (copy.is_hung_up && now_ms() >= copy.retry_ms)
        copy.is_hung_up = false;
    if (ready <= 0)
        return;
    for (int i = 0; i < 2; i++)
        if (watched[AT_STDOUT + i].revents && copy.outputs[i].fd >= 0)
            read_output(&copy.outputs[i]);
    if (watched[AT_INPUT].revents && copy.input.length > 0)
        write_input();
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
