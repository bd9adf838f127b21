/* unpack_input.c: the pipe, in large pieces. */
#define _GNU_SOURCE
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { SPLICE_MINIMUM = 1 << 16 };

/* Read once into the buffer; false at the end of the pipe. */
static bool read_more(struct unpacker *unpacker)
{
    if (unpacker->begin == unpacker->end)
        unpacker->begin = unpacker->end = 0;
    ssize_t got;
    do
        got = read(STDIN, unpacker->buffer + unpacker->end, INPUT_SIZE - unpacker->end);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        fail(unpacker, FAIL_SYSTEM, errno);
    unpacker->end += (size_t)got;
    return got > 0;
}

/* Have at least `size` (at most INPUT_SIZE) bytes in one piece; false if the pipe ends before. */
bool fill(struct unpacker *unpacker, size_t size)
{
    if (unpacker->begin + size > INPUT_SIZE) {
        memmove(unpacker->buffer, unpacker->buffer + unpacker->begin,
                unpacker->end - unpacker->begin);
        unpacker->end -= unpacker->begin;
        unpacker->begin = 0;
    }
    while (unpacker->end - unpacker->begin < size)
        if (!read_more(unpacker))
            return false;
    return true;
}

static size_t buffered(const struct unpacker *unpacker, uint64_t wanted)
{
    size_t there = unpacker->end - unpacker->begin;
    return wanted < there ? (size_t)wanted : there;
}

static void consume(struct unpacker *unpacker, size_t size)
{
    unpacker->begin += size;
    unpacker->offset += size;
}

void take(struct unpacker *unpacker, void *into, size_t size)
{
    char *at = into;
    while (size > 0) {
        if (!fill(unpacker, 1))
            fail(unpacker, FAIL_TRUNCATED, 0);
        size_t piece = buffered(unpacker, size);
        memcpy(at, unpacker->buffer + unpacker->begin, piece);
        consume(unpacker, piece);
        at += piece;
        size -= piece;
    }
}

void skip(struct unpacker *unpacker, uint64_t size)
{
    while (size > 0) {
        if (!fill(unpacker, 1))
            fail(unpacker, FAIL_TRUNCATED, 0);
        size_t piece = buffered(unpacker, size);
        consume(unpacker, piece);
        size -= piece;
    }
}

static void write_all(struct unpacker *unpacker, int fd, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, unpacker->buffer + unpacker->begin, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            fail(unpacker, FAIL_SYSTEM, errno);
        consume(unpacker, (size_t)done);
        size -= (size_t)done;
    }
}

/* Move bytes from the pipe into the file without a stop in this process; returns what is left. */
static uint64_t splice_to_file(struct unpacker *unpacker, int fd, uint64_t size)
{
    while (size >= SPLICE_MINIMUM) {
        ssize_t done = splice(STDIN, NULL, fd, NULL, (size_t)size, SPLICE_F_MOVE);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EINVAL)
            return size; /* stdin is no pipe, or the filesystem can't */
        if (done < 0)
            fail(unpacker, FAIL_SYSTEM, errno);
        if (done == 0)
            fail(unpacker, FAIL_TRUNCATED, 0);
        unpacker->offset += (uint64_t)done;
        size -= (uint64_t)done;
    }
    return size;
}

/* Append the next `size` bytes of the archive to the file at its position. */
void copy_to_file(struct unpacker *unpacker, int fd, uint64_t size)
{
    size_t piece = buffered(unpacker, size);
    write_all(unpacker, fd, piece);
    size = splice_to_file(unpacker, fd, size - piece);
    while (size > 0) {
        if (!fill(unpacker, 1))
            fail(unpacker, FAIL_TRUNCATED, 0);
        piece = buffered(unpacker, size);
        write_all(unpacker, fd, piece);
        size -= piece;
    }
}

/* Bytes behind the archive's end belong to the digest, so the writer must get rid of them. */
void drain(struct unpacker *unpacker)
{
    do
        unpacker->begin = unpacker->end = 0;
    while (read_more(unpacker));
}
