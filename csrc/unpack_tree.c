/* unpack_tree.c: the directories of the layer, and the way to them.
 *
 * Every component of a name is looked at on its own.  What is not a known directory may be a link,
 * which is resolved below the layer's root; the kernel never sees more than one component.
 */
#define _GNU_SOURCE
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { FIRST_BUCKETS = 1024 };

static void check(struct unpacker *unpacker, int result)
{
    if (result < 0)
        fail(unpacker, FAIL_SYSTEM, errno);
}

size_t hash_name(const struct directory *parent, struct text name)
{
    uint64_t value = 14695981039346656037u ^ ((uintptr_t)parent >> 4);
    for (size_t i = 0; i < name.length; i++)
        value = (value ^ (unsigned char)name.bytes[i]) * 1099511628211u;
    return (size_t)(value ^ value >> 32);
}

/* Chains stay short by growing; a hostile archive that finds collisions only slows itself down by
 * as many comparisons as it has directories. */
static void grow(struct unpacker *unpacker)
{
    size_t count = unpacker->bucket_count == 0 ? FIRST_BUCKETS : unpacker->bucket_count * 4;
    struct directory **buckets = calloc(count, sizeof(struct directory *));
    if (buckets == NULL)
        fail(unpacker, FAIL_MEMORY, ENOMEM);
    for (struct directory *one = unpacker->root; one != NULL; one = one->after) {
        if (one->flags & GONE)
            continue;
        size_t bucket = hash_name(one->parent, (struct text){one->name, one->length}) & (count - 1);
        one->next = buckets[bucket];
        buckets[bucket] = one;
    }
    free(unpacker->buckets);
    unpacker->buckets = buckets;
    unpacker->bucket_count = count;
}

struct directory *find_directory(struct unpacker *unpacker, struct directory *parent,
                                 struct text name)
{
    size_t bucket = hash_name(parent, name) & (unpacker->bucket_count - 1);
    struct directory *one = unpacker->buckets[bucket];
    while (one != NULL && (one->parent != parent || one->length != name.length ||
                           memcmp(one->name, name.bytes, name.length) != 0))
        one = one->next;
    return one;
}

/* Note a directory that was just made on disk. */
struct directory *add_directory(struct unpacker *unpacker, struct directory *parent,
                                struct text name, unsigned flags)
{
    unsigned depth = parent == NULL ? 0 : parent->depth + 1;
    if (depth >= DEPTH_LIMIT)
        fail(unpacker, FAIL_LONG_NAME, 0);
    if (unpacker->directory_count >= unpacker->bucket_count)
        grow(unpacker);
    struct directory *one = keep(unpacker, sizeof *one);
    size_t bucket = hash_name(parent, name) & (unpacker->bucket_count - 1);
    *one = (struct directory){
        .parent = parent,
        .next = unpacker->buckets[bucket],
        .name = keep_text(unpacker, name.bytes, name.length),
        .length = name.length,
        .gid = parent == NULL ? 0 : parent->gid,
        .depth = depth,
        .flags = flags,
        .fd = -1,
    };
    unpacker->buckets[bucket] = one;
    unpacker->directory_count++;
    if (unpacker->last != NULL)
        unpacker->last->after = one;
    unpacker->last = one;
    return one;
}

void make_root(struct unpacker *unpacker)
{
    grow(unpacker);
    unpacker->root = add_directory(unpacker, NULL, (struct text){"", 0}, 0);
    unpacker->root->fd = openat(unpacker->holder_fd, "tree", O_PATH | O_DIRECTORY | O_CLOEXEC);
    check(unpacker, unpacker->root->fd);
}

/* Keep the last few opened; the oldest makes room.  The parent was opened just before its child, so
 * it is never the one that goes. */
static void remember_open(struct unpacker *unpacker, struct directory *directory)
{
    struct directory **slot = &unpacker->open[unpacker->open_next];
    if (*slot != NULL) {
        close((*slot)->fd);
        (*slot)->fd = -1;
    }
    *slot = directory;
    unpacker->open_next = (unpacker->open_next + 1) % OPEN_DIRECTORIES;
}

/* Return an O_PATH descriptor that stays valid until the next call. */
int directory_fd(struct unpacker *unpacker, struct directory *directory)
{
    static struct directory *way[DEPTH_LIMIT];
    struct directory *at = directory;
    size_t count = 0;
    for (; at->fd < 0; at = at->parent)
        way[count++] = at;
    int fd = at->fd;
    while (count > 0) {
        at = way[--count];
        at->fd = openat(fd, at->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        check(unpacker, at->fd);
        remember_open(unpacker, at);
        fd = at->fd;
    }
    return fd;
}

/* Write the path of a directory in front of `end`, and return where it begins. */
char *directory_path(struct unpacker *unpacker, const struct directory *directory, char *begin,
                     char *end)
{
    char *at = end;
    for (; directory->parent != NULL; directory = directory->parent) {
        if ((size_t)(at - begin) < directory->length + 1)
            fail(unpacker, FAIL_LONG_NAME, 0);
        if (at != end)
            *--at = '/';
        at -= directory->length;
        memcpy(at, directory->name, directory->length);
    }
    return at;
}

bool is_whiteout(struct unpacker *unpacker, struct directory *parent, struct text name)
{
    struct stat status;
    int fd = directory_fd(unpacker, parent);
    if (fstatat(fd, name.bytes, &status, AT_SYMLINK_NOFOLLOW) < 0)
        fail(unpacker, FAIL_SYSTEM, errno);
    return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
}

static void forget(struct unpacker *unpacker, struct directory *directory)
{
    struct text name = {directory->name, directory->length};
    size_t bucket = hash_name(directory->parent, name) & (unpacker->bucket_count - 1);
    struct directory **link = &unpacker->buckets[bucket];
    while (*link != directory)
        link = &(*link)->next;
    *link = directory->next;
    directory->flags |= GONE;
}

/* Take away what this archive itself put under a name.  A directory is moved aside whole: its
 * depth is the archive's choice, so the caller removes it, who has time. */
void clear_name(struct unpacker *unpacker, struct directory *parent, struct text name)
{
    char aside[32];
    struct directory *directory = find_directory(unpacker, parent, name);
    int fd = directory_fd(unpacker, parent);
    if (directory == NULL) {
        check(unpacker, unlinkat(fd, name.bytes, 0));
        return;
    }
    snprintf(aside, sizeof aside, "removed/%llu", (unsigned long long)unpacker->removed_count++);
    check(unpacker, renameat(fd, name.bytes, unpacker->holder_fd, aside));
    forget(unpacker, directory);
}

static struct directory *make_implied(struct unpacker *unpacker, struct directory *parent,
                                      struct text name)
{
    unsigned flags = IMPLIED | (is_hidden(parent) ? 0 : PASSED);
    int fd = directory_fd(unpacker, parent);
    int result = mkdirat(fd, name.bytes, 0755);
    if (result < 0 && errno == EEXIST) {
        if (!is_whiteout(unpacker, parent, name))
            fail(unpacker, FAIL_PARENT, 0);
        /* The directory of that name below is gone, this one is new. */
        clear_name(unpacker, parent, name);
        flags = OPAQUE;
        result = mkdirat(directory_fd(unpacker, parent), name.bytes, 0755);
    }
    check(unpacker, result);
    struct directory *made = add_directory(unpacker, parent, name, flags);
    unpacker->passed |= (flags & PASSED) != 0;
    if (parent->gid != 0)
        check(unpacker,
              fchownat(directory_fd(unpacker, parent), made->name, 0, 0, AT_SYMLINK_NOFOLLOW));
    if (parent->gid != 0)
        check(unpacker, fchmodat(directory_fd(unpacker, parent), made->name, 0755, 0));
    made->gid = 0;
    return made;
}

struct walk {
    int links;
    enum purpose purpose;
};

static struct directory *walk(struct unpacker *unpacker, struct walk *how, struct directory *at,
                              struct text path);

/* As readlinkat(2), of the layer, or of those below where it has nothing. */
static ssize_t read_link(struct unpacker *unpacker, struct directory *at, struct text name,
                         char *target, size_t size)
{
    ssize_t length = readlinkat(directory_fd(unpacker, at), name.bytes, target, size);
    if (length < 0 && errno != ENOENT && errno != EINVAL)
        fail(unpacker, FAIL_SYSTEM, errno);
    if (length < 0 && errno == ENOENT && unpacker->view_fd >= 0)
        length = read_link_below(unpacker, at, name, target, size);
    return length;
}

/* Can a whiteout there hide nothing, because nothing of the layers below is seen there? */
static bool is_vain(struct unpacker *unpacker, struct directory *at, struct text name)
{
    struct stat status;
    if (is_hidden(at) || (unpacker->view_fd >= 0 && !is_directory_below(unpacker, at, name)))
        return true;
    return fstatat(directory_fd(unpacker, at), name.bytes, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           is_whiteout(unpacker, at, name);
}

/* One step.  NULL: there is no such directory, and none is to be made. */
static struct directory *step(struct unpacker *unpacker, struct walk *how, struct directory *at,
                              struct text name)
{
    char target[PATH_MAX];
    struct directory *child = find_directory(unpacker, at, name);
    if (child != NULL)
        return child;
    ssize_t length = read_link(unpacker, at, name, target, sizeof target - 1);
    if (length < 0) {
        bool none = how->purpose == LOOK || (how->purpose == HIDE && is_vain(unpacker, at, name));
        return none ? NULL : make_implied(unpacker, at, name);
    }
    if (++how->links > LINKS_LIMIT)
        fail(unpacker, FAIL_LINK_LOOP, ELOOP);
    target[length] = '\0';
    struct text rest = {target, (size_t)length};
    return walk(unpacker, how, target[0] == '/' ? unpacker->root : at, rest);
}

static struct directory *walk(struct unpacker *unpacker, struct walk *how, struct directory *at,
                              struct text path)
{
    char *position = path.bytes, *end = path.bytes + path.length;
    while (position < end && at != NULL) {
        char *slash = memchr(position, '/', (size_t)(end - position));
        char *stop = slash == NULL ? end : slash;
        struct text name = {position, (size_t)(stop - position)};
        position = slash == NULL ? end : slash + 1;
        if (name.length == 0 || (name.length == 1 && name.bytes[0] == '.'))
            continue;
        /* Only links may have it; the root's parent is the root. */
        if (name.length == 2 && memcmp(name.bytes, "..", 2) == 0) {
            at = at->parent == NULL ? at : at->parent;
            continue;
        }
        char kept = *stop;
        *stop = '\0';
        at = step(unpacker, how, at, name);
        *stop = kept;
    }
    return at;
}

/* Go to a directory by its name in the archive.  Missing ones are made, as implied ones, but to
 * LOOK, or to HIDE what is hidden.  NULL: not there. */
struct directory *enter(struct unpacker *unpacker, struct text path, enum purpose purpose)
{
    struct walk how = {.links = 0, .purpose = purpose};
    return walk(unpacker, &how, unpacker->root, path);
}
