/* unpack_pax.c: pax records, "LENGTH KEY=VALUE\n".
 *
 * Source: POSIX pax(1p), "pax Extended Header"; GNU tar manual, "Storing Sparse Files"; tar(5) of
 * libarchive, "Pax Interchange Format", for LIBARCHIVE.xattr.
 */
#include "unpack.h"

#include <string.h>

bool parse_decimal(const char *bytes, size_t length, uint64_t *value)
{
    uint64_t number = 0;
    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned char)bytes[i] - (unsigned)'0';
        if (digit > 9 || number > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *value = number;
    return true;
}

static bool equals(struct text text, const char *wanted)
{
    return text.length == strlen(wanted) && memcmp(text.bytes, wanted, text.length) == 0;
}

static bool starts_with(struct text text, const char *prefix)
{
    return text.length > strlen(prefix) && memcmp(text.bytes, prefix, strlen(prefix)) == 0;
}

static uint64_t number_of(struct unpacker *unpacker, struct text value)
{
    uint64_t number;
    if (!parse_decimal(value.bytes, value.length, &number))
        fail(unpacker, FAIL_NUMBER, 0);
    return number;
}

static struct text name_of(struct unpacker *unpacker, struct text value)
{
    if (value.length == 0)
        fail(unpacker, FAIL_EMPTY_NAME, 0);
    if (memchr(value.bytes, '\0', value.length) != NULL)
        fail(unpacker, FAIL_NUL_IN_NAME, 0);
    return value;
}

/* "-1.5": the second before, and half of one.  What is no number, or beyond all time, becomes the
 * nearest time there is: nobody's life depends on it. */
static struct time time_of(struct text value)
{
    struct time time = {0, 0};
    bool negative = value.length > 0 && value.bytes[0] == '-';
    size_t at = negative ? 1 : 0;
    const char *point = memchr(value.bytes + at, '.', value.length - at);
    size_t whole = point == NULL ? value.length - at : (size_t)(point - value.bytes) - at;
    uint64_t seconds;
    if (!parse_decimal(value.bytes + at, whole, &seconds))
        return time;
    long scale = 100000000;
    for (size_t i = at + whole + 1; i < value.length && scale > 0; i++, scale /= 10) {
        if (value.bytes[i] < '0' || value.bytes[i] > '9')
            break;
        time.nanoseconds += scale * (value.bytes[i] - '0');
    }
    time.seconds = negative ? -(int64_t)seconds : (int64_t)seconds;
    if (negative && time.nanoseconds > 0) {
        time.seconds--;
        time.nanoseconds = 1000000000 - time.nanoseconds;
    }
    return time;
}

static bool has_xattr(const struct entry *entry, const char *name, size_t length)
{
    for (size_t i = 0; i < entry->xattr_count; i++)
        if (entry->xattrs[i].name.length == length &&
            memcmp(entry->xattrs[i].name.bytes, name, length) == 0)
            return true;
    return false;
}

static void add_xattr(struct unpacker *unpacker, const char *name, size_t length, struct text value)
{
    struct entry *entry = &unpacker->entry;
    static const char user[] = "user.", overlay[] = "user.overlay.",
                      capability[] = "security.capability";
    bool is_user = length > sizeof user - 1 && memcmp(name, user, sizeof user - 1) == 0;
    bool is_overlay =
        length >= sizeof overlay - 1 && memcmp(name, overlay, sizeof overlay - 1) == 0;
    bool is_capability = length == sizeof capability - 1 && memcmp(name, capability, length) == 0;
    /* Security: trusted.overlay.* of an image would hide and redirect files of other layers. */
    if (!is_capability && (!is_user || is_overlay)) {
        unpacker->xattrs_skipped++;
        return;
    }
    if (memchr(name, '\0', length) != NULL || entry->xattr_count == XATTRS_LIMIT)
        fail(unpacker, FAIL_PAX, 0);
    for (size_t i = 0; i < entry->xattr_count; i++)
        if (entry->xattrs[i].name.length == length &&
            memcmp(entry->xattrs[i].name.bytes, name, length) == 0) {
            entry->xattrs[i].value = value;
            return;
        }
    struct xattr *xattr = &entry->xattrs[entry->xattr_count++];
    xattr->name = (struct text){(char *)(uintptr_t)name, length};
    xattr->value = value;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Replaces %XX, in place; what is no such thing stays. */
static void decode_percent(struct text *text)
{
    size_t out = 0;
    for (size_t in = 0; in < text->length; in++, out++) {
        bool is_code = text->bytes[in] == '%' && text->length - in > 2 &&
                       hex_digit(text->bytes[in + 1]) >= 0 && hex_digit(text->bytes[in + 2]) >= 0;
        text->bytes[out] = text->bytes[in];
        if (!is_code)
            continue;
        int code = hex_digit(text->bytes[in + 1]) << 4 | hex_digit(text->bytes[in + 2]);
        text->bytes[out] = (char)code;
        in += 2;
    }
    text->length = out;
    text->bytes[out] = '\0'; /* read_pax made room for one behind each key and value */
}

/* Decodes base64 in place, with or without padding; false if it is none. */
static bool decode_base64(struct text *text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = text->length, out = 0;
    while (length > 0 && text->length - length < 2 && text->bytes[length - 1] == '=')
        length--;
    if (length % 4 == 1)
        return false;
    uint32_t bits = 0;
    for (size_t in = 0; in < length; in++) {
        const char *digit = memchr(digits, text->bytes[in], sizeof digits - 1);
        if (digit == NULL)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        /* The digits of a group of four complete one byte each, but the first. */
        if (in % 4 != 0)
            text->bytes[out++] = (char)(bits >> (6 - in % 4 * 2) & 0xff);
    }
    text->length = out;
    return true;
}

/* bsdtar writes each attribute twice: name and value encoded, and as SCHILY.xattr, which counts. */
static void add_encoded_xattr(struct unpacker *unpacker, struct text name, struct text value)
{
    decode_percent(&name);
    if (!decode_base64(&value))
        unpacker->xattrs_skipped++;
    else if (!has_xattr(&unpacker->entry, name.bytes, name.length))
        add_xattr(unpacker, name.bytes, name.length, value);
}

/* Version 0.0 repeats the two keys, 0.1 has one list "offset,length,offset,length". */
static void read_sparse_list(struct unpacker *unpacker, struct text value)
{
    const char *at = value.bytes, *end = value.bytes + value.length;
    uint64_t pair[2];
    for (int i = 0; at < end; i ^= 1) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma == NULL ? end : comma;
        if (!parse_decimal(at, (size_t)(stop - at), &pair[i]))
            fail(unpacker, FAIL_SPARSE, 0);
        if (i == 1)
            add_extent(unpacker, pair[0], pair[1]);
        else if (comma == NULL)
            fail(unpacker, FAIL_SPARSE, 0);
        at = comma == NULL ? end : comma + 1;
    }
}

static void read_sparse_record(struct unpacker *unpacker, struct pax *pax, struct text key,
                               struct text value)
{
    struct entry *entry = &unpacker->entry;
    if (equals(key, "GNU.sparse.major")) {
        pax->sparse_major = number_of(unpacker, value);
    } else if (equals(key, "GNU.sparse.minor")) {
        pax->sparse_minor = number_of(unpacker, value);
    } else if (equals(key, "GNU.sparse.name")) {
        pax->sparse_name = name_of(unpacker, value);
    } else if (equals(key, "GNU.sparse.realsize") || equals(key, "GNU.sparse.size")) {
        pax->has_sparse_size = true;
        pax->sparse_size = number_of(unpacker, value);
    } else if (equals(key, "GNU.sparse.map")) {
        read_sparse_list(unpacker, value);
    } else if (equals(key, "GNU.sparse.offset")) {
        add_extent(unpacker, number_of(unpacker, value), UINT64_MAX);
    } else if (equals(key, "GNU.sparse.numbytes")) {
        if (entry->extent_count == 0 ||
            entry->extents[entry->extent_count - 1].length != UINT64_MAX)
            fail(unpacker, FAIL_SPARSE, 0);
        entry->extents[entry->extent_count - 1].length = number_of(unpacker, value);
    }
}

static void read_record(struct unpacker *unpacker, struct pax *pax, struct text key,
                        struct text value)
{
    static const char schily[] = "SCHILY.xattr.", libarchive[] = "LIBARCHIVE.xattr.";
    if (equals(key, "path")) {
        pax->path = name_of(unpacker, value);
    } else if (equals(key, "linkpath")) {
        pax->link = name_of(unpacker, value);
    } else if (starts_with(key, schily)) {
        add_xattr(unpacker, key.bytes + sizeof schily - 1, key.length - (sizeof schily - 1), value);
    } else if (starts_with(key, libarchive)) {
        struct text name = {key.bytes + sizeof libarchive - 1, key.length - sizeof libarchive + 1};
        add_encoded_xattr(unpacker, name, value);
    } else if (starts_with(key, "GNU.sparse.")) {
        read_sparse_record(unpacker, pax, key, value);
    } else if (equals(key, "size")) {
        pax->has_size = value.length > 0;
        pax->size = value.length > 0 ? number_of(unpacker, value) : 0;
    } else if (equals(key, "uid")) {
        pax->has_uid = value.length > 0;
        pax->uid = value.length > 0 ? number_of(unpacker, value) : 0;
    } else if (equals(key, "gid")) {
        pax->has_gid = value.length > 0;
        pax->gid = value.length > 0 ? number_of(unpacker, value) : 0;
    } else if (equals(key, "mtime")) {
        pax->has_mtime = value.length > 0;
        pax->mtime = time_of(value);
    }
}

void read_pax(struct unpacker *unpacker, struct pax *pax, struct text content)
{
    char *at = content.bytes, *end = content.bytes + content.length;
    while (at < end) {
        char *space = memchr(at, ' ', (size_t)(end - at));
        uint64_t length;
        if (space == NULL || !parse_decimal(at, (size_t)(space - at), &length) ||
            length > (size_t)(end - at) || length < (size_t)(space - at) + 3 ||
            at[length - 1] != '\n')
            fail(unpacker, FAIL_PAX, 0);
        char *last = at + length - 1;
        char *sign = memchr(space + 1, '=', (size_t)(last - space - 1));
        if (sign == NULL || sign == space + 1)
            fail(unpacker, FAIL_PAX, 0);
        struct text key = {space + 1, (size_t)(sign - space - 1)};
        struct text value = {sign + 1, (size_t)(last - sign - 1)};
        *sign = *last = '\0';
        read_record(unpacker, pax, key, value);
        at += length;
    }
}
