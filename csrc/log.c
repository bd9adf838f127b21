/* log.c: how does what a container prints become the entries of a log?
 *
 * A line is an entry.  One of more than LINE_BYTES, or one that never ended, is an entry that is
 * not whole; the rest of it follows.  Where entries go is log_file.c's and log_socket.c's to know.
 */
#define _GNU_SOURCE
#include "log.h"

#include <string.h>

enum { LINE_BYTES = 16384, STREAMS = 2 };

struct line {
    size_t length;
    char text[LINE_BYTES];
};

static struct {
    bool is_on;
    struct line lines[STREAMS];
} printed;

static void write_entry(int stream, const char *text, size_t length, bool is_whole)
{
    const struct log_entry entry = {stream, text, length, is_whole};
    write_file_entry(&entry);
    send_entry(&entry);
}

/* How much of a full line to write now: not a part of a character, if it is text at all. */
static size_t whole_characters(const char *text, size_t length)
{
    for (size_t tail = 1; tail <= 3; tail++) {
        unsigned char byte = (unsigned char)text[length - tail];
        size_t wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 0;
        if (wanted)
            return wanted > tail ? length - tail : length;
        if (byte < 0x80)
            break;
    }
    return length;
}

static void write_part(int stream, struct line *line)
{
    size_t length = whole_characters(line->text, line->length);
    write_entry(stream, line->text, length, false);
    line->length -= length;
    memmove(line->text, line->text + length, line->length);
}

/* Before the first output. */
void start_log(const struct plan *plan)
{
    printed.is_on = plan->log_path != 0 || plan->log_sink != 0;
    open_log_file(plan);
    open_log_socket(plan);
}

/* `stream` is 0 for stdout, 1 for stderr. */
void log_output(int stream, const char *text, size_t length)
{
    struct line *line = &printed.lines[stream];
    if (!printed.is_on)
        return;
    while (length > 0) {
        size_t room = LINE_BYTES - line->length, part = length < room ? length : room;
        const char *end = memchr(text, '\n', part);
        size_t taken = end ? (size_t)(end - text) : part;
        if (end && line->length == 0) {
            write_entry(stream, text, taken, true);
        } else {
            memcpy(line->text + line->length, text, taken);
            line->length += taken;
            if (end) {
                write_entry(stream, line->text, line->length, true);
                line->length = 0;
            }
        }
        if (line->length == LINE_BYTES)
            write_part(stream, line);
        text += end ? taken + 1 : taken;
        length -= end ? taken + 1 : taken;
    }
    flush_log_file();
}

/* What never got its end of line. */
void end_log(void)
{
    if (!printed.is_on)
        return;
    for (int stream = 0; stream < STREAMS; stream++)
        if (printed.lines[stream].length > 0)
            write_entry(stream, printed.lines[stream].text, printed.lines[stream].length, false);
    flush_log_file();
    printed.is_on = false;
}
