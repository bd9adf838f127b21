/* unpack_entry.c: one entry becomes one file.
 *
 * Order of attributes: content, owner, mode (a change of owner clears setuid), xattrs (a change of
 * owner clears file capabilities), times.  Nothing here follows a link.
 * Source: image-spec layer.md (Changeset, Whiteouts).
 */
#define _GNU_SOURCE
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { CHECK_BYTES = 1 << 26, CHECK_ENTRIES = 1 << 14, SPECIAL_BITS = 07000 };

static const char WHITEOUT[] = ".wh.", RESERVED[] = ".wh..wh.", MAKE_OPAQUE[] = ".wh..wh..opq";

/* Where an entry goes. */
struct place {
    struct directory *parent;
    struct text name;
};

static void check(struct unpacker *unpacker, int result)
{
    if (result < 0)
        fail(unpacker, FAIL_SYSTEM, errno);
}

static bool starts_with(struct text text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.bytes, prefix, length) == 0;
}

static void check_space(struct unpacker *unpacker)
{
    struct statvfs space;
    check(unpacker, fstatvfs(unpacker->holder_fd, &space));
    if ((uint64_t)space.f_bavail * space.f_frsize < unpacker->limits.reserve_bytes)
        fail(unpacker, FAIL_SPACE, ENOSPC);
}

static void count(struct unpacker *unpacker)
{
    struct entry *entry = &unpacker->entry;
    if (++unpacker->entry_count > unpacker->limits.entries)
        fail(unpacker, FAIL_ENTRIES_LIMIT, 0);
    if (entry->type != '0')
        return;
    if (entry->stored > unpacker->limits.bytes - unpacker->stored_bytes ||
        entry->apparent > unpacker->limits.bytes)
        fail(unpacker, FAIL_BYTES_LIMIT, 0);
    unpacker->stored_bytes += entry->stored;
    unpacker->content_bytes += entry->apparent;
}

/* Is there something left of the name without slashes and dots?  Drops them at the end. */
static bool trim(struct text *name)
{
    while (name->length > 0) {
        char last = name->bytes[name->length - 1];
        bool dot = last == '.' && (name->length == 1 || name->bytes[name->length - 2] == '/');
        if (last != '/' && !dot)
            return true;
        name->length--;
    }
    return false;
}

/* Look at each component.  False: the entry is one of aufs's own and means nothing here. */
static bool check_components(struct unpacker *unpacker, struct text path)
{
    char *position = path.bytes, *end = path.bytes + path.length;
    while (position < end) {
        char *slash = memchr(position, '/', (size_t)(end - position));
        char *stop = slash == NULL ? end : slash;
        struct text name = {position, (size_t)(stop - position)};
        if (name.length == 2 && memcmp(name.bytes, "..", 2) == 0)
            fail(unpacker, FAIL_DOT_DOT, 0);
        if (name.length > NAME_MAX_BYTES)
            fail(unpacker, FAIL_LONG_NAME, 0);
        if (slash != NULL && starts_with(name, RESERVED))
            return false;
        if (slash != NULL && starts_with(name, WHITEOUT))
            fail(unpacker, FAIL_WHITEOUT, 0);
        position = stop + 1;
    }
    return true;
}

static void check_name(struct unpacker *unpacker, struct text name)
{
    if (name.length == 0)
        fail(unpacker, FAIL_EMPTY_NAME, 0);
    if (name.length >= NAME_LIMIT)
        fail(unpacker, FAIL_LONG_NAME, 0);
}

/* Cut "a/b/c" into the text before the last slash and the last component. */
static struct text split(struct text path, struct text *last)
{
    char *slash = memrchr(path.bytes, '/', path.length);
    size_t head = slash == NULL ? 0 : (size_t)(slash - path.bytes);
    char *start = slash == NULL ? path.bytes : slash + 1;
    *last = (struct text){start, path.length - (size_t)(start - path.bytes)};
    path.bytes[path.length] = '\0';
    return (struct text){path.bytes, head};
}

static bool has_parent_group(const struct place *place)
{
    /* Kernel: below a setgid directory, and on some mounts below any, the group is inherited. */
    return place->parent->gid != 0;
}

/* Kernel: ext4 says ENOSPC of attributes that are too large for it, too. */
static _Noreturn void refuse_xattr(struct unpacker *unpacker, int error)
{
    struct statvfs space;
    bool full = fstatvfs(unpacker->holder_fd, &space) == 0 && space.f_bavail == 0;
    bool large = error == ERANGE || error == E2BIG || (error == ENOSPC && !full);
    fail(unpacker, large ? FAIL_XATTR : FAIL_SYSTEM, error);
}

static void set_xattrs(struct unpacker *unpacker, int fd)
{
    struct entry *entry = &unpacker->entry;
    for (size_t i = 0; i < entry->xattr_count; i++) {
        struct xattr *xattr = &entry->xattrs[i];
        if (fsetxattr(fd, xattr->name.bytes, xattr->value.bytes, xattr->value.length, 0) == 0)
            continue;
        if (starts_with(xattr->name, "security.") || errno != EOPNOTSUPP)
            refuse_xattr(unpacker, errno);
        unpacker->xattrs_skipped++;
    }
}

static struct timespec as_timespec(struct time time)
{
    return (struct timespec){.tv_sec = time.seconds, .tv_nsec = time.nanoseconds};
}

static void set_link_attributes(struct unpacker *unpacker, const struct place *place)
{
    struct entry *entry = &unpacker->entry;
    int fd = directory_fd(unpacker, place->parent);
    struct timespec times[2] = {as_timespec(entry->mtime), as_timespec(entry->mtime)};
    if (entry->uid != 0 || entry->gid != 0 || has_parent_group(place))
        check(unpacker,
              fchownat(fd, place->name.bytes, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW));
    /* A node that was just made is no link, and nobody else is here to change that. */
    if (entry->type != '2')
        check(unpacker, fchmodat(fd, place->name.bytes, entry->mode, 0));
    check(unpacker, utimensat(fd, place->name.bytes, times, AT_SYMLINK_NOFOLLOW));
    if (entry->xattr_count > 0)
        unpacker->xattrs_skipped += entry->xattr_count;
}

static void write_sparse(struct unpacker *unpacker, int fd)
{
    struct entry *entry = &unpacker->entry;
    check(unpacker, ftruncate(fd, (off_t)entry->apparent));
    for (size_t i = 0; i < entry->extent_count; i++) {
        if (lseek(fd, (off_t)entry->extents[i].offset, SEEK_SET) < 0)
            fail(unpacker, FAIL_SYSTEM, errno);
        copy_to_file(unpacker, fd, entry->extents[i].length);
    }
}

static void make_file(struct unpacker *unpacker, const struct place *place)
{
    struct entry *entry = &unpacker->entry;
    struct timespec times[2] = {as_timespec(entry->mtime), as_timespec(entry->mtime)};
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    mode_t mode = entry->mode & ~(mode_t)SPECIAL_BITS;
    int fd = openat(directory_fd(unpacker, place->parent), place->name.bytes, flags, mode);
    if (fd < 0 && errno == EEXIST) {
        clear_name(unpacker, place->parent, place->name);
        fd = openat(directory_fd(unpacker, place->parent), place->name.bytes, flags, mode);
    }
    check(unpacker, fd);
    if (entry->extents != NULL)
        write_sparse(unpacker, fd);
    else
        copy_to_file(unpacker, fd, entry->stored);
    if (entry->uid != 0 || entry->gid != 0 || has_parent_group(place))
        check(unpacker, fchown(fd, entry->uid, entry->gid));
    if (entry->mode & SPECIAL_BITS)
        check(unpacker, fchmod(fd, entry->mode));
    set_xattrs(unpacker, fd);
    check(unpacker, futimens(fd, times));
    check(unpacker, close(fd));
}

/* Those that an entry before this one gave the same directory. */
static void drop_xattrs(struct unpacker *unpacker, int fd)
{
    static char names[1 << 16];
    ssize_t size = flistxattr(fd, names, sizeof names);
    check(unpacker, size < 0 ? -1 : 0);
    for (char *name = names; name < names + size; name += strlen(name) + 1)
        if (strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0)
            check(unpacker, fremovexattr(fd, name));
}

static void set_directory_xattrs(struct unpacker *unpacker, struct directory *directory)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(directory_fd(unpacker, directory), ".", flags);
    check(unpacker, fd);
    if (directory->flags & XATTRS)
        drop_xattrs(unpacker, fd);
    set_xattrs(unpacker, fd);
    check(unpacker, close(fd));
    directory->flags |= XATTRS;
}

static void set_directory_attributes(struct unpacker *unpacker, struct directory *directory)
{
    struct entry *entry = &unpacker->entry;
    int fd = directory_fd(unpacker, directory);
    check(unpacker, fchownat(fd, "", entry->uid, entry->gid, AT_EMPTY_PATH));
    /* "." of a directory that is held: no name to go wrong. */
    check(unpacker, fchmodat(fd, ".", entry->mode, 0));
    if (entry->xattr_count > 0 || (directory->flags & XATTRS))
        set_directory_xattrs(unpacker, directory);
    directory->gid = entry->gid;
    directory->mtime = entry->mtime;
    directory->flags &= ~(unsigned)IMPLIED;
}

static void mark_own(struct directory *directory)
{
    for (; directory != NULL && !(directory->flags & OWN); directory = directory->parent)
        directory->flags |= OWN;
}

static void make_directory(struct unpacker *unpacker, const struct place *place)
{
    struct directory *directory = find_directory(unpacker, place->parent, place->name);
    unsigned flags = 0;
    if (directory == NULL) {
        int fd = directory_fd(unpacker, place->parent);
        int result = mkdirat(fd, place->name.bytes, 0700);
        if (result < 0 && errno == EEXIST) {
            /* Whatever the layers below have under this name went with the file or whiteout. */
            clear_name(unpacker, place->parent, place->name);
            flags = OPAQUE;
            result = mkdirat(directory_fd(unpacker, place->parent), place->name.bytes, 0700);
        }
        check(unpacker, result);
        directory = add_directory(unpacker, place->parent, place->name, flags);
    }
    mark_own(directory);
    set_directory_attributes(unpacker, directory);
}

static void make_symlink(struct unpacker *unpacker, const struct place *place)
{
    struct entry *entry = &unpacker->entry;
    int fd = directory_fd(unpacker, place->parent);
    int result = symlinkat(entry->link.bytes, fd, place->name.bytes);
    if (result < 0 && errno == EEXIST) {
        clear_name(unpacker, place->parent, place->name);
        fd = directory_fd(unpacker, place->parent);
        result = symlinkat(entry->link.bytes, fd, place->name.bytes);
    }
    check(unpacker, result);
    set_link_attributes(unpacker, place);
}

static void make_whiteout(struct unpacker *unpacker, struct directory *parent, struct text name)
{
    struct directory *directory = find_directory(unpacker, parent, name);
    if (directory != NULL && (directory->flags & OWN)) { /* only what is below it goes */
        directory->flags = (directory->flags | OPAQUE) & ~(unsigned)IMPLIED;
        return;
    }
    if (directory != NULL || is_copy(unpacker, parent, name))
        clear_name(unpacker, parent, name);
    if (is_hidden(parent))
        return;
    int result = mknodat(directory_fd(unpacker, parent), name.bytes, S_IFCHR, makedev(0, 0));
    /* A name that this layer has already hides the one below. */
    if (result < 0 && errno != EEXIST)
        fail(unpacker, FAIL_SYSTEM, errno);
    if (result == 0)
        mark_foreign(unpacker, parent, name, 0);
}

/* The overlay's own whiteout, as tars of an upper directory have it. */
static bool is_overlay_whiteout(const struct entry *entry)
{
    return entry->type == '3' && makedev(entry->major, entry->minor) == makedev(0, 0);
}

static void make_node(struct unpacker *unpacker, const struct place *place)
{
    struct entry *entry = &unpacker->entry;
    mode_t type = entry->type == '3' ? S_IFCHR : entry->type == '4' ? S_IFBLK : S_IFIFO;
    dev_t device = entry->type == '6' ? 0 : makedev(entry->major, entry->minor);
    if (is_overlay_whiteout(entry)) {
        make_whiteout(unpacker, place->parent, place->name);
        return;
    }
    int fd = directory_fd(unpacker, place->parent);
    int result = mknodat(fd, place->name.bytes, type | 0600, device);
    if (result < 0 && errno == EEXIST) {
        clear_name(unpacker, place->parent, place->name);
        fd = directory_fd(unpacker, place->parent);
        result = mknodat(fd, place->name.bytes, type | 0600, device);
    }
    check(unpacker, result);
    set_link_attributes(unpacker, place);
}

/* The layers below may have the target: the caller looks when they are there. */
static void postpone_link(struct unpacker *unpacker, const struct place *place, struct text target)
{
    struct stat status;
    int fd = directory_fd(unpacker, place->parent);
    if (fstatat(fd, place->name.bytes, &status, AT_SYMLINK_NOFOLLOW) == 0)
        clear_name(unpacker, place->parent, place->name);
    struct pending_link *link = keep(unpacker, sizeof *link);
    *link = (struct pending_link){
        .parent = place->parent,
        .name = keep_text(unpacker, place->name.bytes, place->name.length),
        .target = keep_text(unpacker, target.bytes, target.length),
    };
    *unpacker->links_end = link;
    unpacker->links_end = &link->next;
}

static bool is_gone(const struct directory *directory)
{
    for (; directory != NULL; directory = directory->parent)
        if (directory->flags & GONE)
            return true;
    return false;
}

static int link_to(struct unpacker *unpacker, const struct place *source, const struct place *place)
{
    /* Opening the second directory may close the first. */
    int from = fcntl(directory_fd(unpacker, source->parent), F_DUPFD_CLOEXEC, 0);
    check(unpacker, from);
    int to = directory_fd(unpacker, place->parent);
    int result = linkat(from, source->name.bytes, to, place->name.bytes, 0);
    int error = errno;
    close(from);
    errno = error;
    return result;
}

static void make_hardlink(struct unpacker *unpacker, const struct place *place)
{
    struct text target = unpacker->entry.link;
    struct place source;
    check_name(unpacker, target);
    if (!trim(&target))
        fail(unpacker, FAIL_LINK_DIRECTORY, 0);
    if (!check_components(unpacker, target))
        fail(unpacker, FAIL_LINK_TARGET, 0);
    struct text parent = split(target, &source.name);
    if (starts_with(source.name, WHITEOUT))
        fail(unpacker, FAIL_LINK_TARGET, 0);
    source.parent = enter(unpacker, parent, unpacker->view_fd < 0 ? LOOK : MAKE);
    if (source.parent == NULL) {
        postpone_link(unpacker, place, target);
        return;
    }
    struct directory *directory = find_directory(unpacker, source.parent, source.name);
    if (directory != NULL && (directory->flags & IMPLIED) && unpacker->view_fd < 0) {
        postpone_link(unpacker, place, target); /* it may be a file below */
        return;
    }
    if (directory != NULL)
        fail(unpacker, FAIL_LINK_DIRECTORY, 0);
    if (source.parent == place->parent && source.name.length == place->name.length &&
        memcmp(source.name.bytes, place->name.bytes, place->name.length) == 0)
        fail(unpacker, FAIL_LINK_ITSELF, 0);
    int result = link_to(unpacker, &source, place);
    if (result < 0 && errno == ENOENT && unpacker->view_fd >= 0) {
        check_space(unpacker);
        if (!copy_up(unpacker, source.parent, source.name))
            fail(unpacker, FAIL_LINK_TARGET, 0);
        result = link_to(unpacker, &source, place);
    }
    if (result < 0 && errno == EEXIST) {
        clear_name(unpacker, place->parent, place->name);
        if (is_gone(source.parent)) /* it lay in what the link takes the place of */
            fail(unpacker, FAIL_LINK_TARGET, 0);
        result = link_to(unpacker, &source, place);
    }
    if (result < 0 && errno == ENOENT) {
        postpone_link(unpacker, place, target);
        return;
    }
    check(unpacker, result);
    if (is_whiteout(unpacker, place->parent, place->name))
        fail(unpacker, FAIL_LINK_TARGET, 0);
}

static void apply_whiteout(struct unpacker *unpacker, const struct place *place)
{
    struct text name = place->name;
    struct text hidden = {name.bytes + 4, name.length - 4};
    bool opaque = name.length == sizeof MAKE_OPAQUE - 1 && starts_with(name, MAKE_OPAQUE);
    skip(unpacker, unpacker->entry.stored);
    if (starts_with(name, RESERVED) && !opaque)
        unpacker->ignored_count++;
    else if (unpacker->entry.type != '0')
        fail(unpacker, FAIL_WHITEOUT, 0);
    else if (!opaque && (hidden.length == 0 || strcmp(hidden.bytes, ".") == 0 ||
                         strcmp(hidden.bytes, "..") == 0))
        fail(unpacker, FAIL_WHITEOUT, 0);
    else if (place->parent == NULL)
        return; /* in a directory that is not there */
    else if (opaque)
        place->parent->flags |= OPAQUE;
    else
        make_whiteout(unpacker, place->parent, hidden);
}

static void apply_root(struct unpacker *unpacker)
{
    if (unpacker->entry.type != '5')
        fail(unpacker, FAIL_ROOT_TYPE, 0);
    set_directory_attributes(unpacker, unpacker->root);
    unpacker->root_explicit = true;
}

static void check_content(struct unpacker *unpacker)
{
    struct entry *entry = &unpacker->entry;
    if (strchr("0123456", entry->type) == NULL || entry->type == '\0')
        fail(unpacker, FAIL_TYPE, 0);
    /* A hard link may repeat the content of its target. */
    if (entry->type != '0' && entry->type != '1' && entry->stored != 0)
        fail(unpacker, FAIL_DATA, 0);
}

static void apply_to(struct unpacker *unpacker, const struct place *place)
{
    if (!is_overlay_whiteout(&unpacker->entry))
        mark_own(place->parent);
    switch (unpacker->entry.type) {
    case '0':
        make_file(unpacker, place);
        break;
    case '1':
        make_hardlink(unpacker, place);
        skip(unpacker, unpacker->entry.stored);
        break;
    case '2':
        make_symlink(unpacker, place);
        break;
    case '5':
        make_directory(unpacker, place);
        break;
    default:
        make_node(unpacker, place);
    }
}

void apply_entry(struct unpacker *unpacker)
{
    struct entry *entry = &unpacker->entry;
    struct text path = entry->name;
    struct place place;
    uint64_t padding = (BLOCK - entry->stored % BLOCK) % BLOCK;
    uint64_t before = unpacker->stored_bytes;
    check_content(unpacker);
    check_name(unpacker, path);
    count(unpacker);
    if (!trim(&path)) {
        apply_root(unpacker);
        return;
    }
    if (check_components(unpacker, path)) {
        struct text parent = split(path, &place.name);
        bool hides = starts_with(place.name, WHITEOUT);
        bool only_hides = hides || is_overlay_whiteout(entry);
        place.parent = enter(unpacker, parent, only_hides ? HIDE : MAKE);
        if (hides)
            apply_whiteout(unpacker, &place);
        else if (place.parent != NULL)
            apply_to(unpacker, &place);
    } else {
        skip(unpacker, entry->stored);
        unpacker->ignored_count++;
    }
    skip(unpacker, padding);
    if (unpacker->entry_count % CHECK_ENTRIES == 0 ||
        before / CHECK_BYTES != unpacker->stored_bytes / CHECK_BYTES)
        check_space(unpacker);
}
