/* log.c: how does what a container prints become a file that outlives it?
 *
 * One JSON object a line, as docker's json-file driver writes it, so that its readers read it too:
 *
 *     {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}
 *
 * A line of more than LINE_BYTES, or one that never ended, is an entry without "\n" at its end; the
 * rest of it follows.  A file that has reached its size becomes FILE.1, that FILE.2, and so on.
 */
#define _GNU_SOURCE
#include "parent.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { LINE_BYTES = 16384, TEXT_BYTES = 4096, STREAMS = 2, SECOND_BYTES = 20, SUFFIX_BYTES = 12 };

struct line {
    size_t length;
    char text[LINE_BYTES];
};

static struct {
    const struct plan *plan;
    int fd;        /* -1 for no log */
    bool is_cut;   /* the last entry may be incomplete: the next one begins on a new line */
    uint64_t size; /* of the file, in bytes */
    time_t second; /* what `second_text` says */
    char second_text[SECOND_BYTES];
    struct line lines[STREAMS];
    size_t length; /* of what waits in `text` */
    char text[TEXT_BYTES];
} log_file = {.fd = -1};

static const char *log_path(void)
{
    return plan_string(log_file.plan, log_file.plan->log_path);
}

/* What can't be written, on a full disk, is lost; the container goes on, as with docker. */
static void flush(void)
{
    size_t done = 0;
    while (done < log_file.length) {
        ssize_t written = write(log_file.fd, log_file.text + done, log_file.length - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        done += (size_t)written;
    }
    log_file.is_cut = done < log_file.length;
    log_file.size += done;
    log_file.length = 0;
}

static void put(const char *text, size_t length)
{
    while (length > 0) {
        size_t room = TEXT_BYTES - log_file.length;
        size_t part = length < room ? length : room;
        memcpy(log_file.text + log_file.length, text, part);
        log_file.length += part;
        text += part;
        length -= part;
        if (log_file.length == TEXT_BYTES)
            flush();
    }
}

/* The length of the well-formed UTF-8 sequence at `text`; 0 if there is none.  Source: RFC 3629. */
static size_t sequence_length(const unsigned char *text, size_t left)
{
    unsigned char first = text[0], low = 0x80, high = 0xbf;
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first > 0xf4 || length == 0 || length > left)
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < length; i++) {
        if (text[i] < low || text[i] > high)
            return 0;
        low = 0x80, high = 0xbf;
    }
    return length;
}

static void put_escape(unsigned char character)
{
    char text[8];
    const char *known = strchr("\"\"\\\\\nn\rr\tt", character);
    size_t length = known && character ? (size_t)snprintf(text, sizeof text, "\\%c", known[1])
                                       : (size_t)snprintf(text, sizeof text, "\\u%04x", character);
    put(text, length);
}

/* Put the inside of a JSON string; what is no UTF-8 becomes U+FFFD, since JSON has no bytes. */
static void put_string(const char *text, size_t length)
{
    size_t plain = 0, i = 0;
    while (i < length) {
        const unsigned char *at = (const unsigned char *)text + i;
        size_t step = sequence_length(at, length - i);
        bool is_plain = step > 1 || (step == 1 && *at >= ' ' && *at != '"' && *at != '\\');
        if (!is_plain) {
            put(text + plain, i - plain);
            if (step == 1)
                put_escape(*at);
            else
                put(STRING_AND_LENGTH("\\ufffd"));
            plain = i + 1;
        }
        i += step ? step : 1;
    }
    put(text + plain, length - plain);
}

static void put_time(void)
{
    struct timespec now;
    struct tm parts;
    char text[16];
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != log_file.second && gmtime_r(&now.tv_sec, &parts)) {
        log_file.second = now.tv_sec;
        strftime(log_file.second_text, SECOND_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
    }
    put(log_file.second_text, strlen(log_file.second_text));
    put(text, (size_t)snprintf(text, sizeof text, ".%09ldZ", now.tv_nsec));
}

static void open_log(int flags)
{
    struct stat status;
    log_file.fd =
        open(log_path(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
    log_file.size =
        log_file.fd >= 0 && fstat(log_file.fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* FILE.1 becomes FILE.2 and so on, and the file itself FILE.1; whoever reads one has it open. */
static void rotate(void)
{
    char from[PATH_MAX + SUFFIX_BYTES], to[PATH_MAX + SUFFIX_BYTES];
    uint32_t files = log_file.plan->log_max_files;
    for (uint32_t number = files; number-- > 1;) {
        snprintf(to, sizeof to, "%s.%u", log_path(), number);
        snprintf(from, sizeof from, number > 1 ? "%s.%u" : "%s", log_path(), number - 1);
        rename(from, to);
    }
    close(log_file.fd);
    open_log(files > 1 ? 0 : O_TRUNC);
}

static void write_entry(int stream, const char *text, size_t length, bool is_whole)
{
    uint64_t limit = log_file.plan->log_max_bytes;
    const char *attributes = plan_string(log_file.plan, log_file.plan->log_attributes);
    if (limit && log_file.size + log_file.length >= limit) {
        flush();
        rotate();
    }
    if (log_file.is_cut)
        put("\n", 1);
    put(STRING_AND_LENGTH("{\"log\":\""));
    put_string(text, length);
    if (is_whole)
        put(STRING_AND_LENGTH("\\n"));
    put(STRING_AND_LENGTH("\",\"stream\":\""));
    put(stream == 0 ? "stdout" : "stderr", 6);
    put("\"", 1);
    put(attributes, strlen(attributes));
    put(STRING_AND_LENGTH(",\"time\":\""));
    put_time();
    put(STRING_AND_LENGTH("\"}\n"));
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

/* Before the first output; a log that is there is continued. */
void start_log(const struct plan *plan)
{
    char last = '\n';
    log_file.plan = plan;
    if (plan->log_path == 0)
        return;
    open_log(0);
    int fd = log_file.size ? open(log_path(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    if (pread(fd, &last, 1, (off_t)log_file.size - 1) == 1)
        log_file.is_cut = last != '\n';
    close(fd);
}

/* `stream` is 0 for stdout, 1 for stderr. */
void log_output(int stream, const char *text, size_t length)
{
    struct line *line = &log_file.lines[stream];
    if (log_file.fd < 0)
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
    flush();
}

/* What never got its end of line. */
void end_log(void)
{
    if (log_file.fd < 0)
        return;
    for (int stream = 0; stream < STREAMS; stream++)
        if (log_file.lines[stream].length > 0)
            write_entry(stream, log_file.lines[stream].text, log_file.lines[stream].length, false);
    flush();
    close(log_file.fd);
    log_file.fd = -1;
}
