/* small_file.h: the files of /proc and of cgroups, read at once. */
#ifndef PYRUNC_SMALL_FILE_H
#define PYRUNC_SMALL_FILE_H

#include <stddef.h>

/* Read `name` below `directory` into `text`, ended by NUL; "" if it can't be read. */
const char *read_small(const char *directory, const char *name, char *text, size_t size);

#endif
