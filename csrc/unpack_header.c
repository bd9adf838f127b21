/* unpack_header.c: from 512-byte blocks to one entry.
 *
 * Reads ustar, pax and GNU long names.  Header chains are read in a loop, bounded in number and
 * bytes.
 * Source: POSIX pax(1p) (ustar and pax interchange formats); GNU tar manual, "Basic Tar Format".
 */
#include "unpack.h"

#include <string.h>

enum {
    NAME_AT = 0,
    NAME_SIZE = 100,
    MODE_AT = 100,
    UID_AT = 108,
    GID_AT = 116,
    SIZE_AT = 124,
    MTIME_AT = 136,
    CHECKSUM_AT = 148,
    TYPE_AT = 156,
    LINK_AT = 157,
    MAGIC_AT = 257,
    MAJOR_AT = 329,
    MINOR_AT = 337,
    PREFIX_AT = 345,
    PREFIX_SIZE = 155,
    SHORT_FIELD = 8,
    LONG_FIELD = 12,
};

static bool is_padding(unsigned char byte)
{
    return byte == ' ' || byte == '\0';
}

/* Base-256: two's complement; the first byte marks it, and has no other bits of the number in any
 * tar that GNU tar would read. */
static bool parse_binary(const unsigned char *field, size_t size, int64_t *value)
{
    bool negative = field[0] == 0xff;
    unsigned char fill_byte = negative ? 0xff : 0;
    uint64_t number = negative ? UINT64_MAX : 0;
    if (field[0] != 0x80 && !negative)
        return false;
    for (size_t i = 1; i < size; i++) {
        if (i + 8 < size && field[i] != fill_byte)
            return false;
        number = number << 8 | field[i];
    }
    *value = (int64_t)number;
    return (*value < 0) == negative;
}

static int64_t parse_number(struct unpacker *unpacker, const unsigned char *field, size_t size)
{
    int64_t value = 0;
    size_t i = 0;
    if (field[0] & 0x80) {
        if (!parse_binary(field, size, &value))
            fail(unpacker, FAIL_NUMBER, 0);
        return value;
    }
    while (i < size && is_padding(field[i]))
        i++;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++)
        value = value * 8 + (field[i] - '0');
    for (; i < size; i++)
        if (!is_padding(field[i]))
            fail(unpacker, FAIL_NUMBER, 0);
    return value;
}

static bool is_zero(const unsigned char *block)
{
    return block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}

static void check_sum(struct unpacker *unpacker, const unsigned char *block)
{
    int64_t wanted = parse_number(unpacker, block + CHECKSUM_AT, SHORT_FIELD);
    int64_t plain = 0, with_signs = 0;
    for (int i = 0; i < BLOCK; i++) {
        bool own = i >= CHECKSUM_AT && i < CHECKSUM_AT + SHORT_FIELD;
        unsigned char byte = own ? ' ' : block[i];
        plain += byte;
        with_signs += (signed char)byte;
    }
    if (wanted != plain && wanted != with_signs)
        fail(unpacker, FAIL_CHECKSUM, 0);
}

static char *header_space(struct unpacker *unpacker, size_t size)
{
    if (size > HEADERS_LIMIT - unpacker->headers_used)
        fail(unpacker, FAIL_HEADERS, 0);
    char *space = unpacker->headers + unpacker->headers_used;
    unpacker->headers_used += size;
    return space;
}

static uint64_t padded(uint64_t size)
{
    return (BLOCK - size % BLOCK) % BLOCK;
}

static uint64_t read_size(struct unpacker *unpacker, const unsigned char *block)
{
    int64_t size = parse_number(unpacker, block + SIZE_AT, LONG_FIELD);
    if (size < 0 || (uint64_t)size > INT64_MAX - 2 * BLOCK)
        fail(unpacker, FAIL_SIZE, 0);
    return (uint64_t)size;
}

/* Read the content of an extended header into the header space, with a NUL behind it. */
static struct text read_content(struct unpacker *unpacker, const unsigned char *block)
{
    uint64_t size = read_size(unpacker, block);
    if (size >= HEADERS_LIMIT)
        fail(unpacker, FAIL_HEADERS, 0);
    struct text content = {header_space(unpacker, (size_t)size + 1), (size_t)size};
    take(unpacker, content.bytes, content.length);
    content.bytes[content.length] = '\0';
    skip(unpacker, padded(size));
    return content;
}

static struct text gnu_name(struct unpacker *unpacker, struct text content)
{
    struct text name = {content.bytes, strlen(content.bytes)};
    for (size_t i = name.length; i < content.length; i++)
        if (content.bytes[i] != '\0')
            fail(unpacker, FAIL_NUL_IN_NAME, 0);
    if (name.length == 0)
        fail(unpacker, FAIL_EMPTY_NAME, 0);
    return name;
}

static struct text field_text(struct unpacker *unpacker, const unsigned char *field, size_t size)
{
    size_t length = strnlen((const char *)field, size);
    struct text text = {header_space(unpacker, length + 1), length};
    memcpy(text.bytes, field, length);
    text.bytes[length] = '\0';
    return text;
}

static struct text header_name(struct unpacker *unpacker, const unsigned char *block)
{
    const unsigned char *prefix = block + PREFIX_AT;
    struct text name = field_text(unpacker, block + NAME_AT, NAME_SIZE);
    /* GNU's magic is "ustar  ": it keeps other things where POSIX has the prefix. */
    if (memcmp(block + MAGIC_AT, "ustar", 6) != 0 || prefix[0] == '\0')
        return name;
    size_t length = strnlen((const char *)prefix, PREFIX_SIZE);
    struct text joined = {header_space(unpacker, length + name.length + 2),
                          length + name.length + 1};
    memcpy(joined.bytes, prefix, length);
    joined.bytes[length] = '/';
    memcpy(joined.bytes + length + 1, name.bytes, name.length + 1);
    return joined;
}

static uint32_t read_id(struct unpacker *unpacker, bool has, uint64_t other,
                        const unsigned char *field)
{
    int64_t value = has ? (int64_t)other : parse_number(unpacker, field, SHORT_FIELD);
    /* Kernel: 2^32 - 1 means "leave it". */
    if (value < 0 || value >= UINT32_MAX)
        fail(unpacker, FAIL_OWNER, 0);
    return (uint32_t)value;
}

static uint32_t read_device(struct unpacker *unpacker, const unsigned char *field, uint32_t most)
{
    int64_t value = parse_number(unpacker, field, SHORT_FIELD);
    if (value < 0 || value > most)
        fail(unpacker, FAIL_DEVICE, 0);
    return (uint32_t)value;
}

static void read_sparse(struct unpacker *unpacker, const struct pax *pax,
                        const unsigned char *block)
{
    struct entry *entry = &unpacker->entry;
    if (entry->type != 'S' && entry->type != '0' && (entry->extents || pax->sparse_major))
        fail(unpacker, FAIL_SPARSE, 0);
    if (entry->type == 'S') {
        entry->type = '0';
        entry->apparent = (uint64_t)parse_number(unpacker, block + 483, LONG_FIELD);
        read_gnu_sparse(unpacker, block);
    } else if (pax->sparse_major == 1 && pax->sparse_minor == 0) {
        read_pax_sparse_map(unpacker);
    } else if (pax->sparse_major != 0) {
        fail(unpacker, FAIL_SPARSE, 0);
    }
    if (entry->extents == NULL)
        return;
    if (pax->has_sparse_size)
        entry->apparent = pax->sparse_size;
    if (pax->sparse_name.bytes != NULL)
        entry->name = pax->sparse_name;
    check_extents(unpacker);
}

static void set_values(struct unpacker *unpacker, const struct pax *pax, const unsigned char *block)
{
    struct entry *entry = &unpacker->entry;
    int64_t mode = parse_number(unpacker, block + MODE_AT, SHORT_FIELD);
    if (mode < 0)
        fail(unpacker, FAIL_NUMBER, 0);
    entry->mode = (uint32_t)mode & 07777;
    entry->uid = read_id(unpacker, pax->has_uid, pax->uid, block + UID_AT);
    entry->gid = read_id(unpacker, pax->has_gid, pax->gid, block + GID_AT);
    if (pax->has_mtime)
        entry->mtime = pax->mtime;
    else
        entry->mtime.seconds = parse_number(unpacker, block + MTIME_AT, LONG_FIELD);
    if (entry->type == '3' || entry->type == '4') {
        entry->major = read_device(unpacker, block + MAJOR_AT, 0xfff);
        entry->minor = read_device(unpacker, block + MINOR_AT, 0xfffff);
    }
    /* One size for what is skipped and what is content: readers that disagree are attacked so. */
    entry->stored = pax->has_size ? pax->size : read_size(unpacker, block);
    entry->apparent = entry->stored;
    if (entry->stored > INT64_MAX - 2 * BLOCK)
        fail(unpacker, FAIL_SIZE, 0);
}

static void complete(struct unpacker *unpacker, const struct pax *pax, const unsigned char *block)
{
    struct entry *entry = &unpacker->entry;
    entry->type = (char)block[TYPE_AT];
    if (pax->path.bytes != NULL)
        entry->name = pax->path;
    else if (entry->name.bytes == NULL)
        entry->name = header_name(unpacker, block);
    if (pax->link.bytes != NULL)
        entry->link = pax->link;
    else if (entry->link.bytes == NULL)
        entry->link = field_text(unpacker, block + LINK_AT, NAME_SIZE);
    set_values(unpacker, pax, block);
    if (entry->type == '\0' || entry->type == '7')
        entry->type = '0';
    read_sparse(unpacker, pax, block);
    /* Before there was a type for it, a directory was a file whose name ends with a slash. */
    if (entry->type == '0' && entry->name.length > 0 && entry->stored == 0 &&
        entry->name.bytes[entry->name.length - 1] == '/')
        entry->type = '5';
}

/* The archive ends with two blocks of zeros; one alone, or none, is a common flaw of writers. */
static bool at_end(struct unpacker *unpacker)
{
    unsigned char block[BLOCK];
    if (!fill(unpacker, 1))
        return true;
    if (!fill(unpacker, BLOCK))
        fail(unpacker, FAIL_TRUNCATED, 0);
    if (!is_zero(unpacker->buffer + unpacker->begin))
        return false;
    take(unpacker, block, BLOCK);
    unpacker->ended = true;
    if (!fill(unpacker, BLOCK))
        return true;
    if (!is_zero(unpacker->buffer + unpacker->begin))
        fail(unpacker, FAIL_ZERO_BLOCK, 0);
    return true;
}

/* Read all headers of the next entry into unpacker->entry; false at the end of the archive. */
bool next_entry(struct unpacker *unpacker)
{
    struct pax pax = {0};
    struct entry *entry = &unpacker->entry;
    unpacker->headers_used = 0;
    entry->name = entry->link = (struct text){0};
    entry->xattr_count = entry->extent_count = 0;
    entry->extents = NULL;
    entry->mtime = (struct time){0};
    for (int count = 0; count <= HEADERS_COUNT; count++) {
        unsigned char block[BLOCK];
        if (at_end(unpacker)) {
            if (count > 0)
                fail(unpacker, FAIL_TRUNCATED, 0);
            return false;
        }
        take(unpacker, block, BLOCK);
        check_sum(unpacker, block);
        switch (block[TYPE_AT]) {
        case 'x':
            read_pax(unpacker, &pax, read_content(unpacker, block));
            break;
        case 'g': /* says nothing that an image needs, and a global path is an attack */
            read_content(unpacker, block);
            break;
        case 'L':
            entry->name = gnu_name(unpacker, read_content(unpacker, block));
            break;
        case 'K':
            entry->link = gnu_name(unpacker, read_content(unpacker, block));
            break;
        default:
            complete(unpacker, &pax, block);
            return true;
        }
    }
    fail(unpacker, FAIL_HEADERS, 0);
}
