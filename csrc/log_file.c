/* log_file.c: how does what a container prints become a file that outlives it?
 *
 * One JSON object a line, as docker's json-file driver writes it, so that its readers read it too:
 *
 *     {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}
 *
 * A file that has reached its size becomes FILE.1, that FILE.2, and so on; where that is asked for,
 * a program makes FILE.1.gz of FILE.1, and holds its lock (flock) as long as it is at it.
 */
#define _GNU_SOURCE
#include "log.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>

enum { TEXT_BYTES = 4096, SECOND_BYTES = 20, SUFFIX_BYTES = 16 };

extern char **environ;

static struct {
    const struct plan *plan; /* NULL: no file is wanted */
    int fd;                  /* -1: it could not be opened, and the next entry tries again */
    bool is_cut;             /* the last entry may be incomplete: the next begins on a new line */
    uint64_t size;           /* of the file, in bytes */
    time_t second;           /* what `second_text` says */
    char second_text[SECOND_BYTES];
    size_t length; /* of what waits in `text` */
    char text[TEXT_BYTES];
} log_file = {.fd = -1};

static const char *log_path(void)
{
    return plan_string(log_file.plan, log_file.plan->log_path);
}

/* What can't be written, on a full disk, is lost; the container goes on, as with docker. */
void flush_log_file(void)
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
            flush_log_file();
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

static void open_file(int flags)
{
    struct stat status;
    log_file.fd =
        open(log_path(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
    log_file.size =
        log_file.fd >= 0 && fstat(log_file.fd, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static void name_file(char name[PATH_MAX + SUFFIX_BYTES], uint32_t number, const char *ending)
{
    if (number == 0)
        snprintf(name, PATH_MAX + SUFFIX_BYTES, "%s", log_path());
    else
        snprintf(name, PATH_MAX + SUFFIX_BYTES, "%s.%u%s", log_path(), number, ending);
}

/* FILE.1 may be under compression: it is not moved before that is over. */
static void await_compression(void)
{
    char name[PATH_MAX + SUFFIX_BYTES];
    name_file(name, 1, "");
    int fd = open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
        continue;
    close(fd);
}

static void move_files(const char *ending)
{
    char from[PATH_MAX + SUFFIX_BYTES], to[PATH_MAX + SUFFIX_BYTES];
    uint32_t number = log_file.plan->log_max_files - 1;
    name_file(to, number, ending);
    unlink(to);
    for (; number > 1; number--) {
        name_file(from, number - 1, ending);
        name_file(to, number, ending);
        rename(from, to);
    }
}

/* In a process of nobody's: the log that was moved is its input, and locked until it ends. */
static _Noreturn void become_compressor(char *argv[])
{
    dup2(log_file.fd, STDIN_FILENO);
    umask(022);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    execve(argv[0], argv, environ);
    _exit(127);
}

/* The monitor reaps its container and nothing else: what compresses is a grandchild, which the
 * machine's first process reaps. */
static void compress(void)
{
    enum { MAX_WORDS = 32 };
    const struct plan *plan = log_file.plan;
    char *argv[MAX_WORDS + 1] = {NULL};

    if (plan->log_compress_argv.count == 0 || plan->log_compress_argv.count > MAX_WORDS)
        return;
    for (uint32_t i = 0; i < plan->log_compress_argv.count; i++)
        argv[i] = (char *)(uintptr_t)plan_list(plan, plan->log_compress_argv, i);
    flock(log_file.fd, LOCK_EX);
    pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0)
            become_compressor(argv);
        _exit(0);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* FILE.1 becomes FILE.2 and so on, and the file itself FILE.1; whoever reads one has it open. */
static void rotate(void)
{
    char first[PATH_MAX + SUFFIX_BYTES];
    bool keeps_some = log_file.plan->log_max_files > 1;
    if (keeps_some) {
        await_compression();
        move_files("");
        move_files(".gz");
        name_file(first, 1, "");
        if (rename(log_path(), first) == 0)
            compress();
    }
    close(log_file.fd);
    open_file(keeps_some ? 0 : O_TRUNC);
}

/* A log that is there is continued. */
void open_log_file(const struct plan *plan)
{
    char last = '\n';
    if (plan->log_path == 0)
        return;
    log_file.plan = plan;
    open_file(0);
    int fd = log_file.size ? open(log_path(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    if (pread(fd, &last, 1, (off_t)log_file.size - 1) == 1)
        log_file.is_cut = last != '\n';
    close(fd);
}

/* Without room for another file, on a full disk, the entry is lost. */
static bool has_file(void)
{
    uint64_t limit = log_file.plan ? log_file.plan->log_max_bytes : 0;
    if (!log_file.plan)
        return false;
    if (log_file.fd >= 0 && limit && log_file.size + log_file.length >= limit) {
        flush_log_file();
        rotate();
    }
    if (log_file.fd < 0)
        open_file(0);
    return log_file.fd >= 0;
}

void write_file_entry(const struct log_entry *entry)
{
    if (!has_file())
        return;
    const char *attributes = plan_string(log_file.plan, log_file.plan->log_attributes);
    if (log_file.is_cut)
        put("\n", 1);
    put(STRING_AND_LENGTH("{\"log\":\""));
    put_string(entry->text, entry->length);
    if (entry->is_whole)
        put(STRING_AND_LENGTH("\\n"));
    put(STRING_AND_LENGTH("\",\"stream\":\""));
    put(entry->stream == 0 ? "stdout" : "stderr", 6);
    put("\"", 1);
    put(attributes, strlen(attributes));
    put(STRING_AND_LENGTH(",\"time\":\""));
    put_time();
    put(STRING_AND_LENGTH("\"}\n"));
}
