/* SPDX-License-Identifier: Apache-2.0 */

/* Lengths in front of everything: each is held against what is left. */

#include "net/tls_hello.h"

#include <ctype.h>

#define HOST_NAME 0 /* NameType of RFC 6066 */

/* Takes a vector with `width` bytes of length out of *rest; false when it is cut off. */
static bool take_vector(struct slice *rest, size_t width, struct slice *out)
{
    size_t len = 0;

    if (rest->len < width)
        return false;
    for (size_t i = 0; i < width; i++)
        len = len << 8 | (uint8_t)rest->ptr[i];
    if (rest->len - width < len)
        return false;
    *out = slice_of(rest->ptr + width, len);
    *rest = slice_from_index(*rest, width + len);
    return true;
}

static bool is_name_char(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("-_.", c));
}

size_t tls_hello_name(struct slice extension, char out[TLS_NAME_MAX + 1])
{
    struct slice list, name;

    if (!take_vector(&extension, 2, &list) || extension.len > 0)
        return 0;
    if (list.len < 1 || list.ptr[0] != HOST_NAME)
        return 0;
    list = slice_from_index(list, 1);
    if (!take_vector(&list, 2, &name))
        return 0;
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len > TLS_NAME_MAX)
        return 0;
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_char(name.ptr[i]))
            return 0;
        out[i] = (char)tolower((unsigned char)name.ptr[i]);
    }
    out[name.len] = '\0';
    return name.len;
}

bool tls_hello_protocol(struct slice *list, struct slice *out)
{
    return take_vector(list, 1, out) && out->len > 0;
}

struct slice tls_hello_protocols(struct slice extension)
{
    struct slice list;

    return take_vector(&extension, 2, &list) && extension.len == 0 ? list : SLICE("");
}
