/* quick_cgroup.c: are the container's cgroups frozen, empty, and how do they go?
 *
 * As pyrunc/runtime/cgroup.py does it for cgroups without others below; the rest is Python's.
 */
#define _GNU_SOURCE
#include "quick.h"
#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 12, FIRST_RETRY_NS = 50000, WORD_BYTES = 32 };

/* The v1 cgroup with a freezer, or the v2 one; NULL for neither.  `word` gets what the file says.
 */
static const char *find_freezer(const struct container *container, const char *file, char *word)
{
    for (size_t i = 0; i < container->cgroup_count; i++)
        if (*read_small(container->cgroups[i], file, word, WORD_BYTES))
            return container->cgroups[i];
    return NULL;
}

bool is_frozen(const struct container *container)
{
    char word[WORD_BYTES];
    if (find_freezer(container, "freezer.state", word))
        return strcmp(word, "FROZEN\n") == 0 || strcmp(word, "FREEZING\n") == 0;
    return find_freezer(container, "cgroup.freeze", word) && strcmp(word, "1\n") == 0;
}

static void write_word(const char *directory, const char *file, const char *word)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, file) >= sizeof path)
        return;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t written = write(fd, word, strlen(word));
    (void)written;
    close(fd);
}

/* Kernel: on v1, a frozen process dies once it is thawed. */
void thaw(const struct container *container)
{
    char word[WORD_BYTES];
    const char *directory = find_freezer(container, "freezer.state", word);
    if (directory) {
        write_word(directory, "freezer.state", "THAWED");
        return;
    }
    directory = find_freezer(container, "cgroup.freeze", word);
    if (directory)
        write_word(directory, "cgroup.freeze", "0");
}

bool has_members(const struct container *container)
{
    char word[WORD_BYTES];
    return find_freezer(container, "cgroup.procs", word) != NULL;
}

/* Kernel: a cgroup stays busy for a moment after its last process has died. */
static bool remove_cgroup(const char *path)
{
    struct timespec pause = {.tv_nsec = FIRST_RETRY_NS};
    for (int i = 0; i < TRIES; i++, pause.tv_nsec *= 2) {
        if (rmdir(path) == 0 || errno == ENOENT)
            return true;
        if (errno != EBUSY)
            return false;
        nanosleep(&pause, NULL);
    }
    return false;
}

bool remove_cgroups(const struct container *container)
{
    for (size_t i = 0; i < container->cgroup_count; i++)
        if (!remove_cgroup(container->cgroups[i]))
            return false;
    return true;
}
