/* SPDX-License-Identifier: Apache-2.0 */

#include "app/listen_fault.h"

#include <errno.h>
#include <string.h>

#include "support/test.h"

static void expect(const char *address, int error, const char *text)
{
    struct arena *arena = arena_new_heap(1024);
    struct faults faults;
    struct addr a;

    faults_init(&faults, arena);
    assert_int_equal(addr_parse(slice_from(address), &a), 0);
    listen_fault(&faults, NULL, SLICE("listeners[0].address"), &a, error);
    assert_int_equal(faults.nsystem, 1);
    struct slice message = faults.list.items[0].message;
    if (!slice_eq(message, slice_from(text)))
        fail_msg("%.*s", SLICE_ARG(message));
    faults_deinit(&faults);
    arena_free(arena);
}

static void a_fault_says_what_to_do(void **state)
{
    (void)state;
    expect(
        "127.0.0.1:8080", EADDRINUSE,
        "can't listen on 127.0.0.1:8080: Address already in use (does another program use this port? "
        "`ss -ltnp sport = :8080` names it)");
    expect("unix:/run/s", EADDRINUSE,
           "can't listen on unix:/run/s: Address already in use (another program accepts on it: "
           "`ss -lxp` names it)");
    expect("[::]:80", EACCES,
           "can't listen on [::]:80: Permission denied (ports below 1024 are for root (then see "
           "`user`) and for CAP_NET_BIND_SERVICE)");
    expect(
        "127.0.0.1:8080", EACCES,
        "can't listen on 127.0.0.1:8080: Permission denied (the system does not let this process "
        "have it)");
    expect("unix:/run/s", EACCES,
           "can't listen on unix:/run/s: Permission denied (its folder may not be written to)");
    expect("192.0.2.1:80", EADDRNOTAVAIL,
           "can't listen on 192.0.2.1:80: Cannot assign requested address (no interface of this "
           "machine has this address)");
    expect(
        "[::1]:80", EAFNOSUPPORT,
        "can't listen on [::1]:80: Address family not supported by protocol (this machine has no "
        "IPv6)");
    expect("127.0.0.1:80", EMFILE,
           "can't listen on 127.0.0.1:80: Too many open files (raise the limit of file "
           "descriptors: ulimit -n, LimitNOFILE=)");
    expect("127.0.0.1:80", EIO, "can't listen on 127.0.0.1:80: Input/output error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_says_what_to_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
