/* unpack.h: what the parts of pyrunc-unpack share.
 *
 * pyrunc-unpack applies one layer tar, read from a pipe, to a directory that it can't leave.  Any
 * doubt ends the program: fail() reports and exits, and the caller throws the directory away; so
 * nothing here undoes anything.
 */
#ifndef PYRUNC_UNPACK_H
#define PYRUNC_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { STDIN = 0, REPORT = 3, HOLDER = 4, VIEW = 6, FIRST_CLOSED = 7 };
enum {
    BLOCK = 512,
    INPUT_SIZE = 1 << 20,
    HEADERS_LIMIT = 1 << 20, /* bytes of extended headers of one entry */
    HEADERS_COUNT = 64,      /* how many of them */
    NAME_LIMIT = 1 << 16,    /* bytes of a path */
    NAME_MAX_BYTES = 255,
    DEPTH_LIMIT = 2048,
    LINKS_LIMIT = 40,
    XATTRS_LIMIT = 256,
    SPARSE_LIMIT = 1 << 18,
};

/* Why an archive is refused.  storage/tar_apply.py has the words, by number. */
enum failure {
    FAIL_SYSTEM = 1, /* a system call: see the errno */
    FAIL_TRUNCATED,
    FAIL_CHECKSUM,
    FAIL_NUMBER,
    FAIL_SIZE,
    FAIL_TYPE,
    FAIL_EMPTY_NAME,
    FAIL_NUL_IN_NAME,
    FAIL_DOT_DOT,
    FAIL_LONG_NAME,
    FAIL_ROOT_TYPE,
    FAIL_WHITEOUT,
    FAIL_PARENT,
    FAIL_LINK_LOOP,
    FAIL_LINK_TARGET,
    FAIL_LINK_ITSELF,
    FAIL_LINK_DIRECTORY,
    FAIL_OWNER,
    FAIL_DEVICE,
    FAIL_PAX,
    FAIL_HEADERS,
    FAIL_SPARSE,
    FAIL_ZERO_BLOCK,
    FAIL_BYTES_LIMIT,
    FAIL_ENTRIES_LIMIT,
    FAIL_SPACE,
    FAIL_MEMORY,
    FAIL_CONFINE,
    FAIL_DATA, /* an entry without content has some */
    FAIL_XATTR,
};

struct text {
    char *bytes; /* ends with a NUL that is not counted */
    size_t length;
};

struct xattr {
    struct text name;
    struct text value;
};

struct extent {
    uint64_t offset;
    uint64_t length;
};

struct time {
    int64_t seconds;
    long nanoseconds;
};

/* One entry after all its headers are read: plain values, checked. */
struct entry {
    char type;
    struct text name;
    struct text link;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t major;
    uint32_t minor;
    struct time mtime;
    uint64_t stored;   /* bytes of content in the archive */
    uint64_t apparent; /* bytes of the file: more than `stored` for sparse ones */
    struct xattr xattrs[XATTRS_LIMIT];
    size_t xattr_count;
    struct extent *extents; /* NULL: not sparse */
    size_t extent_count;
};

enum {
    IMPLIED = 1, /* no entry of its own: the layers below know its owner and mode */
    OPAQUE = 2,  /* hides what the layers below have in it */
    GONE = 4,    /* another entry took its place */
    PASSED = 8,  /* was made for want of an entry: if a link is below, the order decides */
    OWN = 16,    /* an entry of this layer, or with one in it; no whiteout is one */
    XATTRS = 32, /* has some */
};

/* A directory of the layer.  All are known: nobody else writes here, so what is not in the table is
 * no directory. */
struct directory {
    struct directory *parent; /* NULL: the root */
    struct directory *next;   /* same bucket */
    struct directory *after;  /* made after this one; parents always come first */
    char *name;
    size_t length;
    struct time mtime;
    uint32_t gid;
    unsigned depth;
    unsigned flags;
    int fd; /* O_PATH, -1 while closed */
};

/* A hard link to a name that this archive does not have. */
struct pending_link {
    struct pending_link *next;
    struct directory *parent;
    char *name;
    char *target;
};

/* Something in the tree that is not this layer's own. */
struct mark {
    struct mark *next; /* same bucket */
    struct directory *parent;
    char *name;
    uint64_t inode; /* 0: a whiteout; else a copy of a file below */
};

struct limits {
    uint64_t bytes;
    uint64_t entries;
    uint64_t reserve_bytes;
};

enum { OPEN_DIRECTORIES = 128, MARK_BUCKETS = 1 << 12 };

struct unpacker {
    struct limits limits;
    int holder_fd; /* tree/ and removed/ */
    int view_fd;   /* the layers below, -1 while they are not known */
    struct directory *root;
    struct directory *last;
    struct directory **buckets;
    size_t bucket_count;
    size_t directory_count;
    struct directory *open[OPEN_DIRECTORIES]; /* in order of opening, oldest at `open_next` */
    size_t open_next;
    struct pending_link *links;
    struct pending_link **links_end;
    struct mark *marks[MARK_BUCKETS];
    struct entry entry;
    bool root_explicit;
    bool passed; /* there is a directory with that flag */
    uint64_t removed_count;
    uint64_t entry_count;
    uint64_t content_bytes;
    uint64_t stored_bytes;
    uint64_t xattrs_skipped;
    uint64_t ignored_count;
    bool ended; /* the end-of-archive blocks were there */
    /* input */
    unsigned char *buffer;
    size_t begin;
    size_t end;
    uint64_t offset; /* of `begin` in the archive */
    /* memory */
    char *arena;
    size_t arena_left;
    char *headers; /* HEADERS_LIMIT bytes, reused for every entry */
    size_t headers_used;
};

/* unpack.c */
_Noreturn void fail(struct unpacker *unpacker, enum failure why, int error);
void *keep(struct unpacker *unpacker, size_t size);
char *keep_text(struct unpacker *unpacker, const char *bytes, size_t length);

/* unpack_confine.c */
void confine(struct unpacker *unpacker);

/* unpack_input.c */
bool fill(struct unpacker *unpacker, size_t size);
void take(struct unpacker *unpacker, void *into, size_t size);
void skip(struct unpacker *unpacker, uint64_t size);
void copy_to_file(struct unpacker *unpacker, int fd, uint64_t size);
void drain(struct unpacker *unpacker);

/* unpack_header.c */
bool next_entry(struct unpacker *unpacker);

/* unpack_pax.c */
struct pax {
    struct text path, link, sparse_name;
    bool has_size, has_uid, has_gid, has_mtime, has_sparse_size;
    uint64_t size, sparse_size;
    uint64_t uid, gid;
    struct time mtime;
    uint64_t sparse_major, sparse_minor;
};
void read_pax(struct unpacker *unpacker, struct pax *pax, struct text content);
bool parse_decimal(const char *bytes, size_t length, uint64_t *value);

/* unpack_sparse.c */
void add_extent(struct unpacker *unpacker, uint64_t offset, uint64_t length);
void read_gnu_sparse(struct unpacker *unpacker, const unsigned char *header);
void read_pax_sparse_map(struct unpacker *unpacker);
void check_extents(struct unpacker *unpacker);

/* unpack_tree.c */
enum purpose { LOOK, HIDE, MAKE }; /* what a name's missing parents are for */
size_t hash_name(const struct directory *parent, struct text name);
char *directory_path(struct unpacker *unpacker, const struct directory *directory, char *begin,
                     char *end);
void make_root(struct unpacker *unpacker);
int directory_fd(struct unpacker *unpacker, struct directory *directory);
struct directory *find_directory(struct unpacker *unpacker, struct directory *parent,
                                 struct text name);
struct directory *add_directory(struct unpacker *unpacker, struct directory *parent,
                                struct text name, unsigned flags);
struct directory *enter(struct unpacker *unpacker, struct text path, enum purpose purpose);
void clear_name(struct unpacker *unpacker, struct directory *parent, struct text name);
bool is_whiteout(struct unpacker *unpacker, struct directory *parent, struct text name);

/* unpack_below.c */
bool is_hidden(const struct directory *directory);
ssize_t read_link_below(struct unpacker *unpacker, const struct directory *parent, struct text name,
                        char *target, size_t size);
bool is_directory_below(struct unpacker *unpacker, const struct directory *parent,
                        struct text name);
void mark_foreign(struct unpacker *unpacker, struct directory *parent, struct text name,
                  uint64_t inode);
bool is_copy(struct unpacker *unpacker, const struct directory *parent, struct text name);
void drop_hidden(struct unpacker *unpacker);
bool copy_up(struct unpacker *unpacker, struct directory *parent, struct text name);

/* unpack_entry.c */
void apply_entry(struct unpacker *unpacker);

/* unpack_report.c */
void finish(struct unpacker *unpacker);
void send_packet(const void *bytes, size_t size);

#endif
