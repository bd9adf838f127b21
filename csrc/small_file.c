/* small_file.c: how are the files of /proc and of cgroups read? */
#define _GNU_SOURCE
#include "small_file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

const char *read_small(const char *directory, const char *name, char *text, size_t size)
{
    char path[PATH_MAX];
    text[0] = '\0';
    if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) >= sizeof path)
        return text;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return text;
    ssize_t length = read(fd, text, size - 1);
    text[length > 0 ? length : 0] = '\0';
    close(fd);
    return text;
}
