/* quick.c: which calls of pyrunc-oci are served without Python?
 *
 * Those whose every word is known here; pyrunc/cli/oci.py has the whole grammar.
 */
#define _GNU_SOURCE
#include "quick.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_ROOT "/run/pyrunc-oci"

enum { ID_LIMIT = 1024 };

struct call {
    const char *root, *log, *log_format, *rootless, *manager, *criu, *verb, *id, *argument;
    bool force;
};

/* Where the value of a global option goes; NULL for one that is not known here. */
static const char **option_place(struct call *call, const char *name, size_t length)
{
    const struct {
        const char *name;
        const char **place;
    } options[] = {
        {"root", &call->root},         {"log", &call->log},   {"log-format", &call->log_format},
        {"rootless", &call->rootless}, {"criu", &call->criu}, {"cgroup-manager", &call->manager},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, name, length) == 0)
            return options[i].place;
    return NULL;
}

/* Read the options before the verb, "--x v", "--x=v" or "-x v"; return the verb's place, or NULL.
 * Which driver made the cgroups is recorded, so the flag for systemd's says nothing here. */
static char **read_globals(char **words, struct call *call)
{
    for (; *words && **words == '-'; words++) {
        const char *name = *words + (strncmp(*words, "--", 2) == 0 ? 2 : 1);
        if (strcmp(name, "systemd-cgroup") == 0)
            continue;
        size_t length = strcspn(name, "=");
        const char **place = option_place(call, name, length);
        if (!place)
            return NULL;
        *place = name[length] == '=' ? name + length + 1 : *++words;
        if (!*place)
            return NULL;
    }
    return *words ? words : NULL;
}

/* Read what follows the verb: an option of delete's, the id, and a signal for kill. */
static bool read_rest(char **words, struct call *call)
{
    static const char *const forces[] = {"--force", "-force", "--f", "-f"};
    call->verb = *words++;
    for (; *words && **words == '-'; words++) {
        bool is_known = false;
        for (size_t i = 0; i < sizeof forces / sizeof *forces; i++)
            is_known |= strcmp(*words, forces[i]) == 0;
        if (!is_known || strcmp(call->verb, "delete") != 0)
            return false;
        call->force = true;
    }
    if (!*words)
        return false;
    call->id = *words++;
    if (*words && strcmp(call->verb, "kill") == 0)
        call->argument = *words++;
    return !*words;
}

static bool is_one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

static bool is_plain(const struct call *call)
{
    static const char *const formats[] = {"", "text", "json"}, *const nots[] = {"auto", "false"};
    static const char *const managers[] = {"cgroupfs", "systemd", "disabled"};
    static const char *const verbs[] = {"start", "kill", "state", "delete"};
    return is_one_of(call->verb, verbs, 4) && is_one_of(call->log_format, formats, 3) &&
           is_one_of(call->rootless, nots, 2) && is_one_of(call->manager, managers, 3);
}

/* The name of one directory, as check_id() of container_state.py has it. */
static bool is_id(const char *text)
{
    static const char characters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";
    size_t length = strlen(text);
    return length > 0 && length <= ID_LIMIT && text[0] != '.' && strspn(text, characters) == length;
}

/* "9", "KILL" or "SIGKILL" in any case; 0 for what is not known here. */
static int signal_number(const char *text)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {
        {"HUP", SIGHUP},   {"INT", SIGINT},       {"QUIT", SIGQUIT}, {"ILL", SIGILL},
        {"TRAP", SIGTRAP}, {"ABRT", SIGABRT},     {"BUS", SIGBUS},   {"FPE", SIGFPE},
        {"KILL", SIGKILL}, {"USR1", SIGUSR1},     {"SEGV", SIGSEGV}, {"USR2", SIGUSR2},
        {"PIPE", SIGPIPE}, {"ALRM", SIGALRM},     {"TERM", SIGTERM}, {"CHLD", SIGCHLD},
        {"CONT", SIGCONT}, {"STOP", SIGSTOP},     {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN},
        {"TTOU", SIGTTOU}, {"URG", SIGURG},       {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
        {"PROF", SIGPROF}, {"VTALRM", SIGVTALRM}, {"IO", SIGIO},     {"WINCH", SIGWINCH},
        {"PWR", SIGPWR},   {"SYS", SIGSYS},
    };
    if (strspn(text, "0123456789") == strlen(text))
        return strlen(text) < 4 && atoi(text) < 65 ? atoi(text) : 0;
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(text, names[i].name) == 0)
            return names[i].number;
    return 0;
}

/* Security: what others may write to is not believed; Python says what it thinks of it. */
static int open_own_directory(int parent_fd, const char *path, int flags)
{
    struct stat status;
    int fd = openat(parent_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
        (status.st_mode & (S_IWGRP | S_IWOTH)) == 0)
        return fd;
    close(fd);
    return -EPERM;
}

/* A caller reads its log whether or not there was an error: make it. */
static bool touch_log(const char *path)
{
    int fd = *path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (fd >= 0)
        close(fd);
    return fd >= 0 || !*path;
}

static enum outcome dispatch(const struct call *call, const struct container *container)
{
    switch (call->verb[1]) {
    case 'i': { /* kill */
        int number = call->argument ? signal_number(call->argument) : SIGTERM;
        return number > 0 ? kill_container(container, number) : HAND_OVER;
    }
    case 'e':
        return delete_container(container, call->force);
    default:
        return strcmp(call->verb, "start") == 0 ? start_container(container)
                                                : show_state(container);
    }
}

static enum outcome serve(const struct call *call)
{
    static char buffer[STATE_BYTES];
    struct container container = {.id = call->id, .has_pid_namespace = true};

    container.root_fd = open_own_directory(AT_FDCWD, *call->root ? call->root : DEFAULT_ROOT, 0);
    if (container.root_fd < 0)
        return container.root_fd == -ENOENT && call->force ? SERVED : HAND_OVER;
    container.directory_fd = open_own_directory(container.root_fd, call->id, O_NOFOLLOW);
    if (container.directory_fd < 0)
        return container.directory_fd == -ENOENT && call->force ? SERVED : HAND_OVER;
    if (read_state(&container, buffer) != SERVED)
        return HAND_OVER;
    return dispatch(call, &container);
}

/* Python takes a path without its "..", the kernel follows links before it goes up: not the same.
 */
static bool is_plain_root(const char *root)
{
    if (*root && *root != '/')
        return false;
    for (const char *up = strstr(root, "/.."); up; up = strstr(up + 1, "/.."))
        if (up[3] == '/' || !up[3])
            return false;
    return true;
}

int serve_quickly(int argc, char **argv)
{
    struct call call = {.root = "",
                        .log = "",
                        .log_format = "",
                        .criu = "",
                        .rootless = "auto",
                        .manager = "cgroupfs"};
    char **words = argc > 1 && geteuid() == 0 ? read_globals(argv + 1, &call) : NULL;

    if (!words || !read_rest(words, &call) || !is_plain(&call) || !is_id(call.id) ||
        !is_plain_root(call.root) || !touch_log(call.log))
        return -1;
    return serve(&call) == SERVED ? 0 : -1;
}
