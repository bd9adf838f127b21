/* unpack.c: pyrunc-unpack, from start to end.
 *
 * Usage: pyrunc-unpack MAX_BYTES MAX_ENTRIES RESERVE_BYTES [below]
 *   0  the tar, uncompressed          4  a directory with tree/ and removed/ in it, both empty
 *   3  SOCK_SEQPACKET for the report  5  kept open to the end: the owner's lock
 *   6  with "below": the root of the layers below, read-only
 */
#define _GNU_SOURCE
#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARENA_SIZE = 1 << 18, NAME_SHOWN = 1024 };

/* May the entry mean something else to who sees the layers below? */
static bool is_doubtful(const struct unpacker *unpacker, enum failure why)
{
    bool structural = why == FAIL_PARENT || why == FAIL_LINK_LOOP || why == FAIL_LINK_TARGET ||
                      why == FAIL_LINK_ITSELF || why == FAIL_LINK_DIRECTORY;
    return structural && unpacker->view_fd < 0 && (unpacker->passed || unpacker->links != NULL);
}

/* Tell why, where and at which entry, and end.  The reader of the pipe is gone then, which stops
 * the writer. */
_Noreturn void fail(struct unpacker *unpacker, enum failure why, int error)
{
    char packet[64 + NAME_SHOWN];
    struct text name = unpacker->entry.name;
    size_t shown = name.length < NAME_SHOWN ? name.length : NAME_SHOWN;
    int head =
        snprintf(packet, 64, "E%d %d %llu ", (int)why, error, (unsigned long long)unpacker->offset);
    if (shown > 0)
        memcpy(packet + head, name.bytes, shown);
    bool doubtful = is_doubtful(unpacker, why);
    packet[0] = doubtful ? 'A' : 'E';
    send_packet(packet, (size_t)head + shown);
    if (!doubtful)
        _exit(1);
    drain(unpacker); /* its digest counts */
    _exit(0);
}

/* Memory that stays until the end. */
void *keep(struct unpacker *unpacker, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (size > unpacker->arena_left) {
        size_t chunk = size > ARENA_SIZE ? size : ARENA_SIZE;
        unpacker->arena = malloc(chunk);
        if (unpacker->arena == NULL)
            fail(unpacker, FAIL_MEMORY, ENOMEM);
        unpacker->arena_left = chunk;
    }
    void *memory = unpacker->arena;
    unpacker->arena += size;
    unpacker->arena_left -= size;
    return memory;
}

char *keep_text(struct unpacker *unpacker, const char *bytes, size_t length)
{
    char *copy = keep(unpacker, length + 1);
    memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

static uint64_t argument(char **argv, int number)
{
    return strtoull(argv[number], NULL, 10);
}

static void prepare(struct unpacker *unpacker)
{
    unpacker->buffer = malloc(INPUT_SIZE);
    unpacker->headers = malloc(HEADERS_LIMIT);
    if (unpacker->buffer == NULL || unpacker->headers == NULL)
        fail(unpacker, FAIL_MEMORY, ENOMEM);
    unpacker->holder_fd = HOLDER;
    unpacker->links_end = &unpacker->links;
}

int main(int argc, char **argv)
{
    static struct unpacker unpacker;
    if (argc != 4 && argc != 5) {
        fputs("usage: pyrunc-unpack MAX_BYTES MAX_ENTRIES RESERVE_BYTES [below]\n", stderr);
        return 2;
    }
    unpacker.limits.bytes = argument(argv, 1);
    unpacker.limits.entries = argument(argv, 2);
    unpacker.limits.reserve_bytes = argument(argv, 3);
    unpacker.view_fd = argc == 5 ? VIEW : -1;
    umask(0);
    prepare(&unpacker);
    confine(&unpacker);
    make_root(&unpacker);
    while (next_entry(&unpacker))
        apply_entry(&unpacker);
    drain(&unpacker);
    finish(&unpacker);
    return 0;
}
