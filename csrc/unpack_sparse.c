/* unpack_sparse.c: which parts of a sparse file are in the archive?
 *
 * Source: GNU tar manual, "Storing Sparse Files" (old GNU format, pax 0.0, 0.1, 1.0).
 */
#include "unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER = 12,
    IN_HEADER_AT = 386,
    IN_HEADER = 4,
    MORE_AT = 482,
    IN_BLOCK = 21,
    MORE_IN_BLOCK_AT = 504,
    DIGITS = 20,
};

void add_extent(struct unpacker *unpacker, uint64_t offset, uint64_t length)
{
    struct entry *entry = &unpacker->entry;
    static struct extent *extents; /* one array for the whole run, SPARSE_LIMIT long */
    if (extents == NULL)
        extents = malloc(SPARSE_LIMIT * sizeof *extents);
    if (extents == NULL)
        fail(unpacker, FAIL_MEMORY, ENOMEM);
    if (entry->extent_count == SPARSE_LIMIT)
        fail(unpacker, FAIL_SPARSE, 0);
    entry->extents = extents;
    extents[entry->extent_count++] = (struct extent){offset, length};
}

static bool octal(const unsigned char *field, uint64_t *value)
{
    uint64_t number = 0;
    size_t i = 0;
    if (field[0] == 0x80) {
        bool fits = field[1] == 0 && field[2] == 0 && field[3] == 0 && field[4] < 0x80;
        for (i = 4; i < NUMBER; i++)
            number = number << 8 | field[i];
        *value = number;
        return fits;
    }
    for (; i < NUMBER && field[i] >= '0' && field[i] <= '7'; i++)
        number = number * 8 + (uint64_t)(field[i] - '0');
    *value = number;
    return i > 0 && (i == NUMBER || field[i] == '\0' || field[i] == ' ');
}

/* Read `count` pairs; an empty field ends the list. */
static bool read_pairs(struct unpacker *unpacker, const unsigned char *at, int count)
{
    for (int i = 0; i < count; i++, at += 2 * NUMBER) {
        uint64_t offset, length;
        if (at[0] == '\0')
            return false;
        if (!octal(at, &offset) || !octal(at + NUMBER, &length))
            fail(unpacker, FAIL_SPARSE, 0);
        add_extent(unpacker, offset, length);
    }
    return true;
}

void read_gnu_sparse(struct unpacker *unpacker, const unsigned char *header)
{
    unsigned char block[BLOCK];
    read_pairs(unpacker, header + IN_HEADER_AT, IN_HEADER);
    bool more = header[MORE_AT] != '\0';
    while (more) {
        take(unpacker, block, BLOCK);
        read_pairs(unpacker, block, IN_BLOCK);
        more = block[MORE_IN_BLOCK_AT] != '\0';
        if (more && block[0] == '\0')
            fail(unpacker, FAIL_SPARSE, 0);
    }
    if (unpacker->entry.extent_count == 0)
        add_extent(unpacker, unpacker->entry.apparent, 0);
}

/* A decimal number and a newline, from the entry's content. */
static uint64_t read_line(struct unpacker *unpacker, uint64_t *used)
{
    char digits[DIGITS];
    uint64_t value;
    for (size_t length = 0; length < DIGITS; length++) {
        if (*used == unpacker->entry.stored)
            fail(unpacker, FAIL_SPARSE, 0);
        take(unpacker, digits + length, 1);
        ++*used;
        if (digits[length] == '\n') {
            if (!parse_decimal(digits, length, &value))
                fail(unpacker, FAIL_SPARSE, 0);
            return value;
        }
    }
    fail(unpacker, FAIL_SPARSE, 0);
}

/* Version 1.0: the map stands before the content, padded to whole blocks. */
void read_pax_sparse_map(struct unpacker *unpacker)
{
    struct entry *entry = &unpacker->entry;
    uint64_t used = 0;
    uint64_t count = read_line(unpacker, &used);
    entry->extent_count = 0;
    if (count > SPARSE_LIMIT)
        fail(unpacker, FAIL_SPARSE, 0);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t offset = read_line(unpacker, &used);
        add_extent(unpacker, offset, read_line(unpacker, &used));
    }
    if (count == 0)
        add_extent(unpacker, 0, 0);
    uint64_t padding = (BLOCK - used % BLOCK) % BLOCK;
    if (padding > entry->stored - used)
        fail(unpacker, FAIL_SPARSE, 0);
    skip(unpacker, padding);
    entry->stored -= used + padding;
}

/* In order, apart, inside the file, and as long together as the content. */
void check_extents(struct unpacker *unpacker)
{
    struct entry *entry = &unpacker->entry;
    uint64_t end = 0, sum = 0;
    for (size_t i = 0; i < entry->extent_count; i++) {
        struct extent *extent = &entry->extents[i];
        if (extent->offset < end || extent->length > INT64_MAX ||
            extent->offset > INT64_MAX - extent->length)
            fail(unpacker, FAIL_SPARSE, 0);
        end = extent->offset + extent->length;
        sum += extent->length;
    }
    if (entry->apparent > INT64_MAX || end > entry->apparent || sum != entry->stored)
        fail(unpacker, FAIL_SPARSE, 0);
}
