/* SPDX-License-Identifier: Apache-2.0 */

/* Routes and requests made of the input's bytes: the router must find what the rules, said plainly,
 * find. And patterns of any text: what is parsed takes itself where it has no parameters. */

#include "../core/support/router_oracle.h"

#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void one_pattern(struct slice text)
{
    struct arena *a = arena_new_heap(4096);
    struct route_path p;
    struct slice error;

    if (path_pattern_parse(text, a, &p, &error)) {
        bool is_text =
            p.kind == PATH_PATTERN && p.nparams == 0 && !slice_ends(p.pattern, SLICE("*"));
        if (is_text && !path_pattern_fits(&p, p.pattern))
            abort();
        path_pattern_fits(&p, SLICE("/a/b"));
    } else if (!error.ptr) {
        abort();
    }
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct numbers n = {.bytes = bytes, .left = len};

    hash_set_key(1, 2);
    one_pattern(slice_of((const char *)bytes, len));
    if (len > 2)
        oracle_run(&n, 1 + number_below(&n, 12), 1 + number_below(&n, 16));
    return 0;
}
