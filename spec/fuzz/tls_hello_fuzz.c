/* SPDX-License-Identifier: Apache-2.0 */

/* Extensions of a ClientHello, and ticket rings, from any bytes: a name has no byte that could not
 * stand in a host's name, protocols lie within what was given, a ring that is taken is handed on. */

#include "net/tls_hello.h"

#include <stdlib.h>

#include "net/tls_tickets.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void expect(bool truth)
{
    if (!truth)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct slice extension = slice_of((const char *)bytes, len), list, one;
    char name[TLS_NAME_MAX + 1];
    uint8_t ring[TLS_TICKETS_BYTES];
    size_t n = tls_hello_name(extension, name);

    expect(n <= TLS_NAME_MAX && (n == 0 || strlen(name) == n));
    for (size_t i = 0; i < n; i++)
        expect(name[i] > ' ' && name[i] < 127 && !(name[i] >= 'A' && name[i] <= 'Z'));
    list = tls_hello_protocols(extension);
    expect(list.len <= len);
    while (tls_hello_protocol(&list, &one))
        expect(one.len > 0 && one.ptr >= extension.ptr && one.ptr + one.len <= extension.ptr + len);
    if (tls_tickets_import(extension) == 0)
        expect(tls_tickets_export(ring) <= sizeof(ring));
    return 0;
}
