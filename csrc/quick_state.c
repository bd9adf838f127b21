/* quick_state.c: what does state.json say?
 *
 * Only the form that container_state.py itself writes is understood: one line without spaces, in
 * printable ASCII.  A name that is not known here belongs to a container that is not plain.
 */
#define _GNU_SOURCE
#include "quick.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PID_LIMIT = 1 << 22 };

static bool take(char **at, const char *literal)
{
    size_t length = strlen(literal);
    if (strncmp(*at, literal, length) != 0)
        return false;
    *at += length;
    return true;
}

/* The length of an escape as Python writes it, from the backslash on; 0 for another. */
static size_t escape_length(const char *at)
{
    if (at[1] && strchr("\"\\nrtfb", at[1]))
        return 2;
    bool is_control = strncmp(at, "\\u00", 4) == 0 && (at[4] == '0' || at[4] == '1') && at[5] &&
                      strchr("0123456789abcdef", at[5]);
    return is_control ? 6 : 0;
}

static bool take_string(char **at, struct token *token)
{
    char *end = *at;
    if (*end++ != '"')
        return false;
    while (*end != '"') {
        size_t length = *end == '\\' ? escape_length(end) : *end >= ' ' && *end < 0x7f;
        if (length == 0)
            return false;
        end += length;
    }
    *token = (struct token){.start = *at, .length = (size_t)(end + 1 - *at)};
    *at = end + 1;
    return true;
}

/* A value of its own, once: a document with a name twice is Python's to refuse. */
static bool take_value(char **at, struct token *token)
{
    return !token->start && take_string(at, token);
}

static bool take_number(char **at, uint64_t *value)
{
    char *end;
    if (**at < '1' || **at > '9')
        return false;
    errno = 0;
    *value = strtoull(*at, &end, 10);
    *at = end;
    return errno == 0;
}

static bool take_pid(char **at, struct container *container)
{
    uint64_t number;
    if (container->pid || !take_number(at, &number) || number > PID_LIMIT)
        return false;
    container->pid = (pid_t)number;
    return true;
}

/* An object of strings, at least one; its names were unique when it was written. */
static bool take_annotations(char **at, struct token *annotations)
{
    char *start = *at;
    struct token ignored;
    if (annotations->start || !take(at, "{"))
        return false;
    do {
        if (!take_string(at, &ignored) || !take(at, ":") || !take_string(at, &ignored))
            return false;
    } while (take(at, ","));
    *annotations = (struct token){.start = start, .length = (size_t)(*at + 1 - start)};
    return take(at, "}");
}

/* Absolute paths; each is ended in place. */
static bool take_cgroups(char **at, struct container *container)
{
    struct token path;
    if (!take(at, "["))
        return false;
    do {
        if (container->cgroup_count == MAX_CGROUPS || !take_string(at, &path) ||
            path.start[1] != '/' || memchr(path.start, '\\', path.length))
            return false;
        (*at)[-1] = '\0';
        container->cgroups[container->cgroup_count++] = path.start + 1;
    } while (take(at, ","));
    return take(at, "]");
}

/* What some commands may ignore. */
static bool take_detail(char **at, struct container *container)
{
    if (take(at, "\"new_keyring\":false"))
        return true;
    if (take(at, "\"has_pid_namespace\":false")) {
        container->has_pid_namespace = false;
        return true;
    }
    container->is_attended = true;
    return take(at, "\"attended\":true") || take(at, "\"notifies\":true");
}

/* One name and its value.  Only what differs from the default is in the file. */
static bool take_field(char **at, struct container *container)
{
    if (take(at, "\"container_id\":"))
        return take_value(at, &container->stored_id);
    if (take(at, "\"bundle\":"))
        return take_value(at, &container->bundle);
    if (take(at, "\"rootfs\":"))
        return take_value(at, &container->rootfs);
    if (take(at, "\"created\":"))
        return take_value(at, &container->created);
    if (take(at, "\"annotations\":"))
        return take_annotations(at, &container->annotations);
    if (take(at, "\"pid\":"))
        return take_pid(at, container);
    if (take(at, "\"pid_start_time\":"))
        return !container->start_time && take_number(at, &container->start_time);
    if (take(at, "\"cgroups\":"))
        return container->cgroup_count == 0 && take_cgroups(at, container);
    if (take(at, "\"scope\":"))
        return take_value(at, &container->scope);
    return take_detail(at, container);
}

static bool is_named(const struct container *container)
{
    size_t length = strlen(container->id);
    return container->stored_id.length == length + 2 &&
           memcmp(container->stored_id.start + 1, container->id, length) == 0;
}

static bool is_complete(const struct container *container)
{
    return container->stored_id.start && container->bundle.start && container->rootfs.start &&
           container->created.start && container->pid > 1 && container->start_time > 0 &&
           container->cgroup_count > 0;
}

static bool parse(char *at, struct container *container)
{
    if (!take(&at, "{"))
        return false;
    do {
        if (!take_field(&at, container))
            return false;
    } while (take(&at, ","));
    return take(&at, "}") && !*at && is_complete(container) && is_named(container);
}

/* The tokens point into `buffer`, of STATE_BYTES. */
enum outcome read_state(struct container *container, char *buffer)
{
    int fd = openat(container->directory_fd, "state.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return HAND_OVER;
    ssize_t length = read(fd, buffer, STATE_BYTES - 1);
    close(fd);
    if (length <= 0 || length == STATE_BYTES - 1 || memchr(buffer, '\0', (size_t)length))
        return HAND_OVER;
    buffer[length] = '\0';
    return parse(buffer, container) ? SERVED : HAND_OVER;
}
